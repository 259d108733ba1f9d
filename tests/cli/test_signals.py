"""A signal ends every command soon, whatever it waits for, and leaves neither a lock nor a child."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import keyfile as key_format
from pyrestic.format.keyfile import ScryptParams
from pyrestic.format.lock import LockFile
from pyrestic.format.lock import encode as encode_lock
from pyrestic.handle import FileType
from pyrestic.ids import hash_id
from pyrestic.repository.repository import Repository
from tests.support import supervisor
from tests.support.cli import PASSWORD, Caller
from tests.support.supervisor import Action, Call, run_supervised

pytestmark = pytest.mark.process

PATIENCE_SECONDS = 60
SOON_SECONDS = 10
"""Two seconds on a machine that does nothing else; without an end each of these phases lasts for minutes."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Run:
    """A process of the program, and what it has said so far."""

    process: "subprocess.Popen[bytes]"
    said: bytes = b""
    ready: Callable[[], object] = field(default=lambda: None)

    def wait_for(self, pattern: bytes) -> None:
        """Wait until the pattern has been said."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not re.search(pattern, self.said):
            assert select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0], self.said
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, self.said
            self.said += piece


def start(call: Caller, *arguments: str | Path, **environment: str | None) -> Run:
    """Start the program as the leader of a group."""
    merged = {**call.environment, "PYTHONPATH": os.environ["PYTHONPATH"], **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrestic", *map(str, arguments)],
        env={name: value for name, value in merged.items() if value is not None},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=call.folder,
        start_new_session=True,
    )
    return Run(process)


def end(run: Run, number: signal.Signals) -> bytes:
    """Send the signal, and return all that was said once the process has ended in time with 130."""
    run.process.send_signal(number)
    out, _ = run.process.communicate(timeout=SOON_SECONDS)
    said = run.said + out
    assert run.process.returncode == 130, said
    assert b"received, cleaning up" in said or b"interrupted" in said
    assert b"Traceback" not in said
    return said


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_file(path: Path) -> None:
    """Wait until a file is there."""
    wait_until(path.exists)


def processes(call: Caller) -> list[bytes]:
    """Return the command lines of all that was started in the folder of a test, directly or not."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words, environment = (Path("/proc", name, file).read_bytes() for file in ("cmdline", "environ"))
        except OSError:
            continue
        if bytes(call.folder) in words + environment:
            found.append(words)
    return found


def script(call: Caller, first: str = "true") -> Path:
    """Return a command that says with a file that it runs, and what its number is, and goes on for long."""
    path = call.folder / "script"
    path.write_text(
        f"#!/bin/sh\n{first}\necho $$ > {call.folder}/new\nmv {call.folder}/new {call.folder}/ready\nexec sleep 1000\n"
    )
    path.chmod(0o755)
    return path


def refreshing_often(call: Caller) -> dict[str, str]:
    """Return an environment in which a lock is refreshed after a fifth of a second."""
    (call.folder / "sitecustomize.py").write_text(
        "import functools\n"
        "from pyrestic.repository import locks\n"
        "locks.LockTiming = functools.partial(locks.LockTiming, refresh=0.2, poll=0.02)\n"
    )
    return {"PYTHONPATH": f"{call.folder}:{os.environ['PYTHONPATH']}"}


def expensive(call: Caller) -> None:
    """Make the key of the repository cost a minute."""
    repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    params = ScryptParams(1 << 15, 8, 1)
    made = key_format.create(
        PASSWORD, repository.key, hostname="h", username="u", created="2024-01-02T03:04:05Z", params=params
    )
    repository.close()
    data = made.replace(b'"p":1,', b'"p":900,')
    for path in (call.repository / "keys").iterdir():
        path.unlink()
    (call.repository / "keys" / hash_id(data).hex()).write_bytes(data)


def locked(call: Caller) -> None:
    """Add an exclusive lock of another machine."""
    repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    lock = LockFile(time="2099-01-02T03:04:05Z", exclusive=True, hostname="another", pid=1)
    repository.save_unpacked(FileType.LOCK, encode_lock(lock))
    repository.close()


