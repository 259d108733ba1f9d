"""Forget and prune through our own parts: what goes wrong on the way, and what it costs in calls."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import open_cache
from pyrestic.errors import AccessError, DamageError, LockedError, MissingBlobError, UsageError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.pack import HeaderEntry
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID
from pyrestic.operations.check_pack import expected_length
from pyrestic.operations.forget import remove_snapshots
from pyrestic.operations.prune import Prune, plan_prune
from pyrestic.operations.prune_options import PruneOptions, UnusedLimit
from pyrestic.operations.prune_plan import make_plan
from pyrestic.operations.rewrite_index import save_index
from pyrestic.report import NullReporter
from pyrestic.repository.blob_table import BlobTable
from pyrestic.repository.index import Index, PackedBlob
from pyrestic.repository.repository import Repository, RepositoryOptions
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.repositories import PASSWORD, make_repository

STRICT = PruneOptions(max_unused=UnusedLimit(None, 0))
SMALL_PACKS = RepositoryOptions(pack_length=4 << 20)


class Notes(NullReporter):
    """Remembers what was noted."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, int]] = []

    def note(self, message: str, level: int = 1) -> None:
        self.lines.append((message, level))


def fill(backend: Backend, *, snapshots: int = 4, version: int = 2) -> list[ID]:
    """Make a repository with some snapshots of a file each; return the IDs of the snapshots."""
    repository = make_repository(backend, options=SMALL_PACKS, version=version)
    dice = random.Random(5)
    found = []
    for number in range(snapshots):
        blobs = [repository.saver.save(BlobType.DATA, dice.randbytes(700_000)).id.hex() for _ in range(3)]
        node = Node(name="file", type="file", content=blobs, size=2_100_000)
        tree = repository.saver.save(BlobType.TREE, encode_tree([node])).id
        repository.flush()
        snapshot = Snapshot(time=f"2024-01-0{number + 1}T00:00:00Z", tree=tree.hex(), hostname="h", paths=["/"])
        found.append(repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot)))
    return found


def opened(backend: Backend) -> Repository:
    return Repository.open(backend, PASSWORD, options=SMALL_PACKS)


def plan(backend: Backend, options: PruneOptions = STRICT, report: NullReporter | None = None) -> Prune:
    return plan_prune(opened(backend), options, report or NullReporter())


def names(backend: Backend, file_type: FileType) -> set[str]:
    return {info.name for info in backend.list(file_type)}


def load_everything(backend: Backend) -> int:
    """Load all blobs of all snapshots; return how many blobs the index names."""
    repository = opened(backend)
    repository.load_index(NullReporter())
    for identifier in repository.list_ids(FileType.SNAPSHOT):
        snapshot = snapshot_format.parse(repository.load_unpacked(FileType.SNAPSHOT, identifier))
        for node in repository.load_tree(snapshot.tree_id):
            for text in node.content or []:
                assert len(repository.loader.load((BlobType.DATA, bytes.fromhex(text)))) == 700_000  # type: ignore[arg-type]
    return len(repository.index)


def never_lost() -> None:
    """The lock is held."""


def test_a_snapshot_that_cannot_be_removed_does_not_keep_the_others() -> None:
    inner = MemoryBackend()
    found = fill(inner)
    faulty = FaultyBackend(inner)
    faulty.fail("remove", lambda: AccessError("not yours"), file_type=FileType.SNAPSHOT, after=1)
    report = Notes()
    failed = remove_snapshots(opened(faulty), set(found), report, never_lost)
    assert len(failed) == 1
    assert names(inner, FileType.SNAPSHOT) == {failed[0].hex()}
    assert (f"unable to remove snapshot/{failed[0].hex()} from the repository: not yours", 0) in report.lines


def test_nothing_is_removed_after_the_lock_is_lost() -> None:
    backend = MemoryBackend()
    found = fill(backend)

    def lost() -> None:
        raise LockedError("the lock is gone")

    with pytest.raises(LockedError):
        remove_snapshots(opened(backend), set(found), NullReporter(), lost)
    backend.remove(Handle(FileType.SNAPSHOT, found[0].hex()))
    before = names(backend, FileType.PACK), names(backend, FileType.INDEX)
    with pytest.raises(LockedError):
        plan(backend).execute(NullReporter(), lost)
    assert before[0] <= names(backend, FileType.PACK)
    assert before[1] <= names(backend, FileType.INDEX)


