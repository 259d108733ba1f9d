"""What holds for every place, each served by its real server: both tools take turns, and no failure is lost or hidden.

tests/support/served_places.py has the places.
"""

import random
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.sftp.place import parse_sftp
from pyrestic.errors import UsageError
from pyrestic.handle import FileType
from tests.support.restic import Program, find_restic
from tests.support.served_places import NIGHTLY, PLACES, Client, Served

pytestmark = pytest.mark.restic


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.nightly] if name in NIGHTLY else []) for name in PLACES])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """Each place in turn."""
    folder = tmp_path / "place"
    folder.mkdir()
    with PLACES[request.param](folder) as served:
        yield served


@pytest.fixture
def theirs(served: Served, tmp_path: Path) -> Program:
    """The real restic for the place."""
    return find_restic(served.release, tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    dice = random.Random(14)
    for number in range(12):
        (folder / f"file {number}").write_bytes(dice.randbytes(dice.randrange(400_000)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.interop
@pytest.mark.parametrize("first", ["pyrestic", "restic"])
def test_both_tools_take_turns_on_one_repository(
    pyrestic: Program, theirs: Program, served: Served, source: Path, tmp_path: Path, first: str
) -> None:
    served.make_quick("shared", version=2 if first == "pyrestic" else 1)
    ours, restic = served.at(pyrestic, "shared"), served.at(theirs, "shared")
    one, other = (ours, restic) if first == "pyrestic" else (restic, ours)
    # Not by its path: the folders above it change with each run.
    one.run("backup", ".", cwd=source)
    assert other.run("backup", "--json", ".", cwd=source).messages[-1]["data_blobs"] == 0
    snapshots = other.run("snapshots", "--json").json
    assert len({snapshot["tree"] for snapshot in snapshots}) == 1
    other.run("restore", "latest", "--target", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(source)
    (source / "file 3").unlink()
    (source / "file 4").write_bytes(b"changed")
    one.run("backup", ".", cwd=source)
    other.run("forget", "--keep-last", "1", "--prune")
    one.run("check", "--read-data")
    one.run("restore", "latest", "--target", tmp_path / "after prune")
    assert contents(tmp_path / "after prune") == contents(source)
    assert other.run("list", "locks").text == ""


def test_a_backup_goes_on_when_the_server_is_killed_and_comes_back(
    pyrestic: Program, theirs: Program, served: Served, tmp_path: Path
) -> None:
    served.make_quick("killed")
    content = random.Random(15).randbytes(24 << 20)
    client = served.at(pyrestic, "killed")
    with client.popen("--pack-size", "4", "backup", "--stdin") as process:
        assert process.stdin is not None
        process.stdin.write(content)
        process.stdin.flush()
        backend = served.open("killed")
        deadline = time.monotonic() + 120
        while len(list(backend.list(FileType.PACK))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        backend.close()
        served.kill()
        process.stdin.write(content[::-1])
        process.stdin.flush()
        time.sleep(1)
        served.start()
        process.stdin.close()
        process.stdin = None
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    restic = served.at(theirs, "killed")
    restic.run("check", "--read-data")
    assert restic.run("dump", "latest", "/stdin").stdout == content + content[::-1]
    assert restic.run("list", "locks").text == ""


def test_wrong_credentials_end_with_one_sentence_and_no_secret(pyrestic: Program, served: Served) -> None:
    done = Client(pyrestic, served.wrong, "none").run("snapshots", code=1)
    lines = done.stderr.decode().splitlines()
    assert sum(line.startswith("Fatal:") for line in lines) == 1
    assert "Traceback" not in done.stderr.decode()
    for variable, value in served.wrong.environment.items():
        assert value not in done.stderr.decode() or not variable.endswith(("KEY", "SECRET", "TOKEN", "PASSWORD"))


def test_an_interrupt_ends_a_backup_and_leaves_no_lock(pyrestic: Program, theirs: Program, served: Served) -> None:
    served.make_quick("interrupted")
    client = served.at(pyrestic, "interrupted")
    with client.popen("--pack-size", "4", "backup", "--stdin") as process:
        assert process.stdin is not None
        process.stdin.write(random.Random(16).randbytes(16 << 20))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert served.at(theirs, "interrupted").run("list", "locks").text == ""


LOCATIONS = [
    ("sftp://host/dir", {}),
    ("sftp://user@host:2222//srv/a/../b", {}),
    ("sftp://us%20er:secret@[::1]:22/dir", {}),
    ("sftp://user@[fe80::1%25eth0]/dir", {}),
    ("sftp:user@domain@host:/srv", {"args": "-i 'a key' -v"}),
    ("sftp:a@b@c@host:dir", {"args": '-o "ProxyCommand=nc %h %p" -C'}),
    ("sftp:host:dir", {"command": "'{ssh}' -x a'b c'd \\\"e -s sftp"}),
    ("sftp:host:dir", {"args": "'open"}),
    ("sftp:host:dir", {"args": "-v", "command": "ssh"}),
    ("sftp:host", {}),
    ("sftp://host", {}),
    ("sftp:host:~/dir", {}),
    ("sftp://host:x/dir", {}),
]


def as_csv(text: str) -> str:
    """Quote the value of an option, which may be a list: restic reads it as a line of CSV."""
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize(("location", "options"), LOCATIONS)
def test_ssh_is_started_with_the_words_that_restic_uses(
    newest: Program, tmp_path: Path, location: str, options: dict[str, str]
) -> None:
    """The program in place of ssh writes down its arguments and ends, which both tools report."""
    ssh, words = tmp_path / "bin" / "ssh", tmp_path / "words"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\nprintf '%s\\n' ssh \"$@\" > {shlex.quote(str(words))}\nexit 255\n")
    ssh.chmod(0o755)
    options = {name: value.replace("{ssh}", str(ssh)) for name, value in options.items()}
    flags = [word for name, value in options.items() for word in ("-o", as_csv(f"sftp.{name}={value}"))]
    newest.run("-r", location, *flags, "snapshots", code=1, PATH=f"{ssh.parent}:/usr/bin:/bin")
    place = location.partition(":")[2]
    if words.exists():
        command = parse_sftp(place).command(options.get("command", ""), options.get("args", ""))
        assert words.read_text().splitlines() == ["ssh", *command[1:]]
    else:
        with pytest.raises(UsageError):
            parse_sftp(place).command(options.get("command", ""), options.get("args", ""))
