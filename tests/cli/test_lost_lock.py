"""A lock that is lost ends every command with the same code and sentence, whatever else happens; Ctrl-C with 130."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cli.test_signals import SOON_SECONDS, Run, refreshing_often, script, start, wait_for_file
from tests.support.cli import Caller
from tests.support.fuse import why_no_mount

pytestmark = pytest.mark.process

SENTENCE = "the lock was lost, another process has removed it"
STUCK = """
import hashlib, os
def hang(*_):
    os.write(2, b"reading\\n")
    hashlib.scrypt(b"", salt=b"", n=1 << 15, r=8, p=900, maxmem=(1 << 31) - 1)
os.readv = hang
"""
"""No exception reaches a main thread that reads."""
SIGNAL_BEFORE = """
import os, signal, threading
from pyrestic.repository.held_lock import HeldLock
releases, lost = threading.Event(), threading.Event()
lose, release = HeldLock._lose, HeldLock.release
def lose_later(self, why):
    os.kill(os.getpid(), signal.SIGINT)
    releases.wait()
    lose(self, why)
    lost.set()
def release_later(self, **more):
    releases.set()
    lost.wait()
    release(self, **more)
HeldLock._lose, HeldLock.release = lose_later, release_later
"""
"""The loss follows a signal, and the lock is released after both."""
SIGNAL_AFTER = """
import os, signal
from pyrestic.repository.held_lock import HeldLock
lose = HeldLock._lose
def lose_first(self, why):
    lose(self, why)
    os.kill(os.getpid(), signal.SIGINT)
HeldLock._lose = lose_first
"""
"""A signal follows at once."""


def adapted(call: Caller, code: str = "") -> dict[str, str]:
    """Return an environment in which locks are refreshed often, and some code runs first."""
    environment = refreshing_often(call)
    with (call.folder / "sitecustomize.py").open("a") as file:
        file.write(code)
    return environment


def reading_a_command(call: Caller, code: str = "") -> Run:
    run = start(call, "backup", "--stdin-from-command", "--", script(call), **adapted(call, code))
    wait_for_file(call.folder / "ready")
    return run


def serving(call: Caller) -> Run:
    run = start(call, "serve", "--listen", "127.0.0.1:0", **adapted(call))
    run.wait_for(b"Quit with Ctrl-C here.")
    return run


def mounting(call: Caller) -> Run:
    missing = why_no_mount()
    if missing:
        pytest.skip(missing)
    (call.folder / "mounted").mkdir()
    run = start(call, "mount", "mounted", **adapted(call))
    run.wait_for(b"When finished, quit")
    return run


def throttled_upload(call: Caller) -> Run:
    (call.folder / "large").write_bytes(os.urandom(4 << 20))
    environment = {**adapted(call), "RESTIC_PROGRESS_FPS": "60"}
    run = start(call, "backup", "--json", "--limit-upload", "2", "large", **environment)
    run.wait_for(rb'"bytes_done":[0-9]')
    return run


def throttled_download(call: Caller) -> Run:
    (call.folder / "large").write_bytes(os.urandom(1 << 20))
    assert call("backup", call.folder / "large").code == 0
    run = start(call, "restore", "latest", "--limit-download", "2", "--target", "target", **adapted(call))
    run.wait_for(rb"restoring snapshot")
    return run


def stuck(call: Caller) -> Run:
    run = start(call, "backup", "--stdin", **adapted(call, STUCK))
    run.wait_for(b"reading\n")
    return run


PHASES: list[Callable[[Caller], Run]] = [
    reading_a_command,
    serving,
    mounting,
    throttled_upload,
    throttled_download,
    stuck,
]


@pytest.fixture
def watched(made: Caller) -> Iterator[Caller]:
    """The program with a repository; the command that it reads does not outlive it."""
    yield made
    ready = made.folder / "ready"
    if ready.exists():
        path = f"/proc/{int(ready.read_text())}"
        deadline = time.monotonic() + SOON_SECONDS
        while os.path.exists(path):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def lose(call: Caller, run: Run) -> str:
    """Remove the lock, as somebody elsewhere does, and return all that was said once the process has ended in time."""
    try:
        deadline = time.monotonic() + SOON_SECONDS
        while run.process.poll() is None and time.monotonic() < deadline:
            # A refresh under way may have put another one in its place.
            for path in (call.repository / "locks").glob("?" * 64):
                path.unlink(missing_ok=True)
            time.sleep(0.01)
        out, _ = run.process.communicate(timeout=SOON_SECONDS)
    finally:
        if run.process.poll() is None:
            run.process.kill()
            subprocess.run(["fusermount3", "-u", "-z", call.folder / "mounted"], stderr=subprocess.DEVNULL)
    assert os.listdir(call.repository / "locks") == []
    return (run.said + out).decode()


def check_lost(run: Run, said: str) -> None:
    """The exit code and the words are those of a lost lock, and told once."""
    assert run.process.returncode == 11, said
    assert said.count("the lock was lost") == 1, said
    assert "interrupted" not in said
    assert "Traceback" not in said
    last = [line for line in said.splitlines() if SENTENCE in line]
    if last[0].startswith("{"):
        assert json.loads(last[0]) == {"message_type": "exit_error", "code": 11, "message": f"Fatal: {SENTENCE}"}
    else:
        assert last == [f"Fatal: {SENTENCE}"]


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_a_lost_lock_ends_the_program_in_every_phase(watched: Caller, phase: Callable[[Caller], Run]) -> None:
    run = phase(watched)
    said = lose(watched, run)
    check_lost(run, said)
    assert "received" not in said
    assert not os.path.ismount(watched.folder / "mounted")


@pytest.mark.parametrize("code", [SIGNAL_BEFORE, SIGNAL_AFTER], ids=["signal first", "loss first"])
def test_a_signal_at_the_same_time_changes_neither_code_nor_sentence(watched: Caller, code: str) -> None:
    run = reading_a_command(watched, code)
    check_lost(run, lose(watched, run))


def test_a_signal_to_a_stuck_program_that_lost_its_lock_changes_neither_code_nor_sentence(watched: Caller) -> None:
    run = start(watched, "backup", "--stdin", **adapted(watched, STUCK + SIGNAL_AFTER))
    run.wait_for(b"reading\n")
    check_lost(run, lose(watched, run))


def test_a_signal_is_a_signal_though_the_lock_is_gone_if_nobody_has_noticed(watched: Caller) -> None:
    run = start(watched, "backup", "--stdin-from-command", "--", script(watched))
    wait_for_file(watched.folder / "ready")
    for path in (watched.repository / "locks").iterdir():
        path.unlink()
    run.process.send_signal(signal.SIGINT)
    out, _ = run.process.communicate(timeout=SOON_SECONDS)
    assert run.process.returncode == 130
    assert out.decode().splitlines()[-1] == "interrupted"