@pytest.mark.parametrize("version", [1, 2])
def test_what_no_snapshot_uses_goes_and_the_rest_stays(version: int) -> None:
    backend = MemoryBackend()
    found = fill(backend, version=version)
    for identifier in found[1:3]:
        backend.remove(Handle(FileType.SNAPSHOT, identifier.hex()))
    prune = plan(backend)
    assert (prune.plan.stats.blobs.used, prune.plan.stats.blobs.unused) == (8, 8)
    prune.execute(NullReporter(), never_lost)
    assert load_everything(backend) == 8
    again = plan(backend).plan
    assert not again.remove
    assert not again.repack
    assert len(names(backend, FileType.INDEX)) == 1


def test_a_needed_pack_that_is_missing_is_named_and_stops_the_prune() -> None:
    backend = MemoryBackend()
    fill(backend)
    repository = opened(backend)
    repository.load_index(NullReporter())
    pack = next(blob.pack for blob in repository.index.blobs() if blob.type is BlobType.DATA)
    backend.remove(Handle(FileType.PACK, pack.hex()))
    report = Notes()
    with pytest.raises(DamageError, match="packs from index missing in repo"):
        plan(backend, report=report)
    assert (f"  {pack.hex()}", 0) in report.lines


def test_a_missing_pack_that_nobody_needs_is_forgotten() -> None:
    backend = MemoryBackend()
    found = fill(backend)
    repository = opened(backend)
    repository.load_index(NullReporter())
    snapshot = snapshot_format.parse(repository.load_unpacked(FileType.SNAPSHOT, found[0]))
    (node,) = repository.load_tree(snapshot.tree_id)
    place = repository.index.find((BlobType.DATA, bytes.fromhex((node.content or [""])[0])))
    assert place is not None
    backend.remove(Handle(FileType.PACK, place.pack.hex()))
    backend.remove(Handle(FileType.SNAPSHOT, found[0].hex()))
    prune = plan(backend)
    assert prune.plan.missing == [place.pack]
    prune.execute(NullReporter(), never_lost)
    assert load_everything(backend) == 12


def test_a_missing_blob_that_is_used_stops_the_prune() -> None:
    backend = MemoryBackend()
    fill(backend)
    index_file = min(names(backend, FileType.INDEX))
    backend.remove(Handle(FileType.INDEX, index_file))
    packs = names(backend, FileType.PACK)
    with pytest.raises(MissingBlobError):
        plan(backend)
    assert names(backend, FileType.PACK) == packs


def test_a_needed_pack_of_another_length_stops_the_prune() -> None:
    backend = MemoryBackend()
    fill(backend)
    repository = opened(backend)
    repository.load_index(NullReporter())
    pack = next(blob.pack for blob in repository.index.blobs() if blob.type is BlobType.DATA)
    handle = Handle(FileType.PACK, pack.hex())
    backend.save(handle, backend.load(handle) + b"more")
    with pytest.raises(DamageError, match="pack size does not match calculated size from index"):
        plan(backend)


def test_a_damaged_blob_that_would_be_repacked_stops_the_prune_before_anything_is_removed() -> None:
    backend = MemoryBackend()
    found = fill(backend, snapshots=1)
    place = make_mixed_use(backend)
    handle = Handle(FileType.PACK, place.pack.hex())
    data = bytearray(backend.load(handle))
    data[place.offset + 100] ^= 1
    backend.save(handle, bytes(data))
    before = names(backend, FileType.PACK)
    with pytest.raises(DamageError, match="could not be repacked"):
        plan(backend).execute(NullReporter(), never_lost)
    assert before <= names(backend, FileType.PACK)
    assert names(backend, FileType.SNAPSHOT) >= {found[0].hex()}


def make_mixed_use(backend: Backend) -> PackedBlob:
    """Add a snapshot of a blob whose pack also holds one that nobody uses; return where the used one is."""
    repository = opened(backend)
    dice = random.Random(6)
    used = repository.saver.save(BlobType.DATA, dice.randbytes(700_000)).id
    repository.saver.save(BlobType.DATA, dice.randbytes(700_000))
    tree = repository.saver.save(BlobType.TREE, encode_tree([Node(name="f", type="file", content=[used.hex()])])).id
    repository.flush()
    snapshot = Snapshot(time="2024-02-01T00:00:00Z", tree=tree.hex())
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    place = repository.index.find((BlobType.DATA, used))
    assert place is not None
    return place


