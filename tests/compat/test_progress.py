"""Progress while a command runs: for people at a terminal, for scripts, and for who asks by a signal."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import usage
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

pytestmark = pytest.mark.restic
COUNTS = re.compile(rb"\[\d+:\d\d\] \d+ files [0-9.]+ [KMGT]?i?B, total 1 files 0 B, 0 errors\n/stdin\n")


class Running:
    """A backup of its standard input, which stays open; `heard` is what it has said."""

    def __init__(self, program: Program, repository: Path, *flags: str, **environment: str) -> None:
        usage.note(program.name, ["backup", "--stdin", *flags], environment)
        self.heard = b""
        self._process = subprocess.Popen(
            [*program.command, "--repo", repository, "backup", "--stdin", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=program.environment(**environment),
        )

    def feed(self, length: int) -> None:
        """Give it bytes to back up."""
        assert self._process.stdin is not None
        self._process.stdin.write(os.urandom(length))
        self._process.stdin.flush()

    def ask(self) -> None:
        """Ask for progress by the signal for it."""
        self._process.send_signal(signal.SIGUSR1)

    def wait_until_handled(self) -> None:
        """Wait until the program has its own mind about that signal; before, the system ends it."""
        deadline = time.monotonic() + 60
        caught = 0
        while not caught >> (signal.SIGUSR1 - 1) & 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)

    def wait_for(self, is_there: Callable[[bytes], object], *, ask: bool = False) -> None:
        """Listen until something was said; ask for it again and again if that is wanted."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + 60
        while not is_there(self.heard):
            assert time.monotonic() < deadline, self.heard
            if ask:
                self.ask()
            if select.select([self._process.stdout], [], [], 0.2)[0]:
                more = os.read(self._process.stdout.fileno(), 1 << 16)
                assert more, self.heard
                self.heard += more

    def end(self) -> int:
        """Let it finish; return the exit code."""
        rest, _ = self._process.communicate(timeout=120)
        self.heard += rest
        return self._process.returncode


