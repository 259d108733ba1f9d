"""Locks beside the real restic: it removes ours while a backup is under way, and it is killed and leaves its own."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

CONTENT = random.Random(31).randbytes(24 << 20)


@contextmanager
def held_backup(program: Program, repository: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A backup of a stream that has stored some packs and waits for the rest of the stream."""
    command = [*program.command, "--repo", str(repository), "--pack-size", "4", "backup", "--stdin"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=program.environment(), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        process.stdin.write(CONTENT)
        process.stdin.flush()
        deadline = time.monotonic() + 120
        # The cuts depend on the repository: of 24 MiB the third pack of 4 MiB is sometimes not full yet.
        while len(names(repository, "data")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(names(repository, "locks")) == 1
        try:
            yield process
        finally:
            process.kill()


def names(repository: Path, kind: str) -> set[str]:
    return {path.name for path in (repository / kind).rglob("*") if len(path.name) == 64}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_quick_repository(tmp_path / "repository")


@pytest.mark.restic
def test_a_backup_whose_lock_restic_removed_names_no_pack_that_restic_pruned(
    pyrestic: Program, newest: Program, repository: Path
) -> None:
    with held_backup(pyrestic, repository) as process:
        newest.run("unlock", "--remove-all", repository=repository)
        newest.run("prune", "--max-unused", "0", repository=repository)
        assert names(repository, "data") == set()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 11
        assert errors.count(b"Fatal: the lock was lost, another process has removed it\n") == 1
        assert errors.count(b"the lock was lost") == 1
    assert names(repository, "index") == set()
    assert names(repository, "snapshots") == set()
    newest.run("check", "--read-data", repository=repository)
    pyrestic.run("backup", "--stdin", repository=repository, stdin=CONTENT)
    newest.run("check", "--read-data", repository=repository)
    assert newest.run("dump", "latest", "stdin", repository=repository).stdout == CONTENT


@pytest.mark.restic
def test_a_lock_of_a_killed_restic_is_left_to_unlock_though_it_ran_on_a_host_of_our_name(
    pyrestic: Program, newest: Program, repository: Path
) -> None:
    """It may as well run on another machine with our name."""
    with held_backup(newest, repository) as process:
        process.kill()
        process.wait()
    locks = names(repository, "locks")
    packs = names(repository, "data")
    refused = pyrestic.run("prune", repository=repository, code=11)
    assert b"repository is already locked by PID" in refused.stderr
    assert b"unlock" in refused.stderr
    pyrestic.run("backup", "--stdin", repository=repository, stdin=b"something else")
    assert locks == names(repository, "locks")
    assert packs <= names(repository, "data")
    pyrestic.run("unlock", repository=repository)
    pyrestic.run("prune", repository=repository)
    assert packs & names(repository, "data") == set()


@pytest.mark.restic
def test_a_lock_of_a_killed_run_of_ours_is_removed_and_its_packs_are_taken_over(
    pyrestic: Program, newest: Program, repository: Path
) -> None:
    with held_backup(pyrestic, repository) as process:
        process.kill()
        process.wait()
    locks, packs = names(repository, "locks"), names(repository, "data")
    assert len(locks) == 1
    told = pyrestic.run("backup", "--stdin", "--pack-size", "4", repository=repository, stdin=CONTENT)
    assert b"which no longer runs" in told.stdout + told.stderr
    assert names(repository, "locks") == set()
    assert packs <= names(repository, "data")
    blobs = newest.run("list", "blobs", repository=repository).text.split()[1::2]
    assert len(blobs) == len(set(blobs))
    newest.run("check", "--read-data", repository=repository)
