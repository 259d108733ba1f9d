"""Runs that end anyhow, one after the other: no file that a snapshot had and the disk has is ever in none."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrestic.errors import PyresticError
from pyrestic.format.node import DIRECTORY
from pyrestic.handle import FileType
from pyrestic.localfs.source_folders import SourcePath
from pyrestic.operations.archive_snapshot import BackupResult
from pyrestic.operations.backup import Backup
from pyrestic.operations.backup_options import BackupOptions, BackupRequest
from pyrestic.operations.early_end import EarlyEnd, EarlyReason, PartialOptions
from pyrestic.operations.forget import decide
from pyrestic.operations.partial_snapshots import PartialSnapshots
from pyrestic.operations.retention import GroupBy, Policy
from pyrestic.operations.source_file import SourceReader
from pyrestic.report import NullReporter
from pyrestic.repository.held_lock import LockTiming
from pyrestic.repository.locks import Lock
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot, read_snapshots
from tests.support.repositories import make_repository, open_again

NAMES = [f"{folder}/{name}" for folder in "abc" for name in "xyz"]


class Step(NamedTuple):
    """What happens: files appear or vanish, then a run, which may end, skip files, or have checkpoints."""

    disk: frozenset[str]
    end: int | None
    unreadable: frozenset[str]
    force: bool
    every: int
    forget: bool


few = st.frozensets(st.sampled_from(NAMES), max_size=3)
STEPS = st.lists(
    st.builds(
        Step,
        disk=few.map(lambda absent: frozenset(NAMES) - absent),
        end=st.one_of(st.none(), st.integers(7, 20)),
        unreadable=st.one_of(st.just(frozenset()), few),
        force=st.sampled_from([False, False, False, True]),
        every=st.sampled_from([0, 0, 3]),
        forget=st.booleans(),
    ),
    min_size=2,
    max_size=5,
)


class CountingEnd(EarlyEnd):
    """Asks for the end at the so many-th question."""

    def __init__(self, end: int | None) -> None:
        super().__init__()
        self._left = end

    def ensure_unwanted(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.request(EarlyReason.INTERRUPTED)
        super().ensure_unwanted()


def files_of(repository: Repository, stored: StoredSnapshot, top: Path) -> set[str]:
    found = set()
    todo = [("", stored.snapshot.tree_id)]
    while todo:
        prefix, tree = todo.pop()
        for node in repository.load_tree(tree):
            path = f"{prefix}/{os.fsdecode(node.raw_name)}"
            if node.type == DIRECTORY:
                assert node.subtree is not None
                todo.append((path, bytes.fromhex(node.subtree)))
            else:
                found.add(os.path.relpath(path, top))
    return found


def in_snapshots(repository: Repository, top: Path) -> set[str]:
    return {path for stored in read_snapshots(repository).found for path in files_of(repository, stored, top)}


def write(top: Path, disk: frozenset[str], changed: frozenset[str], text: str) -> None:
    for name in NAMES:
        path = top / name
        if name in disk and (name in changed or not path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif name not in disk:
            path.unlink(missing_ok=True)


def run(repository: Repository, top: Path, step: Step, now_ns: int) -> BackupResult:
    request = BackupRequest(
        [os.fsencode(top)],
        BackupOptions(hostname="h", time_ns=now_ns, force=step.force),
        environment={},
        cache_folder="",
        warn=lambda _: None,
    )
    asked = itertools.count(1)
    original_read = SourceReader.read

    def read(reader: SourceReader, name: bytes, source: SourcePath) -> Any:
        if os.path.relpath(os.fsdecode(source.path), top) in step.unreadable:
            reader.error(source.path, "open", PermissionError(13, "Permission denied"))
            return None
        return original_read(reader, name, source)

    report = NullReporter()
    with (
        pytest.MonkeyPatch.context() as patched,
        Lock(repository, report, exclusive=False, timing=LockTiming(second_look=0.0)) as lock,
    ):
        patched.setattr(SourceReader, "read", read)
        if step.every:
            due = lambda _: 0.0 if next(asked) % step.every == 0 else 1.0  # noqa: E731
            patched.setattr(PartialSnapshots, "seconds_left", due)
        partial = PartialOptions(CountingEnd(step.end))
        return Backup(repository, request, report, lock=lock, partial=partial).run()


def forget(repository: Repository) -> None:
    for group in decide(read_snapshots(repository).found, Policy(last=100), GroupBy(host=True, paths=True)):
        for stored in group.decision.remove:
            assert stored.snapshot.is_partial
            repository.remove(FileType.SNAPSHOT, stored.id)


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "top"


def test_a_file_that_moves_between_two_unfinished_runs_stays_in_a_snapshot(top: Path) -> None:
    """The second run finds that it has left its old folder, and does not reach the new one."""
    shutil.rmtree(top, ignore_errors=True)
    repository = open_again(make_repository())
    write(top, frozenset(NAMES) - {"c/z"}, frozenset(), "text")
    for hour, end in ((1, 17), (2, 15)):
        step = Step(frozenset(), end, frozenset(), force=False, every=0, forget=True)
        assert run(repository, top, step, hour * 3600 * 10**9).early is not None
        forget(repository)
        assert in_snapshots(repository, top) & {"b/x", "c/z"}
        if hour == 1:
            (top / "b" / "x").rename(top / "c" / "z")
    newest = max(read_snapshots(repository).found, key=lambda stored: stored.snapshot.time_ns)
    assert not files_of(repository, newest, top) & {"b/x", "c/z"}


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_no_file_is_lost_whatever_runs_end_how(top: Path, steps: list[Step]) -> None:
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    repository = make_repository()
    for hour, step in enumerate(steps):
        # A file that is unchanged is not opened.
        write(top, step.disk, step.unreadable, f"at {hour} o'clock")
        repository = open_again(repository)
        had = in_snapshots(repository, top) & step.disk
        try:
            result = run(repository, top, step, (hour + 1) * 3600 * 10**9)
        except PyresticError:
            assert step.disk <= step.unreadable
            continue
        left = read_snapshots(repository).found
        if result.early is None:
            newest = max(left, key=lambda stored: stored.snapshot.time_ns)
            assert (newest.id, newest.snapshot.is_partial) == (result.id, False)
            assert step.disk - step.unreadable <= files_of(repository, newest, top) <= step.disk
            if not step.unreadable and not step.force:
                assert newest.snapshot.parent not in {one.id.hex() for one in left if one.snapshot.is_partial}
        if step.forget and not any(each.unreadable for each in steps):
            # A policy cannot know that a finished snapshot lacks files that could not be read.
            forget(repository)
        assert had <= in_snapshots(repository, top)