def test_packs_that_cannot_be_removed_are_told_and_left_to_the_next_prune() -> None:
    inner = MemoryBackend()
    found = fill(inner)
    inner.remove(Handle(FileType.SNAPSHOT, found[0].hex()))
    faulty = FaultyBackend(inner)
    faulty.fail("remove", lambda: AccessError("not yours"), file_type=FileType.PACK)
    report = Notes()
    plan(faulty).execute(report, never_lost)
    assert any("unable to remove data/" in line for line, level in report.lines if level == 0)
    assert len(plan(inner).plan.remove_first) == 1
    plan(inner).execute(NullReporter(), never_lost)
    assert plan(inner).plan.remove_first == []
    assert load_everything(inner) == 12


def test_an_old_index_file_that_cannot_be_removed_keeps_all_packs() -> None:
    inner = MemoryBackend()
    found = fill(inner)
    inner.remove(Handle(FileType.SNAPSHOT, found[0].hex()))
    faulty = FaultyBackend(inner)
    faulty.fail("remove", lambda: AccessError("not yours"), file_type=FileType.INDEX)
    before = names(inner, FileType.PACK)
    with pytest.raises(AccessError):
        plan(faulty).execute(NullReporter(), never_lost)
    assert names(inner, FileType.PACK) == before


def test_index_files_that_a_killed_prune_left_beside_the_new_ones_go_though_no_pack_does() -> None:
    backend = MemoryBackend()
    fill(backend)
    repository = opened(backend)
    repository.load_index(NullReporter())
    save_index(repository, repository.index.packs())
    assert len(names(backend, FileType.INDEX)) == 5
    plan(backend).execute(NullReporter(), never_lost)
    assert len(names(backend, FileType.INDEX)) == 1
    assert load_everything(backend) == 16
    before = names(backend, FileType.INDEX)
    plan(backend).execute(NullReporter(), never_lost)
    assert names(backend, FileType.INDEX) == before


def test_a_prune_costs_one_list_of_packs_and_no_stat(tmp_path: Path) -> None:
    inner = MemoryBackend()
    found = fill(inner)
    inner.remove(Handle(FileType.SNAPSHOT, found[0].hex()))
    recording = RecordingBackend(inner)
    cached = CacheBackend(recording, open_cache(str(tmp_path), "ab" * 32).folder, on_note=print)
    plan(cached)
    recording.calls.clear()
    prune = plan(cached)
    assert recording.count("load") - recording.count("load", FileType.KEY) == 1, "the config, all else is cached"
    assert recording.count("list", FileType.PACK) == 1
    assert recording.count("stat") == 0
    recording.calls.clear()
    prune.execute(NullReporter(), never_lost)
    assert recording.count("list") == recording.count("stat") == recording.count("load") == 0
    assert recording.count("save") == recording.count("save", FileType.INDEX) == 1
    assert recording.count("remove", FileType.INDEX) == 4
    assert recording.count("remove", FileType.PACK) == len(prune.plan.remove)


def test_without_a_cache_the_trees_of_a_level_are_fetched_together() -> None:
    inner = MemoryBackend()
    repository = make_repository(inner, options=SMALL_PACKS)
    blob = repository.saver.save(BlobType.DATA, b"content").id.hex()
    subtrees = [
        repository.saver.save(BlobType.TREE, encode_tree([Node(name=f"{number}", type="file", content=[blob])])).id
        for number in range(200)
    ]
    folders = [Node(name=f"{number:03}", type="dir", subtree=tree.hex()) for number, tree in enumerate(subtrees)]
    root = repository.saver.save(BlobType.TREE, encode_tree(folders)).id
    repository.flush()
    snapshot = Snapshot(time="2024-01-01T00:00:00Z", tree=root.hex())
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    recording = RecordingBackend(inner)
    stats = plan(recording).plan.stats
    assert stats.blobs.used == 202
    assert recording.count("load", FileType.PACK) == 2