@contextlib.contextmanager
def running(program: Program, repository: Path, *flags: str, **environment: str) -> Iterator[Running]:
    """Run a backup of standard input for the time of a with block."""
    backup = Running(program, repository, *flags, **environment)
    try:
        yield backup
        assert backup.end() == 0
    finally:
        with contextlib.suppress(ProcessLookupError, ValueError):
            backup._process.kill()
            backup._process.wait()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository."""
    return make_quick_repository(tmp_path / "repository")


@pytest.mark.parametrize("which", ["newest", "pyrestic"])
def test_a_signal_asks_for_a_line_of_progress(request: pytest.FixtureRequest, repository: Path, which: str) -> None:
    program: Program = request.getfixturevalue(which)
    with running(program, repository) as backup:
        backup.feed(3 << 20)
        # Asked for too early a program knows of no progress yet: the real one ends by such a signal, ours goes on.
        backup.wait_for(lambda _: (program.home / "cache").exists())
        time.sleep(2)
        assert backup.heard == b""
        backup.wait_for(COUNTS.search, ask=True)
    assert b"processed 1 files" in backup.heard


def test_a_signal_before_there_is_anything_to_tell_is_passed_over(pyrestic: Program, repository: Path) -> None:
    for delay in (0, 0.15, 0.4):
        with running(pyrestic, repository) as backup:
            backup.wait_until_handled()
            time.sleep(delay)
            backup.ask()
            backup.feed(100)
        assert b"processed 1 files" in backup.heard


@pytest.mark.parametrize("which", ["newest", "pyrestic"])
def test_a_rate_gives_lines_without_a_terminal(request: pytest.FixtureRequest, repository: Path, which: str) -> None:
    program: Program = request.getfixturevalue(which)
    with running(program, repository, RESTIC_PROGRESS_FPS="20") as backup:
        backup.feed(3 << 20)
        backup.wait_for(COUNTS.search)


@pytest.mark.parametrize("which", ["newest", "pyrestic"])
def test_with_json_there_is_a_status_all_the_time(request: pytest.FixtureRequest, repository: Path, which: str) -> None:
    program: Program = request.getfixturevalue(which)
    with running(program, repository, "--json") as backup:
        backup.feed(3 << 20)
        backup.wait_for(lambda heard: heard.count(b"current_files") > 2)
    messages = [json.loads(line) for line in backup.heard.splitlines()]
    states = [message for message in messages if message["message_type"] == "status" and "current_files" in message]
    for state in states:
        state.pop("seconds_elapsed", None)
        state.pop("seconds_remaining", None)
        state.pop("bytes_done", None)
        assert state.pop("files_done", 1) == 1
        assert state == {"message_type": "status", "percent_done": 0, "total_files": 1, "current_files": ["/stdin"]}
    assert messages[-1]["message_type"] == "summary"


@pytest.mark.parametrize("flags", [("--quiet",), ("--quiet", "--json")])
@pytest.mark.parametrize("which", ["newest", "pyrestic"])
def test_who_wants_quiet_is_told_nothing_on_the_way(
    request: pytest.FixtureRequest, repository: Path, which: str, flags: tuple[str, ...]
) -> None:
    program: Program = request.getfixturevalue(which)
    # With the real one the rate would win over --quiet.
    rate = {"RESTIC_PROGRESS_FPS": "60"} if which == "pyrestic" else {}
    with running(program, repository, *flags, **rate) as backup:
        backup.feed(100_000)
        time.sleep(1.5)
    assert b"status" not in backup.heard
    assert b"files" not in backup.heard or b"summary" in backup.heard


def on_terminal(program: Program, *words: str | Path, repository: Path) -> tuple[int, str]:
    """Run a command at a terminal; return its exit code and all that was written to it."""
    usage.note(program.name, words, {})
    main, other = pty.openpty()
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = program.environment(TERM="xterm")
    process = subprocess.Popen(
        [*program.command, "--repo", repository, *words],
        stdin=other,
        stdout=other,
        stderr=other,
        env=environment,
        start_new_session=True,
    )
    os.close(other)
    heard = b""
    with contextlib.suppress(OSError):
        while more := os.read(main, 1 << 16):
            heard += more
    os.close(main)
    return process.wait(60), heard.decode()


def test_a_terminal_shows_a_bar_and_keeps_the_results(pyrestic: Program, repository: Path, tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 30)
    code, text = on_terminal(pyrestic, "backup", tmp_path / "large", repository=repository)
    assert code == 0
    assert re.search(r"\r.*\d+(\.\d+)?[MG]/1.00G", text), text
    lines = [line.split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    assert any(re.fullmatch(r"processed 1 files, 1.000 GiB in \d:\d\d", line) for line in lines)
    assert re.fullmatch(r"snapshot [0-9a-f]{8} saved", lines[-2])
    code, text = on_terminal(pyrestic, "check", "--read-data", repository=repository)
    assert code == 0
    assert text.replace("\r\n", "\n").split("\n")[-2] == "no errors were found"


def test_a_terminal_is_told_at_once_what_is_waited_for_and_nothing_of_it_stays(
    pyrestic: Program, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    code, text = on_terminal(pyrestic, "backup", tmp_path / "file", repository=repository)
    assert code == 0
    assert text.startswith("\r[0:00] opening the repository"), text
    assert "\r[0:00] waiting for the lock and the index" in text
    assert text.index("opening the repository") < text.index(" opened (version") < text.index("waiting for the lock")
    lines = [line.split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    assert not any("opening the" in line or "waiting for" in line for line in lines)
    for flags in (["-q"], ["--json"]):
        code, text = on_terminal(pyrestic, "backup", *flags, tmp_path / "file", repository=repository)
        assert code == 0
        assert "opening" not in text


def test_without_a_terminal_there_is_not_one_control_character(
    pyrestic: Program, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for words in (["backup", tmp_path / "file"], ["check", "--read-data"], ["prune"], ["snapshots"]):
        result = pyrestic.run(*words, repository=repository)
        assert re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", result.stdout + result.stderr) is None, result
