"""The program as a process: signals, pipes, start-up, bugs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrestic.cli import main as program
from pyrestic.cli.command import Command
from tests.support.cli import Caller

pytestmark = pytest.mark.process

HEAVY = {"numpy", "msgspec", "requests", "tqdm", "zstandard", "construct", "numba", "cryptography", "Crypto"}


def start(call: Caller, *arguments: str | Path, **environment: str) -> "subprocess.Popen[bytes]":
    """Start the program as its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "pyrestic", *map(str, arguments)],
        env={**call.environment, "PYTHONPATH": os.environ["PYTHONPATH"], **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=call.folder,
    )


def locks(call: Caller) -> list[str]:
    """Return the names of the locks."""
    return os.listdir(call.repository / "locks")


def wait_for_lock(call: Caller) -> None:
    """Wait until the program holds its lock."""
    deadline = time.monotonic() + 60
    while not locks(call):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_version_starts_without_anything_heavy() -> None:
    code = (
        "import sys; from pyrestic.cli.main import main; main(['version']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.splitlines()[1].split())


def test_an_hourly_backup_that_finds_nothing_new_imports_no_numpy(made: Caller) -> None:
    source = made.folder / "source"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_text(str(number))
    assert made("backup", source).code == 0
    code = (
        "import sys; from pyrestic.cli.main import main; code = main(sys.argv[1:]);"
        "print(code, *{'numpy', 'msgspec', 'requests', 'pyrestic.native.blob_batch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, "backup", "--quiet", "--skip-if-unchanged", str(source)]
    environment = {**made.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["0", "msgspec"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_with_130_and_frees_the_lock(made: Caller, number: signal.Signals) -> None:
    os.mkfifo(made.folder / "pipe")
    # The command never ends by itself: nobody writes to the pipe that is its new password.
    process = start(made, "key", "add", "--new-password-file", made.folder / "pipe")
    wait_for_lock(made)
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"received, cleaning up" in err
    assert b"Traceback" not in err
    assert locks(made) == []


def test_a_reader_that_has_enough_ends_the_program_quietly(made: Caller) -> None:
    source = made.folder / "source"
    source.mkdir()
    for number in range(3000):
        (source / f"{number:05}-{'long name ' * 10}").touch()
    assert made("backup", "-q", source).code == 0
    process = start(made, "ls", "latest")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (-signal.SIGPIPE, b"")
    assert locks(made) == []


def test_names_that_are_not_utf8_come_out_as_they_are(made: Caller) -> None:
    source = made.folder / "source"
    source.mkdir()
    open(os.fsencode(source) + b"/bad\xffname", "w").close()
    made.cwd = source
    assert made("backup", "-q", ".").code == 0
    for locale in ("C", "C.UTF-8", "en_US.ISO-8859-1"):
        process = start(made, "ls", "-q", "latest", LC_ALL=locale)
        assert process.communicate(timeout=60)[0] == b"/bad\xffname\n"
    process = start(made, "ls", "--json", "latest")
    assert b'"path":"/bad\\ufffdname"' in process.communicate(timeout=60)[0]


def test_a_bug_is_told_in_one_sentence(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(program.program, "invoke", broken)
    outcome = call("version")
    assert outcome.code == 1
    assert "please report it: ZeroDivisionError: oh" in outcome.err
    assert "Traceback" not in outcome.err
    with pytest.raises(ZeroDivisionError):
        call("version", PYRESTIC_TRACEBACK="1")


def test_an_interrupt_is_told_in_json_if_asked(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Command, "invoke", interrupted)
    outcome = call("--json", "version")
    assert (outcome.code, json.loads(outcome.err)["code"]) == (130, 130)


def test_a_working_folder_that_was_removed_costs_no_backup_of_absolute_paths(made: Caller) -> None:
    source, gone = made.folder / "source", made.folder / "gone"
    source.mkdir()
    gone.mkdir()
    environment = {**made.environment, "PYTHONPATH": os.environ["PYTHONPATH"], "HOME": "/absent"}
    backup = f"{sys.executable} -m pyrestic backup -q --no-cache"
    lines = f'rmdir "$PWD" && {backup} "{source}" && exec {backup} .'
    done = subprocess.run(["sh", "-c", lines], cwd=gone, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Fatal: the working folder was removed; name what is to be saved by absolute paths\n"
    assert [one["paths"] for one in made("snapshots", "--json").json] == [[str(source)]]