Phase = Callable[[Caller], Run]


def deriving_a_key(call: Caller) -> Run:
    expensive(call)
    run = start(call, "snapshots")
    run.wait_for(rb"still deriving keys from the password: 0 key files tried, key [0-9a-f]{8} asks for scrypt with N=")
    return run


def waiting_for_a_lock(call: Caller) -> Run:
    locked(call)
    run = start(call, "prune", "--retry-lock", "5m")
    run.wait_for(rb"repo already locked, waiting up to 5m0s for the lock")
    return run


def throttled_upload(call: Caller) -> Run:
    (call.folder / "large").write_bytes(os.urandom(4 << 20))
    run = start(call, "backup", "--json", "--limit-upload", "2", "large", RESTIC_PROGRESS_FPS="60")
    run.wait_for(rb'"bytes_done":[0-9]')
    return run


def throttled_download(call: Caller) -> Run:
    (call.folder / "large").write_bytes(os.urandom(400_000))
    # So short a file wants nothing compiled here.
    assert call("backup", "--no-cache", call.folder / "large").code == 0
    run = start(call, "restore", "latest", "--limit-download", "2", "--target", "target", RESTIC_PROGRESS_FPS="60")
    run.wait_for(rb"restoring snapshot")
    return run


def retries(call: Caller) -> Run:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        run = start(call, "-r", f"rest:http://127.0.0.1:{closed.getsockname()[1]}/", "snapshots")
        run.wait_for(rb"trying again in")
    return run


def password_command(call: Caller) -> Run:
    run = start(call, "snapshots", "--password-command", script(call), RESTIC_PASSWORD=None)
    wait_for_file(call.folder / "ready")
    return run


def source_command(call: Caller, **environment: str) -> Run:
    run = start(call, "backup", "--stdin-from-command", "--", script(call), **environment)
    wait_for_file(call.folder / "ready")
    return run


def password_pipe(call: Caller) -> Run:
    os.mkfifo(call.folder / "pipe")
    run = start(call, "snapshots", "--password-file", "pipe", RESTIC_PASSWORD=None)
    # It opens only once somebody reads, and that one gets nothing until this end is closed.
    writer = os.open(call.folder / "pipe", os.O_WRONLY)
    run.ready = lambda: os.close(writer)
    return run


def silent_server(call: Caller) -> Run:
    listener = socket.create_server(("127.0.0.1", 0))
    run = start(call, "-r", f"rest:http://127.0.0.1:{listener.getsockname()[1]}/", "snapshots")
    connection, _ = listener.accept()

    def close() -> None:
        connection.close()
        listener.close()

    run.ready = close
    return run


def copying_to(call: Caller, location: str) -> Run:
    """Start a copy to a REST server: the source is locked already when the server is asked."""
    return start(call, "-r", f"rest:{location}/", "copy", "--from-repo", call.repository, RESTIC_FROM_PASSWORD=PASSWORD)


def connecting(call: Caller) -> Run:
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listener.getsockname()
    # Nobody accepts the first one, and then the kernel answers no more.
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(address)
    wait_until(lambda: 0 < count_connecting(address[1]) < len(fillers))
    before = count_connecting(address[1])
    run = copying_to(call, f"http://127.0.0.1:{address[1]}")
    wait_until(lambda: count_connecting(address[1]) > before)
    assert len(os.listdir(call.repository / "locks")) == 1

    def close() -> None:
        for each in (*fillers, listener):
            each.close()

    run.ready = close
    return run


