"""Which snapshots a command works on, and what it says of names and filters that it cannot use."""

from collections.abc import Callable, Iterator

import pytest

from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import FileType
from pyrestic.report import NullReporter, Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import Selection, SnapshotFilter, find_snapshots, select_snapshots
from tests.support.repositories import make_repository

Choose = Callable[[Repository, list[str], SnapshotFilter, Reporter], Selection]
EVERY = pytest.mark.parametrize("choose", [select_snapshots, find_snapshots])
HOST = SnapshotFilter(hosts=("one",))


@pytest.fixture
def saved() -> Iterator[tuple[Repository, str]]:
    """A repository with one snapshot of the host "one", and its ID."""
    repository = make_repository()
    document = Snapshot(time="2024-01-02T03:04:05Z", tree="0" * 64, paths=["/a"], hostname="one")
    yield repository, repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(document)).hex()
    repository.close()


@EVERY
def test_a_name_that_means_nothing_is_a_failure(saved: tuple[Repository, str], choose: Choose) -> None:
    repository, name = saved
    chosen = choose(repository, [name, "nothing"], SnapshotFilter(), NullReporter())
    assert [stored.id.hex() for stored in chosen.snapshots] == [name]
    assert (chosen.failures, chosen.filter_unused) == (1, False)


@EVERY
def test_a_filter_beside_names_is_no_failure_and_told_of_apart(saved: tuple[Repository, str], choose: Choose) -> None:
    repository, name = saved
    chosen = choose(repository, [name], HOST, NullReporter())
    assert (len(chosen.snapshots), chosen.failures, chosen.filter_unused) == (1, 0, True)
    assert not choose(repository, [name, "latest"], HOST, NullReporter()).filter_unused
    assert not choose(repository, [], HOST, NullReporter()).filter_unused


@EVERY
def test_a_filter_that_matches_nothing_is_no_failure(saved: tuple[Repository, str], choose: Choose) -> None:
    chosen = choose(saved[0], [], SnapshotFilter(hosts=("two",)), NullReporter())
    assert (chosen.snapshots, chosen.failures, chosen.filter_unused) == ([], 0, False)
