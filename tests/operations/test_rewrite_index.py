"""The index written anew: which files are touched, in which order, and what the new ones say."""

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import LockedError
from pyrestic.format import index_file
from pyrestic.format.index_file import IndexPack
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID
from pyrestic.operations import rewrite_index as module
from pyrestic.operations.rewrite_index import rewrite_index
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.support.backends import RecordingBackend
from tests.support.repositories import PASSWORD, make_repository

FULL = 4


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an index file be full with four blobs."""
    monkeypatch.setattr(module, "INDEX_BLOBS", FULL)
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)


def pack(number: int, blobs: int) -> IndexPack:
    entries = [
        HeaderEntry(BlobType.DATA, bytes([number, blob]) + bytes(30), 50 * blob, 50, 40) for blob in range(blobs)
    ]
    return IndexPack(identify(number), entries)


def identify(number: int) -> ID:
    return bytes([number]) * 32


def make(backend: RecordingBackend, *files: list[IndexPack]) -> tuple[Repository, list[str]]:
    """Store index files and return a repository that has loaded them, with the names of the files."""
    repository = make_repository(backend)
    names = [repository.save_unpacked(FileType.INDEX, index_file.encode(packs)).hex() for packs in files]
    again = Repository.open(backend, PASSWORD)
    again.load_index(NullReporter())
    backend.calls.clear()
    return again, names


def stored(backend: RecordingBackend) -> dict[str, list[IndexPack]]:
    repository = Repository.open(backend, PASSWORD)
    names = [info.name for info in backend.list(FileType.INDEX)]
    return {name: index_file.parse(repository.load_unpacked(FileType.INDEX, bytes.fromhex(name))) for name in names}


def held() -> None:
    """The lock is held."""


def test_full_files_without_such_packs_stay_and_small_ones_are_joined() -> None:
    backend = RecordingBackend(MemoryBackend())
    full, small, other = [pack(1, 2), pack(2, 2)], [pack(3, 1)], [pack(4, 2)]
    repository, names = make(backend, full, small, other)
    rewrite_index(repository, set(), NullReporter(), held)
    after = stored(backend)
    assert after.pop(names[0]) == full
    (joined,) = after.values()
    assert sorted(joined) == sorted(small + other)


def test_packs_to_leave_out_are_named_nowhere_and_all_others_once() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository, names = make(
        backend, [pack(1, 2), pack(2, 2)], [pack(3, 4)], [pack(4, 2), pack(5, 3)], [pack(6, 1), pack(1, 2)]
    )
    rewrite_index(repository, {identify(4), identify(9)}, NullReporter(), held)
    after = stored(backend)
    assert names[1] in after
    assert not {names[0], names[2], names[3]} & set(after)
    named = [one for packs in after.values() for one in packs]
    assert sorted(named) == sorted([pack(1, 2), pack(2, 2), pack(3, 4), pack(5, 3), pack(6, 1)])
    assert all(sum(len(one.blobs) for one in packs) < FULL + 3 for packs in after.values())


def test_new_files_are_stored_before_old_ones_are_removed() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository, _ = make(backend, [pack(1, 3), pack(2, 3)], [pack(3, 2)], [pack(5, 3)])
    rewrite_index(repository, {identify(2)}, NullReporter(), held)
    methods = [call.method for call in backend.calls]
    assert methods == ["save"] * 2 + ["remove"] * 3


def test_a_lost_lock_leaves_the_old_files() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository, names = make(backend, [pack(1, 2)], [pack(2, 2)])

    def lost() -> None:
        raise LockedError("the lock is gone")

    with pytest.raises(LockedError):
        rewrite_index(repository, {identify(1)}, NullReporter(), lost)
    assert set(names) <= set(stored(backend))


def test_an_index_that_is_left_empty_is_no_file() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository, names = make(backend, [pack(1, 2)])
    rewrite_index(repository, {identify(1)}, NullReporter(), held)
    assert stored(backend) == {}
    assert backend.count("save") == 0
    assert Handle(FileType.INDEX, names[0]).name not in stored(backend)