@pytest.mark.parametrize(
    ("options", "version", "connections", "message"),
    [
        (PruneOptions(), 2, 1, "at least two"),
        (PruneOptions(uncompressed=True), 1, 2, "version 2"),
        (PruneOptions(small_pack=5 << 20), 2, 2, "exceeds"),
    ],
)
def test_options_that_do_not_suit_the_repository_are_refused(
    options: PruneOptions, version: int, connections: int, message: str
) -> None:
    backend = MemoryBackend()
    fill(backend, snapshots=1, version=version)
    backend.connections = connections
    with pytest.raises(UsageError, match=message):
        plan(backend, options)


blob_numbers = st.integers(0, 30)


@given(
    st.lists(st.lists(blob_numbers, min_size=1, max_size=8, unique=True), max_size=12),
    st.sets(blob_numbers),
    st.sampled_from([0, 100, 10_000]),
    st.booleans(),
    st.integers(0, 11),
)
def test_a_plan_never_loses_a_used_blob_and_keeps_one_copy_each(
    contents: list[list[int]], used: set[int], unused_bytes: int, cacheable_only: bool, absent: int
) -> None:
    """Packs with any blobs, in any number of copies; perhaps one pack is missing."""
    index = Index()
    lengths = {}
    for number, blobs in enumerate(contents):
        entries = [
            HeaderEntry(BlobType(blob % 3 == 0), blob.to_bytes(32, "little"), 50 * position, 50, 40)
            for position, blob in enumerate(blobs)
        ]
        pack = (number + 100).to_bytes(32, "big")
        index.add_pack(pack, entries)
        lengths[pack] = expected_length(entries)
    missing = lengths.pop((absent + 100).to_bytes(32, "big"), None)
    table = BlobTable(index)
    marks = np.array(
        [int.from_bytes(table.handle(blob).id, "little") in used for blob in range(table.blob_count)], bool
    )
    options = PruneOptions(max_unused=UnusedLimit(None, unused_bytes), cacheable_only=cacheable_only)
    stored = (FileInfo(pack.hex(), length) for pack, length in lengths.items())
    try:
        made = make_plan(table, marks, stored, options, version=2, report=NullReporter())
    except DamageError:
        assert missing is not None
        return
    gone = {*made.remove, *made.repack, *made.missing}
    assert gone <= {*lengths} | {(absent + 100).to_bytes(32, "big")}
    places = [table.place(row) for row in made.keep_rows]
    assert all(place.pack in made.repack for place in places)
    written = [place.handle for place in places]
    assert len(written) == len(set(written))
    staying = {place.handle for place in index.blobs() if place.pack not in gone}
    assert not staying & set(written)
    assert {table.handle(blob) for blob in np.flatnonzero(marks).tolist()} <= staying | set(written)
    counts, packs = made.stats.blobs, made.stats.packs
    assert counts.used == int(marks.sum())
    assert counts.used + counts.duplicate + counts.unused == len(index)
    assert packs.keep + packs.repack + packs.remove == len(lengths)


def test_an_empty_repository_has_nothing_to_prune() -> None:
    backend = MemoryBackend()
    make_repository(backend)
    prune = plan(backend)
    assert prune.plan.stats.packs.keep == 0
    prune.execute(NullReporter(), never_lost)
    assert names(backend, FileType.INDEX) == set()


def test_a_place_that_two_index_files_name_is_one() -> None:
    backend = MemoryBackend()
    fill(backend, snapshots=2)
    repository = opened(backend)
    repository.load_index(NullReporter())
    first = BlobTable(repository.index)
    repository.load_index(NullReporter())
    again = BlobTable(repository.index)
    assert len(again.pack) == len(first.pack) == 8
    assert again.packs == first.packs


def test_unknown_blobs_are_named() -> None:
    index = Index()
    index.add_pack(bytes(32), [HeaderEntry(BlobType.DATA, bytes(32), 0, 40, None)])
    table = BlobTable(index)
    numbers, unknown = table.find(b"\0" + bytes(32) + b"\1" + bytes(32) + b"\0" + b"\xff" * 32)
    assert numbers.tolist() == [0]
    assert [(handle.type, handle.id[0]) for handle in unknown] == [(BlobType.TREE, 0), (BlobType.DATA, 255)]
