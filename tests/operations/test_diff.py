"""Diff through our own parts: what restic cannot be brought to, and what it costs in calls."""

import random

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import MissingBlobError
from pyrestic.format.node import Node
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID
from pyrestic.operations.diff import Change, Diff
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.repository.test_snapshot_walk import plant
from tests.support.backends import RecordingBackend
from tests.support.repositories import make_repository, open_again


def tree(repository: Repository, *nodes: Node) -> ID:
    return repository.saver.save(BlobType.TREE, encode_tree(list(nodes))).id


def data(repository: Repository, content: bytes) -> str:
    return repository.saver.save(BlobType.DATA, content).id.hex()


def file(name: str, *content: str) -> Node:
    return Node(name=name, type="file", content=list(content))


def folder(name: str, identifier: ID) -> Node:
    return Node(name=name, type="dir", subtree=identifier.hex())


def compare(repository: Repository, before: ID, after: ID, report: NullReporter) -> tuple[list[Change], Diff]:
    comparison = Diff(repository, before, after, report, metadata=False)
    return list(comparison.changes()), comparison


def test_a_blob_that_an_unchanged_folder_uses_neither_came_nor_went() -> None:
    repository = make_repository()
    shared, gone, new = (data(repository, text) for text in (b"shared", b"gone!", b"new one"))
    same = tree(repository, file("file", shared))
    before = tree(repository, folder("same", same), file("x", shared), file("y", gone))
    after = tree(repository, folder("same", same), file("z", new))
    repository.flush()
    changes, comparison = compare(open_again(repository), before, after, NullReporter())
    assert changes == [Change(b"/x", "-"), Change(b"/y", "-"), Change(b"/z", "+")]
    found = comparison.statistics()
    assert (found.removed.data_blobs, found.removed.files) == (1, 2)
    assert (found.added.data_blobs, found.added.tree_blobs) == (1, 1)
    roots = [repository.load_blob(BlobHandle(BlobType.TREE, one)) for one in (before, after)]
    assert found.removed.bytes == len(b"gone!") + len(roots[0])
    assert found.added.bytes == len(b"new one") + len(roots[1])


def test_an_unchanged_folder_that_is_damaged_is_told_of_and_the_sums_are_made_without_it() -> None:
    backend = MemoryBackend()
    repository = make_repository(backend)
    lost = tree(repository, file("file"))
    repository.flush()
    (pack,) = [info.name for info in backend.list(FileType.PACK)]
    before = tree(repository, folder("lost", lost), file("old", data(repository, b"old")))
    after = tree(repository, folder("lost", lost))
    repository.flush()
    backend.remove(Handle(FileType.PACK, pack))
    report = NullReporter()
    changes, comparison = compare(open_again(repository), before, after, report)
    assert changes == [Change(b"/old", "-")]
    assert report.errors == []
    assert comparison.statistics().removed.data_blobs == 1
    assert len(report.errors) == 1


def test_equal_trees_cost_one_request() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    root = plant(repository, random.Random(1), 3, 4)
    repository.flush()
    again = open_again(repository, backend)
    backend.calls.clear()
    changes, comparison = compare(again, root, root, NullReporter())
    assert changes == []
    assert comparison.statistics().added.bytes == 0
    assert backend.count("load") == 1


def test_trees_with_nothing_in_common_cost_a_request_per_level() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    roots = [plant(repository, random.Random(seed), 4, 4) for seed in (1, 2)]
    empty = tree(repository)
    repository.flush()
    again = open_again(repository, backend)
    backend.calls.clear()
    changes, comparison = compare(again, roots[0], roots[1], NullReporter())
    assert changes == []
    assert comparison.statistics().added.tree_blobs == 341
    assert backend.count("load") <= 10
    assert len(compare(again, roots[0], empty, NullReporter())[0]) == 340 + 3 * 341
    assert backend.count("load") <= 20


def test_content_that_no_index_knows_is_counted_and_told_of() -> None:
    repository = make_repository()
    before, after = tree(repository), tree(repository, file("file", "ab" * 32))
    repository.flush()
    report = NullReporter()
    changes, comparison = compare(open_again(repository), before, after, report)
    assert changes == [Change(b"/file", "+")]
    assert comparison.statistics().added.data_blobs == 1


def test_a_root_that_is_gone_is_an_error() -> None:
    repository = make_repository()
    root = tree(repository)
    repository.flush()
    with pytest.raises(MissingBlobError):
        compare(open_again(repository), root, b"x" * 32, NullReporter())