def count_connecting(port: int) -> int:
    """Return how many connections to a port have had no answer yet."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    syn_sent = "02"
    return sum(line[2] == f"0100007F:{port:04X}" and line[3] == syn_sent for line in lines)


def silent_after(call: Caller, scheme: str, beginning: bytes) -> Run:
    """Return a copy to a server that accepts, reads something that begins like this, and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    run = copying_to(call, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    connection, _ = listener.accept()
    assert connection.recv(4096).startswith(beginning)
    assert len(os.listdir(call.repository / "locks")) == 1

    def close() -> None:
        connection.close()
        listener.close()

    run.ready = close
    return run


def shaking_hands(call: Caller) -> Run:
    client_hello = b"\x16\x03"
    return silent_after(call, "https", client_hello)


def asking(call: Caller) -> Run:
    return silent_after(call, "http", b"GET /config")


def compiling(call: Caller) -> Run:
    pytest.importorskip("numba")
    # Long files want the chunker compiled at once.
    run = start(call, "backup", "--stdin-from-command", "--", script(call, "head -c 30000000 /dev/urandom"))
    wait_for_file(call.folder / "cache" / "pyrestic" / "lock")
    assert any(b"pyrestic.native.compiler" in words for words in processes(call))
    return run


def compile_code(call: Caller) -> Run:
    pytest.importorskip("numba")
    run = start(call, "compile-code")
    wait_for_file(call.folder / "cache" / "pyrestic" / "lock")
    return run


def name_server(call: Caller) -> Run:
    # What looks names up for the program never answers, and no exception reaches the thread that waits for it.
    (call.folder / "sitecustomize.py").write_text(
        "import hashlib, os, socket\n"
        "def hang(*_, **__):\n"
        "    os.write(2, b'looking')\n"
        "    hashlib.scrypt(b'', salt=b'', n=1 << 15, r=8, p=900, maxmem=(1 << 31) - 1)\n"
        "socket.getaddrinfo = hang\n"
    )
    path = f"{call.folder}:{os.environ['PYTHONPATH']}"
    run = start(call, "-r", "rest:http://nowhere.invalid/", "snapshots", PYTHONPATH=path)
    run.wait_for(rb"looking")
    return run


PHASES = [
    deriving_a_key,
    waiting_for_a_lock,
    throttled_upload,
    throttled_download,
    retries,
    password_command,
    source_command,
    password_pipe,
    silent_server,
    connecting,
    shaking_hands,
    asking,
    compiling,
    compile_code,
    name_server,
]


@pytest.fixture
def watched(made: Caller) -> Iterator[Caller]:
    """The program with a repository, and no process of it left behind."""
    yield made
    ready = made.folder / "ready"
    if ready.exists():
        number = int(ready.read_text())
        try:
            wait_until(lambda: not os.path.exists(f"/proc/{number}"), SOON_SECONDS)
        except AssertionError:
            os.kill(number, signal.SIGKILL)
            raise


@pytest.mark.parametrize(("number", "phase"), list(enumerate(PHASES)), ids=[phase.__name__ for phase in PHASES])
def test_a_signal_ends_the_program_in_every_phase(watched: Caller, number: int, phase: Phase) -> None:
    run = phase(watched)
    try:
        end(run, SIGNALS[number % len(SIGNALS)])
    finally:
        run.process.kill()
        run.ready()
    wait_until(lambda: processes(watched) == [], SOON_SECONDS)
    others = 1 if phase is waiting_for_a_lock else 0
    assert len(os.listdir(watched.repository / "locks")) == others
    if not others and phase is not deriving_a_key:
        assert watched("check").code == 0


def test_what_fails_while_the_program_cleans_up_after_a_signal_does_not_change_the_exit_code(watched: Caller) -> None:
    (watched.folder / "sitecustomize.py").write_text(
        "from pyrestic.errors import BackendError\n"
        "from pyrestic.repository.repository import Repository\n"
        "def close(self):\n"
        "    raise BackendError('nothing can be closed')\n"
        "Repository.close = close\n"
    )
    run = source_command(watched, PYTHONPATH=f"{watched.folder}:{os.environ['PYTHONPATH']}")
    assert b"nothing can be closed" not in end(run, signal.SIGTERM)


def test_a_source_command_ends_with_the_program_also_while_it_is_started(watched: Caller) -> None:
    """On a busy machine it runs before the main thread knows its process."""
    (watched.folder / "sitecustomize.py").write_text(
        "import time\n"
        "from pyrestic.repository import background\n"
        "class Slow(background.Background):\n"
        "    def __init__(self, function, name):\n"
        "        super().__init__(function, name)\n"
        "        if name == 'source command':\n"
        "            time.sleep(1000)\n"
        "background.Background = Slow\n"
    )
    run = source_command(watched, PYTHONPATH=f"{watched.folder}:{os.environ['PYTHONPATH']}")
    end(run, signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_ends_a_backup_and_frees_its_lock(watched: Caller, number: signal.Signals) -> None:
    run = source_command(watched)
    said = end(run, number)
    assert os.listdir(watched.repository / "locks") == []
    word = {signal.SIGINT: b"interrupt", signal.SIGTERM: b"terminated", signal.SIGHUP: b"hangup"}[number]
    assert b"signal " + word + b" received, cleaning up" in said


def test_nohup_survives_the_end_of_the_terminal(made: Caller) -> None:
    os.mkfifo(made.folder / "pipe")
    command = ["nohup", sys.executable, "-m", "pyrestic", "snapshots", "--password-file", "pipe"]
    environment = {**made.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    del environment["RESTIC_PASSWORD"]
    process = subprocess.Popen(
        command, env=environment, cwd=made.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with open(made.folder / "pipe", "w") as pipe:
        process.send_signal(signal.SIGHUP)
        pipe.write(PASSWORD)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, b"received" in said) == (0, False)


def test_a_second_signal_ends_the_program_at_once(watched: Caller) -> None:
    run = name_server(watched)
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    run.process.communicate(timeout=SOON_SECONDS)
    assert run.process.returncode in (130, -signal.SIGTERM, -signal.SIGINT)


def interrupt_at_step(call: Caller, stop: int | None, *arguments: str, **environment: str) -> list[Call]:
    """Run a command, send SIGINT before one of the system calls on its locks, and return these calls up to then."""
    steps: list[Call] = []

    def decide(_: int, step: Call) -> Action:
        if not step.path.startswith("locks"):
            return None
        steps.append(step)
        return signal.SIGINT if len(steps) - 1 == stop else None

    merged = {**call.environment, "PYTHONPATH": os.environ["PYTHONPATH"], **environment}
    command = [sys.executable, "-m", "pyrestic", *arguments]
    done = run_supervised(command, call.repository, decide, environment=merged, cwd=call.folder)
    assert done.code == (0 if stop is None else 130), done
    assert os.listdir(call.repository / "locks") == [], steps
    return steps if stop is None else steps[: stop + 1]


# The folder is synced when the file has its name.
TAKING = ["openat to write", "write", "fchmod", "fsync", "rename", "fsync"]


@pytest.mark.slow
def test_a_signal_at_any_step_of_taking_or_releasing_a_lock_leaves_none(made: Caller) -> None:
    supervisor.require()
    steps = interrupt_at_step(made, None, "snapshots")
    assert [step.name for step in steps] == [*TAKING, "unlink"]
    for stop in range(len(steps)):
        interrupt_at_step(made, stop, "snapshots")


@pytest.mark.slow
def test_a_signal_at_any_step_of_refreshing_a_lock_leaves_none(made: Caller) -> None:
    supervisor.require()
    environment = refreshing_often(made)
    for stop in range(len(TAKING), 2 * len(TAKING) + 1):
        steps = interrupt_at_step(made, stop, "backup", "--stdin-from-command", "--", "sleep", "1000", **environment)
        assert [step.name for step in steps] == [*TAKING, *TAKING, "unlink"][: stop + 1]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_program_is_imported_ends_it_without_a_word(number: signal.Signals) -> None:
    begin = f"""
import os, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), {number:d})

sys.meta_path.insert(0, Interrupting())
import pyrestic.__main__
"""
    done = subprocess.run([sys.executable, "-c", begin], capture_output=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
