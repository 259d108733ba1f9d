"""Walks through the trees of many snapshots: their order, what they cost, and what is damaged."""

import random
from collections.abc import Iterator

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import UsageError
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID
from pyrestic.operations.find import FailedTree, Match, PatternSearch, TimeRange, find
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshot_walk import EventKind, Forest
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.repository.tree_prefetch import TreeCache
from pyrestic.repository.tree_walk import walk
from tests.support.backends import RecordingBackend
from tests.support.repositories import make_repository, open_again

pytestmark = pytest.mark.slow


def plant(repository: Repository, dice: random.Random, depth: int, width: int) -> ID:
    """Store a tree with folders below and return its ID."""
    nodes = [Node(name=f"file {number}", type="file", inode=dice.randrange(1 << 40), content=[]) for number in range(3)]
    if depth:
        nodes += [
            Node(name=f"folder {number}", type="dir", subtree=plant(repository, dice, depth - 1, width).hex())
            for number in range(width)
        ]
    return repository.saver.save(BlobType.TREE, encode_tree(nodes)).id


def change(repository: Repository, root: ID, name: str) -> ID:
    """Store the root once more with another file in it, and in its first folder."""
    nodes = repository.load_tree(root)
    folder = next(node for node in nodes if node.type == "dir")
    below = repository.load_tree(bytes.fromhex(folder.subtree or ""))
    new = Node(name=name, type="file", content=[])
    folder.subtree = repository.saver.save(BlobType.TREE, encode_tree(_in_order([*below, new]))).id.hex()
    return repository.saver.save(BlobType.TREE, encode_tree(_in_order([*nodes, new]))).id


def _in_order(nodes: list[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: node.name)


def stored(roots: list[ID]) -> list[StoredSnapshot]:
    return [
        StoredSnapshot(bytes([number]) * 32, Snapshot(time="2024-01-01T00:00:00Z", tree=root.hex()))
        for number, root in enumerate(roots)
    ]


@pytest.fixture
def grown() -> Iterator[tuple[Repository, RecordingBackend, list[ID]]]:
    """A repository with thirty snapshots of a folder that changes a little."""
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    roots = [plant(repository, random.Random(1), 4, 5)]
    repository.flush()
    for number in range(29):
        roots.append(change(repository, roots[-1], f"new {number}"))
        repository.flush()
    again = open_again(repository, backend)
    backend.calls.clear()
    yield again, backend, roots
    again.close()


def test_a_walk_meets_every_node_in_order(grown: tuple[Repository, RecordingBackend, list[ID]]) -> None:
    repository, _, roots = grown
    forest = Forest(repository, roots[:3])
    for root in roots[:3]:
        expected = [(visit.location, visit.node.inode) for visit in walk(repository, root)]
        met = [(e.location, e.node.inode) for e in forest.walk(root) if e.kind is EventKind.NODE and e.node is not None]
        assert met == expected
        assert len(met) > 3 * 700


@pytest.mark.parametrize("room", [1, 3_000, 100_000])
def test_little_room_changes_nothing_but_the_cost(
    grown: tuple[Repository, RecordingBackend, list[ID]], room: int
) -> None:
    repository, _, roots = grown
    forest = Forest(repository, roots, trees=TreeCache(repository, ahead_bytes=room, kept_bytes=room))
    for root in (roots[0], roots[-1]):
        expected = [visit.location for visit in walk(repository, root)]
        assert [event.location for event in forest.walk(root) if event.kind is EventKind.NODE] == expected


def test_a_walk_through_all_snapshots_costs_a_request_per_pack_and_level(
    grown: tuple[Repository, RecordingBackend, list[ID]],
) -> None:
    repository, backend, roots = grown
    forest = Forest(repository, roots)
    assert sum(event.kind is EventKind.NODE for root in roots for event in forest.walk(root)) > 30 * 2000
    packs = 30
    levels = 5
    assert backend.count("load", FileType.PACK) <= packs * 2 + levels


def test_a_search_without_results_looks_at_each_tree_once(
    grown: tuple[Repository, RecordingBackend, list[ID]],
) -> None:
    repository, backend, roots = grown
    search = PatternSearch(["nothing"], TimeRange())
    looked: list[bytes] = []
    inner = search.look

    def look(one: StoredSnapshot, event: object) -> object:
        looked.append(one.id)
        return inner(one, event)  # type: ignore[arg-type]

    search.look = look  # type: ignore[method-assign, assignment]
    assert list(find(repository, stored(roots), search)) == []
    # The first snapshot is gone through whole, each later one only where it differs.
    assert looked.count(looked[0]) > 2000
    assert len(looked) < 2 * looked.count(looked[0])
    assert backend.count("load", FileType.PACK) <= 65


def test_a_search_finds_the_same_in_every_snapshot(grown: tuple[Repository, RecordingBackend, list[ID]]) -> None:
    repository, _, roots = grown
    found = list(find(repository, stored(roots), PatternSearch(["/folder 3/**/file 1", "new 7"], TimeRange())))
    counts = [sum(isinstance(one, Match) and one.stored.id[0] == number for one in found) for number in range(30)]
    below = 1 + 5 + 25 + 125
    assert counts == [below] * 8 + [below + 2] * 22


def test_a_tree_that_is_gone_is_told_of_in_every_snapshot_that_has_it() -> None:
    backend = MemoryBackend()
    repository = make_repository(backend)
    lost = repository.saver.save(BlobType.TREE, encode_tree([Node(name="file", type="file")])).id
    repository.flush()
    (pack,) = [info.name for info in backend.list(FileType.PACK)]
    good = plant(repository, random.Random(2), 1, 2)
    nodes = [Node(name="bad", type="dir", subtree=lost.hex()), Node(name="good", type="dir", subtree=good.hex())]
    root = repository.saver.save(BlobType.TREE, encode_tree(nodes)).id
    repository.flush()
    backend.remove(Handle(FileType.PACK, pack))
    again = open_again(repository)
    found = list(find(again, stored([root, root, lost]), PatternSearch(["file 1"], TimeRange())))
    assert [type(one) for one in found] == [FailedTree, Match, Match, Match] * 2 + [FailedTree]
    assert [one.tree for one in found if isinstance(one, FailedTree)] == [root, root, lost]


def test_a_malformed_pattern_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError):
        PatternSearch(["good", "[bad"], TimeRange())
