"""Repairs and rewriting, cut off after every single write: what snapshots hold can be read at any moment."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from typing_extensions import Buffer

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, DamageError, FormatError, LockedError, PyresticError, TransientError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree, parse_tree
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, parse_id
from pyrestic.operations.recover import Maker, find_roots, save_recovered
from pyrestic.operations.repair_index import repair_index
from pyrestic.operations.repair_packs import repair_packs
from pyrestic.operations.repair_snapshots import repair_snapshots
from pyrestic.operations.replace_snapshot import ReplaceOptions
from pyrestic.operations.rewrite import Changes, rewrite
from pyrestic.operations.rewrite_tree import TreeRewriter
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshots
from tests.operations.test_copy import copy, fill, load_everything, opened
from tests.support.backends import FaultyBackend
from tests.support.repositories import PASSWORD, make_repository

KINDS = (FileType.CONFIG, FileType.KEY, FileType.INDEX, FileType.SNAPSHOT, FileType.PACK)


class DyingBackend:
    """Stores and removes until a number of such calls is reached; from then on it does nothing but fail."""

    def __init__(self, inner: Backend, calls: int) -> None:
        self.inner = inner
        self.connections = 1
        self.left = calls

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise AccessError("the process was killed")

    def create(self) -> None:
        self.inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        self._spend()
        self.inner.save(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        return self.inner.load(handle, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        return self.inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        return self.inner.list(file_type)

    def remove(self, handle: Handle) -> None:
        self._spend()
        self.inner.remove(handle)

    def close(self) -> None:
        """Nothing is open."""


def clone(backend: Backend) -> MemoryBackend:
    """Return a copy of a whole place."""
    other = MemoryBackend()
    for kind in KINDS:
        for info in backend.list(kind):
            handle = Handle(kind, info.name)
            other.save(handle, backend.load(handle))
    return other


@pytest.fixture(scope="module")
def whole() -> MemoryBackend:
    backend = MemoryBackend()
    fill(backend)
    return backend


def largest_pack(backend: Backend) -> ID:
    return parse_id(max(backend.list(FileType.PACK), key=lambda info: info.length).name)


def rebuild(backend: Backend) -> None:
    repair_index(Repository.open(backend, PASSWORD), NullReporter(), lambda: None, read_all_packs=True)


def complete(backend: Backend) -> None:
    repair_index(Repository.open(backend, PASSWORD), NullReporter(), lambda: None)


def salvage(backend: Backend) -> None:
    repository = opened(backend)
    try:
        repair_packs(repository, [largest_pack(backend)], NullReporter(), lambda: None)
    finally:
        repository.close()


def rename(backend: Backend) -> None:
    repository = opened(backend)
    report = NullReporter()
    options = ReplaceOptions("rewrite", forget=True)
    try:
        rewrite(
            repository,
            load_snapshots(repository, report),
            lambda: Changes(hostname="new", summary=True),
            options,
            report,
            lambda: None,
        )
    finally:
        repository.close()


def trees_of(backend: Backend) -> set[str]:
    return {stored.snapshot.tree for stored in load_snapshots(opened(backend), NullReporter())}


@pytest.mark.slow
@pytest.mark.parametrize("work", [rebuild, complete, salvage, rename])
def test_a_kill_after_any_write_leaves_everything_readable(
    whole: MemoryBackend, work: Callable[[Backend], None]
) -> None:
    trees = trees_of(whole)
    for calls in range(60):
        place = clone(whole)
        dying = DyingBackend(place, calls)
        finished = True
        try:
            work(dying)
        except PyresticError:
            finished = False
        assert load_everything(place) >= 4
        assert trees_of(place) == trees
        # The next run ends the work; only the snapshot whose old one was not removed yet may be there twice.
        work(place)
        assert load_everything(place) <= 4 + (work is rename)
        if finished and dying.left >= 0:
            assert calls > 1
            return
    pytest.fail("the work has no end")


@pytest.mark.slow
def test_a_copy_that_is_killed_never_shows_a_snapshot_that_is_not_whole(whole: MemoryBackend) -> None:
    for calls in range(60):
        target = MemoryBackend()
        make_repository(target)
        dying = DyingBackend(target, calls)
        try:
            copy(whole, dying)
        except PyresticError:
            load_everything(target)
            copy(whole, target)
        assert load_everything(target) == 4
        if dying.left >= 0:
            return
    pytest.fail("the copy has no end")


def test_a_place_that_fails_keeps_the_index_as_it_is(whole: MemoryBackend) -> None:
    place = clone(whole)
    for info in list(place.list(FileType.INDEX)):
        place.remove(Handle(FileType.INDEX, info.name))
    broken = FaultyBackend(place)
    repository = Repository.open(broken, PASSWORD)
    broken.fail("load", lambda: TransientError("no answer"), file_type=FileType.PACK, after=1)
    with pytest.raises(TransientError):
        repair_index(repository, NullReporter(), lambda: None)
    assert list(place.list(FileType.INDEX)) == []
    found = repair_index(Repository.open(place, PASSWORD), NullReporter(), lambda: None)
    assert len(found.added) == len(list(place.list(FileType.PACK)))
    assert load_everything(place) == 4


def test_a_place_that_fails_costs_no_folder(whole: MemoryBackend) -> None:
    place = clone(whole)
    broken = FaultyBackend(place)
    repository = opened(broken)
    found = load_snapshots(repository, NullReporter())
    broken.fail("load", lambda: TransientError("no answer"), file_type=FileType.PACK, times=1000)
    with pytest.raises(TransientError, match="unable to rewrite snapshot ID"):
        repair_snapshots(repository, found, ReplaceOptions("repaired", forget=True), NullReporter(), lambda: None)
    assert trees_of(place) == trees_of(whole)


def test_a_lost_lock_stops_every_removal(whole: MemoryBackend) -> None:
    def lost() -> None:
        raise LockedError("the lock is gone")

    place = clone(whole)
    before = {kind: {info.name for info in place.list(kind)} for kind in KINDS}
    report = NullReporter()
    repository = opened(place)
    options = ReplaceOptions("rewrite", forget=True)
    with pytest.raises(LockedError):
        repair_index(repository, report, lost, read_all_packs=True)
    with pytest.raises(LockedError):
        repair_packs(repository, [largest_pack(place)], report, lost)
    with pytest.raises(LockedError):
        rewrite(opened(place), load_snapshots(repository, report), lambda: Changes(hostname="x"), options, report, lost)
    after = {kind: {info.name for info in place.list(kind)} for kind in KINDS}
    assert all(before[kind] <= after[kind] for kind in KINDS)
    assert after[FileType.SNAPSHOT] == before[FileType.SNAPSHOT]


def test_damaged_blobs_are_lost_and_the_rest_of_their_pack_is_saved(whole: MemoryBackend) -> None:
    place = clone(whole)
    pack = largest_pack(place)
    handle = Handle(FileType.PACK, pack.hex())
    data = bytearray(place.load(handle))
    data[100] ^= 1
    place.save(handle, data)
    repository = opened(place)
    count = sum(blob.pack == pack for blob in repository.index.blobs())
    result = repair_packs(repository, [pack], NullReporter(), lambda: None)
    repository.close()
    assert (len(result.saved), len(result.lost)) == (count - 1, 1)
    with pytest.raises(DamageError):
        load_everything(place)
    again = opened(place)
    assert not again.index.has(result.lost[0])
    found = load_snapshots(again, NullReporter())
    repaired = repair_snapshots(again, found, ReplaceOptions("repaired", forget=True), NullReporter(), lambda: None)
    again.close()
    assert repaired.count > 0
    assert load_everything(place) == 4


def nested(repository: Repository, depth: int) -> ID:
    """Store folders in folders and return the outermost one's tree."""
    tree = repository.saver.save(BlobType.TREE, encode_tree([Node(name="f", type="file", content=[])])).id
    for _ in range(depth):
        tree = repository.saver.save(
            BlobType.TREE, encode_tree([Node(name="d", type=DIRECTORY, subtree=tree.hex())])
        ).id
    repository.flush()
    return tree


