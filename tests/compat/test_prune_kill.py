"""A prune killed at any moment leaves a repository that the real restic calls clean; the next one ends the work."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.prunable import make_wasteful_repository, packs, stored_bytes, used_blobs
from tests.support.restic import Program

pytestmark = pytest.mark.restic

FLAGS = ["--pack-size", "4", "--max-unused", "0", "--repack-uncompressed"]
ATTEMPTS = 4


def index_files(repository: Path) -> set[str]:
    return {path.name for path in (repository / "index").iterdir() if len(path.name) == 64}


def start_prune(pyrestic: Program, repository: Path) -> "subprocess.Popen[bytes]":
    command = [*pyrestic.command, "--repo", str(repository), "prune", *FLAGS]
    return subprocess.Popen(command, env=pyrestic.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> None:
    """Return when a state is reached, or the process has ended."""
    deadline = time.monotonic() + 100
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)


def progress_marks(repository: Path) -> list[tuple[str, Callable[[], bool]]]:
    """Return moments of a prune, told by what the repository holds."""
    old_packs, old_index = packs(repository), index_files(repository)

    def at_least(count: int, things: Callable[[], set[str]]) -> Callable[[], bool]:
        return lambda: len(things()) >= count

    def locks() -> set[str]:
        return {path.name for path in (repository / "locks").iterdir()}

    kinds: list[tuple[str, Callable[[], set[str]], tuple[int, ...]]] = [
        ("locks", locks, (1,)),
        ("orphans gone", lambda: {"ab" * 32} & (old_packs - packs(repository)), (1,)),
        ("new packs", lambda: packs(repository) - old_packs, (1, 2, 3, 4, 5, 6)),
        ("new index files", lambda: index_files(repository) - old_index, (1, 2)),
        ("index files gone", lambda: old_index - index_files(repository), (1, 3)),
        ("packs gone", lambda: old_packs - packs(repository), (2, 4, 7)),
    ]
    return [(f"{count} {name}", at_least(count, things)) for name, things, counts in kinds for count in counts]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_at_any_moment_leave_a_clean_repository_and_the_next_prune_ends_the_work(
    pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    original = make_wasteful_repository(tmp_path / "made", newest)
    repository = tmp_path / "repository"
    used = used_blobs(original)
    dice = random.Random(30)
    killed: list[str] = []
    shutil.copytree(original, repository)
    names = [name for name, _ in progress_marks(repository)]
    assert len(names) == 15
    for number, name in enumerate(names):
        # A prune that was quicker than the look for its state gets another chance to be killed there.
        for _ in range(ATTEMPTS):
            shutil.rmtree(repository)
            shutil.copytree(original, repository)
            reached = progress_marks(repository)[number][1]
            process = start_prune(pyrestic, repository)
            wait_until(process, reached)
            time.sleep(dice.uniform(0, 0.002))
            process.send_signal(signal.SIGKILL)
            if process.wait() == -signal.SIGKILL:
                killed.append(name)
                break
        newest.run("check", "--no-lock", "--read-data", repository=repository)
        assert used_blobs(repository) == used
        pyrestic.run("prune", *FLAGS, repository=repository)
        newest.run("check", "--read-data", repository=repository)
        listed = newest.run("list", "blobs", repository=repository).text.splitlines()
        assert len(listed) == len(set(listed)) == len(used)
    print(f"killed {len(killed)} times: {killed}")
    assert len(killed) >= 10, killed
    assert any("new packs" in name for name in killed)
    assert any("gone" in name for name in killed)


def test_index_files_left_beside_the_new_ones_go_with_the_next_prune(
    pyrestic: Program, newest: Program, tmp_path: Path
) -> None:
    repository = make_wasteful_repository(tmp_path / "made", newest)
    # By chance it leaves ten small packs or more, which the next one joins: begin where it has nothing left to do.
    settled: set[str] = set()
    while settled != packs(repository):
        settled = packs(repository)
        newest.run("prune", *FLAGS, repository=repository)
    old = {path: path.read_bytes() for path in (repository / "index").iterdir()}
    newest.run("repair", "index", "--read-all-packs", repository=repository)
    assert not index_files(repository) & {path.name for path in old}
    for path, data in old.items():
        path.write_bytes(data)
    before, used = packs(repository), used_blobs(repository)
    assert len(newest.run("list", "blobs", repository=repository).text.splitlines()) == 2 * len(used)
    pyrestic.run("prune", *FLAGS, repository=repository)
    assert packs(repository) == before
    assert len(index_files(repository)) == 1
    newest.run("check", "--read-data", repository=repository)
    listed = newest.run("list", "blobs", repository=repository).text.splitlines()
    assert len(listed) == len(set(listed)) == len(used)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_prune_ends_with_130_releases_its_lock_and_keeps_what_it_did(
    pyrestic: Program, newest: Program, tmp_path: Path, number: signal.Signals
) -> None:
    repository = make_wasteful_repository(tmp_path / "made", newest, backups=4)
    used, before = used_blobs(repository), packs(repository)
    process = start_prune(pyrestic, repository)
    wait_until(process, lambda: bool(packs(repository) - before))
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    assert list((repository / "locks").iterdir()) == []
    newest.run("check", "--read-data", repository=repository)
    stored = packs(repository) - before
    assert stored
    length = stored_bytes(repository)
    pyrestic.run("prune", *FLAGS, repository=repository)
    newest.run("check", "--read-data", repository=repository)
    assert used_blobs(repository) == used
    assert stored_bytes(repository) < length
    listed = newest.run("list", "blobs", repository=repository).text.splitlines()
    assert len(listed) == len(set(listed)) == len(used)
