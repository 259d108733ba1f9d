"""A backend of which nothing is asked any more once the end was asked for."""

import threading

import pytest

from pyrestic.backend.base import IndexCopyCache, MetadataCache
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.cancel import make_cancellable
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import CancelledError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.backends import FaultyBackend

DATA = b"some content"


def handle(file_type: FileType) -> Handle:
    return Handle(file_type, hash_id(DATA).hex())


def test_only_locks_and_what_an_index_is_written_with_pass_after_the_end_was_asked_for() -> None:
    cancel = threading.Event()
    backend = make_cancellable(MemoryBackend(), cancel)
    for file_type in (FileType.PACK, FileType.INDEX, FileType.LOCK, FileType.SNAPSHOT):
        backend.save(handle(file_type), DATA)
    listing = backend.list(FileType.PACK)
    cancel.set()
    for file_type in (FileType.PACK, FileType.SNAPSHOT, FileType.KEY):
        for operation in (
            lambda file_type=file_type: backend.save(handle(file_type), DATA),
            lambda file_type=file_type: backend.load(handle(file_type)),
            lambda file_type=file_type: backend.stat(handle(file_type)),
            lambda file_type=file_type: backend.remove(handle(file_type)),
        ):
            with pytest.raises(CancelledError):
                operation()
    with pytest.raises(CancelledError):
        next(listing)
    with pytest.raises(CancelledError):
        backend.load(handle(FileType.INDEX))
    assert backend.load(handle(FileType.LOCK)) == DATA
    assert [info.length for info in backend.list(FileType.LOCK)] == [len(DATA)]
    backend.remove(handle(FileType.LOCK))
    backend.save(handle(FileType.INDEX), DATA)
    backend.remove(handle(FileType.INDEX))


def test_it_stays_cancelled_also_if_the_event_is_cleared() -> None:
    cancel = threading.Event()
    backend = make_cancellable(MemoryBackend(), cancel)
    cancel.set()
    with pytest.raises(CancelledError):
        backend.load(handle(FileType.PACK))
    cancel.clear()
    assert backend.refused
    with pytest.raises(CancelledError):
        backend.save(handle(FileType.PACK), DATA)


def test_a_wait_before_the_next_attempt_ends_and_the_backend_waits_again_after_that() -> None:
    faulty = FaultyBackend(MemoryBackend())
    faulty.save(handle(FileType.PACK), DATA)
    faulty.fail("load", lambda: TransientError("the line is busy"))
    cancel = threading.Event()
    waited: list[str] = []

    def note(message: str) -> None:
        waited.append(message)
        cancel.set()

    retry = RetryBackend(faulty, on_retry=note, chance=lambda: 0.5)
    backend = make_cancellable(retry, cancel)
    with backend.watched(), pytest.raises(TransientError, match="the line is busy"):
        backend.load(handle(FileType.PACK))
    assert len(waited) == 1
    assert not retry._stopped.is_set()
    assert retry.load(handle(FileType.PACK)) == DATA


def test_it_offers_what_the_backend_offers() -> None:
    backend = make_cancellable(MemoryBackend(), threading.Event())
    assert not isinstance(backend, MetadataCache | IndexCopyCache)