@pytest.mark.slow
def test_folders_may_be_nested_deeper_than_python_likes() -> None:
    repository = make_repository()
    tree = nested(repository, 3000)
    rewriter = TreeRewriter(repository, lambda node, _: None if node.name == "f" else node)
    changed = rewriter.rewrite(tree)
    repository.flush()
    assert changed is not None
    assert changed != tree
    assert TreeRewriter(repository, lambda node, _: node).rewrite(tree) == tree
    assert TreeRewriter(repository, lambda node, _: None, keep_empty=lambda _: False).rewrite(tree) is None
    repository.close()


def test_fields_of_later_versions_survive_a_repair_of_other_folders() -> None:
    repository = make_repository()
    strange = encode_tree([Node(name="f", type="file", content=[])]).replace(b'"name"', b'"colour":"red","name"')
    assert parse_tree(strange)[0].name == "f"
    kept = repository.saver.save(BlobType.TREE, strange).id
    broken = encode_tree([Node(name="gone", type="file", content=["ab" * 32], size=7)])
    damaged = repository.saver.save(BlobType.TREE, broken).id
    root = repository.saver.save(
        BlobType.TREE,
        encode_tree(
            [Node(name=name, type=DIRECTORY, subtree=one.hex()) for name, one in (("a", kept), ("b", damaged))]
        ),
    ).id
    repository.flush()
    document = msgspec.json.decode(
        snapshot_format.encode(Snapshot(time="2024-01-01T00:00:00Z", tree=root.hex(), paths=["/"]))
    )
    repository.save_unpacked(FileType.SNAPSHOT, msgspec.json.encode({**document, "shape": "round"}))
    found = load_snapshots(repository, NullReporter())
    result = repair_snapshots(repository, found, ReplaceOptions("repaired"), NullReporter(), lambda: None)
    ((_, new),) = result.replaced
    assert new is not None
    stored = msgspec.json.decode(repository.load_unpacked(FileType.SNAPSHOT, new))
    assert (stored["shape"], stored["tags"], stored["original"]) == ("round", ["repaired"], found[0].id.hex())
    one, other = repository.load_tree(bytes.fromhex(stored["tree"]))
    assert one.subtree == kept.hex()
    (emptied,) = repository.load_tree(bytes.fromhex(other.subtree or ""))
    assert (emptied.content, emptied.size) == ([], 0)
    with pytest.raises(FormatError, match=r'cannot encode tree at "/a" without losing information'):
        TreeRewriter(repository, lambda node, _: node).rewrite(root)
    repository.close()


