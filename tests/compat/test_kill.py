"""A backup killed at any moment leaves a repository that the real restic calls clean, and loses no finished pack."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

KILLS = 50
LARGE, SMALL = 8, 1500


def packs(repository: Path) -> set[str]:
    """Return the names of the packs that are stored whole."""
    return {path.name for path in (repository / "data").glob("??/*") if len(path.name) == 64}


def start_backup(pyrestic: Program, repository: Path, source: Path) -> "subprocess.Popen[bytes]":
    command = [*pyrestic.command, "--repo", str(repository), "--pack-size", "4", "backup", "--quiet", str(source)]
    return subprocess.Popen(command, env=pyrestic.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_packs(process: "subprocess.Popen[bytes]", repository: Path, count: int) -> None:
    """Return when so many packs are stored, or the process has ended."""
    deadline = time.monotonic() + 60
    while len(packs(repository)) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def make_source(folder: Path) -> None:
    """Several packs of large files, and small ones for a few batches."""
    folder.mkdir()
    dice = random.Random(20)
    for number in range(LARGE):
        (folder / f"large {number}").write_bytes(dice.randbytes(3 << 20))
    for number in range(SMALL):
        (folder / f"small {number}").write_bytes(dice.randbytes(2000))


@pytest.mark.restic
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_kills_at_random_moments_leave_a_clean_repository_and_lose_no_pack(
    pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    source, empty, repository = tmp_path / "source", tmp_path / "empty", tmp_path / "repository"
    make_source(source)
    make_quick_repository(empty)
    dice = random.Random(22)
    for _ in range(2):
        # The first run has the chunker compiled beside it; the second one shows how long it takes.
        shutil.rmtree(repository, ignore_errors=True)
        shutil.copytree(empty, repository)
        started = time.monotonic()
        assert start_backup(pyrestic, repository, source).wait() == 0
        whole_seconds = time.monotonic() - started
    killed = killed_among_packs = 0
    for number in range(KILLS):
        shutil.rmtree(repository)
        shutil.copytree(empty, repository)
        process = start_backup(pyrestic, repository, source)
        if number % 2:
            # Whatever the machine's speed, half of the kills fall among the packs.
            wait_for_packs(process, repository, dice.randint(1, 4))
            time.sleep(dice.uniform(0, 0.1))
        else:
            # Starting and opening take the first part of the time.
            time.sleep(whole_seconds * dice.uniform(0.3, 0.9))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        stored = packs(repository)
        killed_among_packs += bool(stored)
        newest.run("check", "--no-lock", "--read-data", repository=repository)
        again = pyrestic.run("backup", "--json", "--pack-size", "4", source, repository=repository).messages[-1]
        assert again["total_files_processed"] == LARGE + SMALL
        assert stored <= packs(repository)
        blobs = newest.run("list", "blobs", repository=repository).text.split()
        assert len(blobs[1::2]) == len(set(blobs[1::2])), "a blob of a finished pack was stored again"
    newest.run("check", "--read-data", repository=repository)
    assert killed >= KILLS // 2
    assert killed_among_packs >= KILLS // 5


@pytest.mark.restic
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backup_ends_soon_with_130_and_releases_its_lock(
    pyrestic: Program, newest: Program, tmp_path: Path, number: signal.Signals
) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    dice = random.Random(21)
    for index in range(40):
        (source / f"large {index}").write_bytes(dice.randbytes(4 << 20))
    make_quick_repository(repository)
    process = start_backup(pyrestic, repository, source)
    wait_for_packs(process, repository, 3)
    process.send_signal(number)
    started = time.monotonic()
    assert process.wait(timeout=60) == 130
    assert time.monotonic() - started < 10
    assert list((repository / "locks").iterdir()) == []
    newest.run("check", "--read-data", repository=repository)
    stored = packs(repository)
    pyrestic.run("backup", source, repository=repository)
    assert stored <= packs(repository)
    blobs = newest.run("list", "blobs", repository=repository).text.split("\n")
    assert len(blobs) == len(set(blobs))
