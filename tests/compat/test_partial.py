"""The real restic with partial snapshots: it checks, restores, continues, forgets and prunes them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.format.snapshot import PARTIAL_TAG
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import RELEASES, ROOT, Program, find_restic

pytestmark = pytest.mark.restic

SLOW = """
import os, time
readv = os.readv
def slow(descriptor, buffers):
    if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/endless"):
        time.sleep(0.05)
        buffers = [memoryview(buffers[0])[:4096]]
    return readv(descriptor, buffers)
os.readv = slow
"""
"""Lets a file of that name take a minute, as on a disk that fails."""
DONE = 40


def make_source(folder: Path) -> None:
    for number in range(DONE):
        path = folder / "a" / f"{number % 4}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{number} ".encode() * 2000)
    (folder / "b").mkdir()
    (folder / "b" / "endless").write_bytes(os.urandom(4 << 20))
    (folder / "c").mkdir()
    (folder / "c" / "last").write_bytes(b"last" * 50_000)


@pytest.fixture
def slow(tmp_path: Path) -> dict[str, str]:
    """The environment in which one file is slow."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SLOW)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def begin(pyrestic: Program, repository: Path, source: Path, slow: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a backup, and return it once it reads the slow file."""
    flags = ["--partial", "--read-concurrency", "1"]
    command = [*pyrestic.command, "--repo", str(repository), "backup", *flags, str(source)]
    process = subprocess.Popen(
        command, env=pyrestic.environment(**slow), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 60
    while not any(name.endswith("/endless") for name in opened(process.pid)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def opened(process: int) -> Iterator[str]:
    folder = f"/proc/{process}/fd"
    for name in os.listdir(folder):
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:
            continue


def restored(restic: Program, repository: Path, source: Path, target: Path) -> dict[str, bytes]:
    restic.run("restore", "latest", "--target", target, repository=repository)
    top = target / source.relative_to("/")
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 130, "interrupted"),
        (signal.SIGUSR2, 3, "asked to end early"),
    ],
)
def test_an_interrupted_first_upload_survives_the_prune_of_restic(
    pyrestic: Program,
    newest: Program,
    tmp_path: Path,
    slow: dict[str, str],
    number: signal.Signals,
    code: int,
    words: str,
) -> None:
    source, repository = tmp_path / "source", make_quick_repository(tmp_path / "repository")
    make_source(source)
    process = begin(pyrestic, repository, source, slow)
    process.send_signal(number)
    out, _ = process.communicate(timeout=80)
    assert process.returncode == code, out
    assert b"saved, partial" in out
    assert f"the backup ended early: {words}".encode() in out
    assert list((repository / "locks").iterdir()) == []
    newest.run("check", "--read-data", repository=repository)
    newest.run("prune", "--max-unused", "0", repository=repository)
    files = restored(newest, repository, source, tmp_path / "target")
    assert files == {name: data for name, data in contents(source).items() if name.startswith("a/")}
    again = pyrestic.run("backup", "--json", source, repository=repository).messages[-1]
    assert (again["files_unmodified"], again["files_new"]) == (DONE, 2)
    (only,) = newest.snapshots(repository)
    assert "tags" not in only
    newest.run("check", "--read-data", repository=repository)


@pytest.mark.parametrize("release", [RELEASES[0], RELEASES[-1]])
def test_restic_restores_continues_and_forgets_a_partial_snapshot_with_a_parent(
    pyrestic: Program, tmp_path: Path, slow: dict[str, str], release: str
) -> None:
    restic = find_restic(release, tmp_path)
    source, repository = tmp_path / "source", make_quick_repository(tmp_path / "repository")
    make_source(source)
    old = contents(source)
    restic.run("backup", source, repository=repository)
    (source / "a" / "new").write_bytes(b"new")
    (source / "a" / "0" / "file 0").unlink()
    (source / "b" / "endless").write_bytes(os.urandom(4 << 20))
    (source / "c" / "last").write_bytes(b"changed, but not reached" * 10_000)
    process = begin(pyrestic, repository, source, slow)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=80)
    assert process.returncode == 130, out
    restic.run("check", repository=repository)
    files = restored(restic, repository, source, tmp_path / "target")
    new = contents(source)
    assert files == {name: (new if name.startswith("a/") else old)[name] for name in new}
    first, partial = restic.snapshots(repository)
    assert (partial["tags"], partial["parent"]) == ([PARTIAL_TAG], first["id"])
    assert (partial["paths"], partial["hostname"]) == (first["paths"], first["hostname"])
    said = restic.run("backup", "--json", source, repository=repository).messages[-1]
    assert (said["files_new"], said["files_changed"], said["files_unmodified"]) == (0, 2, DONE)
    assert restic.snapshots(repository)[-1]["parent"] == partial["id"]
    pyrestic.run("forget", "--keep-last", "10", repository=repository)
    assert [one.get("tags") for one in restic.snapshots(repository)] == [None, None]
    restic.run("forget", "--keep-last", "1", "--prune", repository=repository)
    restic.run("check", "--read-data", repository=repository)
    assert restored(restic, repository, source, tmp_path / "again") == new


def test_a_second_signal_ends_an_early_end_at_once(
    pyrestic: Program, newest: Program, tmp_path: Path, slow: dict[str, str]
) -> None:
    source, repository = tmp_path / "source", make_quick_repository(tmp_path / "repository")
    make_source(source)
    (tmp_path / "slow" / "sitecustomize.py").write_text(
        SLOW
        + "from pyrestic.repository.saver import Saver\n"
        + "def wait(self):\n"
        + "    os.write(1, b'ending')\n"
        + "    time.sleep(1000)\n"
        + "Saver.flush_saved = wait\n"
    )
    process = begin(pyrestic, repository, source, slow)
    second = pyrestic.run("backup", source, repository=repository, code=11)
    assert f"by process {process.pid} since " in second.stderr.decode()
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    said = b""
    while b"ending" not in said:
        piece = os.read(process.stdout.fileno(), 4096)
        assert piece, said
        said += piece
    assert b"signal interrupt received, storing what is complete" in said
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert newest.run("snapshots", "--json", "--no-lock", repository=repository).json == []


def test_an_early_end_that_takes_too_long_ends_as_an_interrupt_does(
    pyrestic: Program, tmp_path: Path, slow: dict[str, str]
) -> None:
    source, repository = tmp_path / "source", make_quick_repository(tmp_path / "repository")
    make_source(source)
    (tmp_path / "slow" / "sitecustomize.py").write_text(
        SLOW
        + "from pyrestic.cli import interrupts\n"
        + "from pyrestic.repository.saver import Saver\n"
        + "interrupts._EARLY_SECONDS = 0.5\n"
        + "Saver.flush_saved = lambda self: time.sleep(1000)\n"
    )
    for number in (signal.SIGTERM, signal.SIGUSR2):
        process = begin(pyrestic, repository, source, slow)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, b"interrupted" in out) == (130, True)
        assert list((repository / "locks").iterdir()) == []
        assert list((repository / "snapshots").iterdir()) == []
