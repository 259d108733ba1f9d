"""Stats through our own parts: what many snapshots cost, and links that are told apart in each."""

import random

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import MissingBlobError
from pyrestic.format.node import Node
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType
from pyrestic.ids import ID
from pyrestic.operations.histogram import Histogram
from pyrestic.operations.stats import Mode, Statistics, StatsProgress, count
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import walk
from tests.repository.test_snapshot_walk import change, plant, stored
from tests.support.backends import RecordingBackend
from tests.support.repositories import make_repository, open_again


def tree(repository: Repository, *nodes: Node) -> ID:
    return repository.saver.save(BlobType.TREE, encode_tree(list(nodes))).id


def counted(repository: Repository, mode: Mode, *roots: ID) -> Statistics:
    repository.flush()
    return count(open_again(repository), stored(list(roots)), mode, StatsProgress("snapshots"))


@pytest.mark.parametrize("mode", Mode)
def test_each_tree_is_loaded_once_however_many_snapshots_have_it(mode: Mode) -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    roots = [plant(repository, random.Random(3), 3, 5)]
    repository.flush()
    for number in range(40):
        roots.append(change(repository, roots[-1], f"new {number:03}"))
        repository.flush()
    again = open_again(repository, backend)
    backend.calls.clear()
    progress = StatsProgress("snapshots")
    found = count(again, stored(roots), mode, progress)
    assert found.snapshots == progress.done == 41
    # A root and a folder in each pack, and what the first snapshot has below.
    assert backend.count("load") <= 2 * 41 + 2
    if mode is Mode.RESTORE_SIZE:
        sizes = [len(list(walk(repository, root))) for root in (roots[0], roots[-1])]
        assert sizes[1] == sizes[0] + 80
        assert found.files == sum(range(sizes[0], sizes[1] + 1, 2))


def test_a_hard_link_counts_once_in_every_snapshot_that_has_it() -> None:
    repository = make_repository()

    def linked(name: str, inode: int, size: int) -> Node:
        return Node(name=name, type="file", inode=inode, device_id=1, links=2, size=size, content=[])

    inner = tree(repository, linked("a", 7, 100), linked("b", 8, 10))
    below = Node(name="below", type="dir", subtree=inner.hex())
    both = tree(repository, below, linked("c", 7, 100), linked("d", 0, 1), linked("e", 0, 1))
    twice = tree(repository, below, Node(name="copy", type="dir", subtree=inner.hex()))
    assert counted(repository, Mode.RESTORE_SIZE, inner).bytes == 110
    assert counted(repository, Mode.RESTORE_SIZE, both).bytes == 112
    assert counted(repository, Mode.RESTORE_SIZE, twice).bytes == 110
    found = counted(repository, Mode.RESTORE_SIZE, both, inner, twice, both)
    assert found.bytes == 112 + 110 + 110 + 112
    assert found.files == 6 + 2 + 6 + 6


def test_a_path_with_several_contents_counts_what_they_share_once() -> None:
    repository = make_repository()
    blobs = [repository.saver.save(BlobType.DATA, bytes([number]) * 10).id.hex() for number in range(3)]
    roots = [
        tree(repository, Node(name="file", type="file", content=content))
        for content in (blobs[:2], blobs[1:], [blobs[0], blobs[0]])
    ]
    found = counted(repository, Mode.BLOBS_PER_FILE, *roots)
    assert (found.files, found.blobs, found.bytes) == (1, 3, 30)
    found = counted(repository, Mode.BLOBS_PER_FILE, roots[2])
    assert (found.files, found.blobs, found.bytes) == (1, 1, 10)


@pytest.mark.parametrize("mode", [Mode.BLOBS_PER_FILE, Mode.RAW_DATA])
def test_content_that_no_index_knows_is_an_error(mode: Mode) -> None:
    repository = make_repository()
    root = tree(repository, Node(name="file", type="file", content=["ab" * 32]))
    with pytest.raises(MissingBlobError, match="not found"):
        counted(repository, mode, root)


def test_lengths_fall_into_classes_that_grow_tenfold() -> None:
    histogram = Histogram(500)
    histogram.add([0, 1, 9, 10, 100, 500, 501])
    assert [tuple(one) for one in histogram.classes()] == [(0, 0, 1), (1, 9, 2), (10, 99, 1), (100, 500, 2)]
    assert (histogram.count, histogram.total_bytes, histogram.oversized) == (7, 1121, [501])
    assert list(Histogram(5).classes()) == []