def test_roots_whose_names_would_be_the_same_get_longer_ones() -> None:
    repository = make_repository()
    roots = [bytes([1, 2, 3, 4]) + bytes([number]) * 28 for number in (5, 6)]
    saved = save_recovered(repository, roots, Maker("h", "u", 1, 2), 1_700_000_000_000_000_000, lambda: None)
    snapshot = snapshot_format.parse(repository.load_unpacked(FileType.SNAPSHOT, saved))
    assert [node.name for node in repository.load_tree(snapshot.tree_id)] == ["01020304", roots[1].hex()]
    assert (snapshot.hostname, snapshot.username, snapshot.uid, snapshot.gid) == ("h", "u", 1, 2)
    repository.close()


def test_a_tree_that_cannot_be_read_is_told_of_and_recovered_all_the_same() -> None:
    backend = MemoryBackend()
    repository = make_repository(backend)
    bad = repository.saver.save(BlobType.TREE, b"no tree").id
    good = nested(repository, 2)
    repository.close()
    notes: list[str] = []

    class Notes(NullReporter):
        def note(self, message: str, level: int = 1) -> None:
            notes.append(message)

    again = Repository.open(backend, PASSWORD)
    assert find_roots(again, Notes(), lambda: None) == sorted([bad, good])
    assert any(note.startswith(f"unable to load tree {bad.hex()[:8]}: ") for note in notes)
    assert again.load_blob(BlobHandle(BlobType.TREE, bad)) == b"no tree"
