"""Which lock an operation takes, and that it is gone afterward."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import UsageError
from pyrestic.handle import FileType
from pyrestic.report import NullReporter
from pyrestic.repository.locking import Ending, LockMode, locked
from pyrestic.repository.overlap import Overlap
from tests.support.repositories import make_repository

READERS = (LockMode.READ, LockMode.READ_ALONE)
WRITERS = (LockMode.APPEND, LockMode.EXCLUSIVE)


def test_a_past_state_takes_no_lock_and_cannot_be_changed() -> None:
    for mode in (LockMode.NONE, *READERS):
        assert mode.settle(past=True) is LockMode.NONE
    for mode in WRITERS:
        with pytest.raises(UsageError, match="a past state of a repository cannot be changed"):
            mode.settle(past=True, lock_readers=False)


def test_only_readers_do_without_a_lock() -> None:
    for mode in LockMode:
        assert mode.settle(past=False) is mode
        assert mode.settle(past=False, lock_readers=False) is (LockMode.NONE if mode in READERS else mode)


@pytest.mark.parametrize("mode", LockMode)
def test_the_lock_is_there_for_the_block_alone_and_what_overlaps_is_read(mode: LockMode) -> None:
    repository = make_repository(MemoryBackend())
    steps: list[Callable[[], None]] = []

    @contextmanager
    def when_forced(step: Callable[[], None]) -> Iterator[None]:
        steps.append(step)
        yield
        steps.remove(step)

    overlap = Overlap(lambda _: len(steps))
    overlap.opened(repository, NullReporter())
    ending = Ending(when_forced=when_forced)
    with locked(repository, NullReporter(), mode, overlap=overlap, ending=ending) as lock:
        assert (lock is None) == (mode is LockMode.NONE)
        count = len(list(repository.list_ids(FileType.LOCK)))
        assert count == len(steps) == overlap.found == (mode is not LockMode.NONE)
    assert not steps
    assert not list(repository.list_ids(FileType.LOCK))


def test_a_process_that_ends_at_once_removes_its_lock() -> None:
    repository = make_repository(MemoryBackend())
    steps: list[Callable[[], None]] = []

    @contextmanager
    def when_forced(step: Callable[[], None]) -> Iterator[None]:
        steps.append(step)
        yield

    with locked(repository, NullReporter(), LockMode.APPEND, ending=Ending(when_forced=when_forced)):
        steps[0]()
        assert not list(repository.list_ids(FileType.LOCK))
