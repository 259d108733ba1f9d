"""The first run in an empty home: what is compiled beside it holds nothing up and holds nothing of the run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format.keyfile import ScryptParams
from pyrestic.native.code_files import file_name
from pyrestic.repository.repository import Repository
from tests.support.cli import PASSWORD, Caller

pytestmark = pytest.mark.process

pytest.importorskip("numba")

DEAR = ScryptParams(1 << 12, 8, 8)
"""A key that is dear enough for compiled code, and derived in a moment without."""


@pytest.fixture
def first(call: Caller) -> Caller:
    """A repository with such a key, and sources of more than one batch of small files and a large one."""
    Repository.create(
        LocalBackend(str(call.repository)),
        PASSWORD,
        hostname="host",
        username="user",
        created="2024-01-02T03:04:05Z",
        params=DEAR,
    ).close()
    source = call.folder / "source"
    source.mkdir()
    for number in range(600):
        (source / f"{number}").write_bytes(b"%d" % number * 20)
    (source / "large").write_bytes(os.urandom(3 << 20))
    return call


def start(
    call: Caller, *words: str | Path, stdout: int | None = None, stderr: int | None = None
) -> "subprocess.Popen[bytes]":
    environment = {**call.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    command = [sys.executable, "-m", "pyrestic", *map(str, words)]
    return subprocess.Popen(
        command, env=environment, cwd=call.folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    )


def compilers(call: Caller) -> list[int]:
    """The processes that compile for this home."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"-I" in words and any(word.startswith(bytes(call.folder)) for word in words):
            found.append(int(name))
    return found


def end_compilers(call: Caller) -> None:
    """End them, as they would take some seconds more."""
    for process in compilers(call):
        os.kill(process, signal.SIGKILL)


def test_a_backup_does_not_wait_and_its_output_ends_with_it(first: Caller) -> None:
    backup = start(first, "backup", first.folder / "source", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Whoever waits for the end of its streams, as cron does, waits for nobody else.
    out, err = backup.communicate(timeout=120)
    try:
        assert backup.returncode == 0
        assert b"processed 601 files" in out
        assert err == b""
        (process,) = compilers(first)
        assert os.getpriority(os.PRIO_PROCESS, process) == 19
        assert os.getsid(process) == process
        assert not Path("/proc", str(process), "environ").read_bytes()
        held = {os.readlink(entry) for entry in Path("/proc", str(process), "fd").iterdir()}
        assert os.readlink(f"/proc/{process}/cwd") == "/"
        assert not any(str(first.repository) in name or "/dev/pts" in name for name in held)
        assert PASSWORD.encode() not in Path("/proc", str(process), "cmdline").read_bytes()
    finally:
        end_compilers(first)
    assert first("check", "--read-data").code == 0


def open_to_write(pipe: Path) -> int | None:
    """Return a descriptor of the pipe, None while nobody reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_beside_which_something_is_compiled(first: Caller, number: signal.Signals) -> None:
    os.mkfifo(first.folder / "pipe")
    # The command never ends by itself: nobody writes to the pipe that is its new password.
    run = start(first, "key", "add", "--new-password-file", first.folder / "pipe", stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    try:
        # It opens the pipe when it has its lock.
        while (writer := open_to_write(first.folder / "pipe")) is None or not compilers(first):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
        os.close(writer)
        assert run.returncode == 130
        assert b"Traceback" not in err
        assert os.listdir(first.repository / "locks") == []
        while compilers(first):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        end_compilers(first)


def test_without_a_cache_nothing_is_kept(first: Caller) -> None:
    backup = start(first, "backup", "--no-cache", "-q", first.folder / "source")
    assert backup.wait(120) == 0
    # The chunker is compiled for this run alone, and nobody needs it any more.
    deadline = time.monotonic() + 120
    while compilers(first):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (first.folder / "cache").exists()


def test_a_home_that_is_removed_meanwhile_is_not_made_again(first: Caller) -> None:
    assert start(first, "snapshots", "-q").wait(120) == 0
    cache = first.folder / "cache"
    deadline = time.monotonic() + 120
    while not (cache / "pyrestic" / "lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shutil.rmtree(cache)
    while compilers(first):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not cache.exists()


def test_the_second_run_uses_what_was_made_beside_the_first(first: Caller) -> None:
    assert start(first, "snapshots", "-q").wait(120) == 0
    kept = first.folder / "cache" / "pyrestic" / file_name("scrypt")
    deadline = time.monotonic() + 120
    while compilers(first):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    made = kept.stat()
    assert start(first, "snapshots", "-q").wait(120) == 0
    assert compilers(first) == []
    assert kept.stat().st_mtime_ns == made.st_mtime_ns
