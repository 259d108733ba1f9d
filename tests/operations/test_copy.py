"""Copy through our own parts: what it reads, what an error leaves behind, and what is refused."""

import random
from collections import Counter

import msgspec
import pytest

from pyrestic.backend.base import Backend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, DamageError, LockedError, MissingBlobError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.operations.copy import Copy, CopyResult
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository, RepositoryOptions
from pyrestic.repository.snapshots import load_snapshots
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.repositories import PASSWORD, make_repository

SMALL_PACKS = RepositoryOptions(pack_length=4 << 20)


def fill(backend: Backend, *, snapshots: int = 4) -> None:
    """Make a repository whose snapshots share blobs in all packs: each uses two old blobs and two new ones."""
    repository = make_repository(backend, options=SMALL_PACKS)
    dice = random.Random(7)
    blobs = [repository.saver.save(BlobType.DATA, dice.randbytes(900_000)).id.hex() for _ in range(2 * snapshots + 2)]
    dice.shuffle(blobs)
    for number in range(snapshots):
        content = blobs[2 * number : 2 * number + 4]
        tree = repository.saver.save(
            BlobType.TREE, encode_tree([Node(name="f", type="file", content=content, size=3_600_000)])
        ).id
        repository.flush()
        snapshot = Snapshot(time=f"2024-01-0{number + 1}T00:00:00Z", tree=tree.hex(), hostname="h", paths=["/"])
        repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()


def opened(backend: Backend) -> Repository:
    repository = Repository.open(backend, PASSWORD, options=SMALL_PACKS)
    repository.load_index(NullReporter())
    return repository


def copy(source: Backend, target: Backend) -> CopyResult:
    reading, writing, report = opened(source), opened(target), NullReporter()
    try:
        wanted = sorted(load_snapshots(reading, report), key=lambda stored: stored.snapshot.time)
        return Copy(reading, writing, report, lambda: None).run(wanted)
    finally:
        reading.close()
        writing.close()


def load_everything(backend: Backend) -> int:
    """Load all blobs of all snapshots; return how many snapshots there are."""
    repository = opened(backend)
    found = load_snapshots(repository, NullReporter())
    for stored in found:
        for node in repository.load_tree(stored.snapshot.tree_id):
            for identifier in node.content or ():
                repository.load_blob(BlobHandle(BlobType.DATA, bytes.fromhex(identifier)))
    return len(found)


@pytest.fixture
def source() -> MemoryBackend:
    backend = MemoryBackend()
    fill(backend)
    return backend


@pytest.fixture
def target() -> MemoryBackend:
    backend = MemoryBackend()
    make_repository(backend)
    return backend


def test_every_pack_of_content_is_read_once_though_snapshots_share_it(
    source: MemoryBackend, target: MemoryBackend
) -> None:
    recording = RecordingBackend(source)
    result = copy(recording, target)
    assert len(result.saved) == 4
    reads = Counter(call.name for call in recording.calls if call.method == "load" and call.type is FileType.PACK)
    lengths = {info.name: info.length for info in source.list(FileType.PACK)}
    data_packs = [name for name, length in lengths.items() if length > 1_000_000]
    assert len(data_packs) > 1
    assert {reads[name] for name in data_packs} == {1}
    assert load_everything(target) == 4


def test_blobs_that_the_target_has_are_not_read(source: MemoryBackend, target: MemoryBackend) -> None:
    copy(source, target)
    for info in list(target.list(FileType.SNAPSHOT)):
        target.remove(Handle(FileType.SNAPSHOT, info.name))
    recording = RecordingBackend(source)
    result = copy(recording, target)
    assert (result.blobs, len(result.saved)) == (0, 4)
    large = {info.name for info in source.list(FileType.PACK) if info.length > 1_000_000}
    assert not [call for call in recording.calls if call.method == "load" and call.name in large]


def test_after_an_error_the_next_run_goes_on_where_it_was(source: MemoryBackend, target: MemoryBackend) -> None:
    faulty = FaultyBackend(target)
    faulty.fail("save", lambda: AccessError("the disk is full"), file_type=FileType.PACK, after=2, times=9)
    with pytest.raises(AccessError):
        copy(source, faulty)
    assert not list(target.list(FileType.SNAPSHOT))
    stored = {info.name for info in target.list(FileType.PACK)}
    assert stored
    assert copy(source, target).blobs < 14
    assert load_everything(target) == 4
    assert stored <= {info.name for info in target.list(FileType.PACK)}


def test_a_lost_lock_keeps_snapshots_from_being_saved(source: MemoryBackend, target: MemoryBackend) -> None:
    def lost() -> None:
        raise LockedError("the lock is gone")

    reading, writing = opened(source), opened(target)
    with pytest.raises(LockedError):
        Copy(reading, writing, NullReporter(), lost).run(load_snapshots(reading, NullReporter()))
    assert not list(target.list(FileType.SNAPSHOT))


def test_damage_in_the_source_never_reaches_the_target(source: MemoryBackend, target: MemoryBackend) -> None:
    name = max(source.list(FileType.PACK), key=lambda info: info.length).name
    data = bytearray(source.load(Handle(FileType.PACK, name)))
    data[1000] ^= 1
    source.save(Handle(FileType.PACK, name), data)
    with pytest.raises(DamageError, match="could not be copied"):
        copy(source, target)
    assert not list(target.list(FileType.SNAPSHOT))


def test_snapshots_of_which_blobs_are_missing_are_refused_before_anything_is_stored(
    source: MemoryBackend, target: MemoryBackend
) -> None:
    repository = opened(source)
    tree = encode_tree([Node(name="f", type="file", content=["ab" * 32], size=1)])
    root = repository.saver.save(BlobType.TREE, tree).id
    repository.flush()
    snapshot = Snapshot(time="2024-02-01T00:00:00Z", tree=root.hex(), hostname="h", paths=["/"])
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    with pytest.raises(MissingBlobError, match=r"1 blobs .* <data/abababab>"):
        copy(source, target)
    assert not list(target.list(FileType.PACK))


def test_fields_of_later_versions_are_copied_too(source: MemoryBackend, target: MemoryBackend) -> None:
    repository = opened(source)
    stored = load_snapshots(repository, NullReporter())[0]
    document = msgspec.json.decode(snapshot_format.encode(stored.snapshot))
    repository.save_unpacked(FileType.SNAPSHOT, msgspec.json.encode({**document, "parent": "cd" * 32, "colour": "red"}))
    result = copy(source, target)
    copies = opened(target)
    documents = [msgspec.json.decode(copies.load_unpacked(FileType.SNAPSHOT, new)) for _, new in result.saved]
    assert [document["colour"] for document in documents if "colour" in document] == ["red"]
    assert not any("parent" in document for document in documents)
    assert {document["original"] for document in documents} == {old.hex() for old, _ in result.saved}
