"""Folders one in the other, deeper than any system names by a path: each command takes a step for each of them."""

import json
import os
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType
from pyrestic.ids import ID
from pyrestic.localfs.remove import remove_tree
from pyrestic.operations.existing import MOST_FOLDERS
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.trees import walk
from tests.support.cli import PASSWORD, Caller

DEPTH = 2500


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository with a chain of folders, an empty file in each."""
    call = Caller(tmp_path_factory.mktemp("deep"))
    call.create()
    repository = opened(call)
    file = Node(name="a", type="file", mode=0o644, content=[])
    tree: ID | None = None
    for _ in range(DEPTH):
        below = [Node(name="d", type="dir", mode=1 << 31 | 0o755, subtree=tree.hex())] if tree else []
        tree = repository.saver.save(BlobType.TREE, encode_tree([file, *below])).id
    repository.flush()
    assert tree is not None
    snapshot = Snapshot(time="2024-01-02T03:04:05Z", tree=tree.hex(), paths=["/x"], hostname="host")
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()
    return call


def opened(call: Caller) -> Repository:
    return Repository.open(LocalBackend(str(call.repository)), PASSWORD)


def test_a_walk_keeps_one_path_and_comes_back_through_all_folders(call: Caller) -> None:
    repository = opened(call)
    repository.load_index(NullReporter())
    (name,) = (path.name for path in (call.repository / "snapshots").iterdir())
    tree = snapshot_format.parse(repository.load_unpacked(FileType.SNAPSHOT, bytes.fromhex(name))).tree_id
    depths = [visit.location.count(b"/") for visit in walk(repository, tree, leaving=True) if visit.node.name == "d"]
    assert depths == [*range(1, DEPTH), *range(DEPTH - 1, 0, -1)]
    repository.close()


def test_check_find_and_stats_go_all_the_way(call: Caller) -> None:
    checked = call("check")
    assert (checked.code, "no errors were found" in checked.out) == (0, True)
    assert call("find", "nothing").code == 0
    assert call("stats", "--json", "latest").json["total_file_count"] == 2 * DEPTH - 1


def test_a_restore_ends_at_a_depth_and_says_so(call: Caller, tmp_path: Path) -> None:
    outcome = call("restore", "latest", "--target", tmp_path / "target", "--json", "-q")
    # What removes the folders of tests calls itself for each level.
    folder = os.open(tmp_path, os.O_RDONLY)
    removed: list[bytes] = []
    remove_tree(folder, b"target", removed.append)
    os.close(folder)
    assert len(removed) == 1 + 2 * MOST_FOLDERS + 1
    assert outcome.code == 1
    errors = [json.loads(line) for line in outcome.err.splitlines() if '"error"' in line]
    assert any(f"more than {MOST_FOLDERS} folders deep" in json.dumps(error) for error in errors)
