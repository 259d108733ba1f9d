"""A backup killed at any moment leaves a repository that the real restic calls clean, and loses no finished pack."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.restic import Program

KILLS = 50


def packs(repository: Path) -> set[str]:
    """Return the names of the packs that are stored whole."""
    return {path.name for path in (repository / "data").glob("??/*") if len(path.name) == 64}


def start_backup(pyrestic: Program, repository: Path, source: Path) -> "subprocess.Popen[bytes]":
    command = [*pyrestic.command, "--repo", str(repository), "--pack-size", "4", "backup", "--quiet", str(source)]
    return subprocess.Popen(command, env=pyrestic.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.restic
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_at_random_moments_leave_a_clean_repository_and_lose_no_pack(
    pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    source, empty = tmp_path / "source", tmp_path / "empty"
    source.mkdir()
    dice = random.Random(20)
    for number in range(12):
        (source / f"large {number}").write_bytes(dice.randbytes(3 << 20))
    for number in range(300):
        (source / f"small {number}").write_bytes(dice.randbytes(2000))
    pyrestic.run("init", repository=empty)
    full = tmp_path / "full"
    shutil.copytree(empty, full)
    started = time.monotonic()
    assert start_backup(pyrestic, full, source).wait() == 0
    whole_seconds = time.monotonic() - started
    killed_inside = 0
    repository = tmp_path / "repository"
    shutil.copytree(empty, repository)
    for number in range(KILLS):
        if number % 10 == 0:
            shutil.rmtree(repository)
            shutil.copytree(empty, repository)
        process = start_backup(pyrestic, repository, source)
        # Most of the work lies in the last part: starting and opening take a while.
        time.sleep(whole_seconds * dice.uniform(0.4, 1.0))
        process.send_signal(signal.SIGKILL)
        killed_inside += process.wait() == -signal.SIGKILL
        if number % 5 == 4:
            stored = packs(repository)
            newest.run("unlock", "--remove-all", repository=clean_copy(repository, tmp_path / "copy"))
            newest.run("check", "--read-data", repository=tmp_path / "copy")
            again = pyrestic.run("backup", "--json", "--pack-size", "4", source, repository=repository)
            assert again.messages[-1]["files_new"] + again.messages[-1]["files_unmodified"] == 312
            assert stored <= packs(repository)
            blobs = newest.run("list", "blobs", repository=repository).text.split("\n")
            assert len(blobs) == len(set(blobs)), "a blob of a finished pack was stored again"
    assert killed_inside >= KILLS // 2
    newest.run("check", "--read-data", repository=repository)


def clean_copy(repository: Path, copy: Path) -> Path:
    """Copy a repository, so that checking it takes nothing from what the next backup finds."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(repository, copy)
    return copy


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
    pyrestic.run("init", repository=repository)
    process = start_backup(pyrestic, repository, source)
    deadline = time.monotonic() + 60
    while len(packs(repository)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
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
