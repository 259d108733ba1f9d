"""Folders one in the other, deeper than any system names by a path: each command takes a step for each of them."""

import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import FormatError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType
from pyrestic.ids import ID
from pyrestic.localfs.remove import remove_tree
from pyrestic.operations.diff import Diff
from pyrestic.operations.dump import dump_folder
from pyrestic.operations.find import Match, PatternSearch, TimeRange, find
from pyrestic.operations.rewrite_tree import TreeRewriter
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot, load_snapshot
from pyrestic.repository.trail import MOST_FOLDERS
from pyrestic.repository.tree_walk import walk
from pyrestic.vfs.namespace import NamespaceEntry
from pyrestic.vfs.view import View
from tests.support.cli import PASSWORD, Caller
from tests.support.repositories import make_repository

pytestmark = pytest.mark.slow

DEPTH = 2500
LONG = 800
NAME = "d" * 400
BYTES = 24 << 20


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository with a chain of folders, an empty file in each."""
    call = Caller(tmp_path_factory.mktemp("deep"))
    call.create()
    repository = opened(call)
    tree = plant(repository, DEPTH)
    snapshot = Snapshot(time="2024-01-02T03:04:05Z", tree=tree.hex(), paths=["/x"], hostname="host")
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()
    return call


def plant(repository: Repository, depth: int, name: str = "d", size: int = 0) -> ID:
    """Store folders one in the other, an empty file in each, and return the tree of the first."""
    file = Node(name="a", type="file", mode=0o644, size=size, content=[])
    tree = repository.saver.save(BlobType.TREE, encode_tree([file])).id
    file.size = 0
    for _ in range(depth - 1):
        below = Node(name=name, type="dir", mode=1 << 31 | 0o755, subtree=tree.hex())
        tree = repository.saver.save(BlobType.TREE, encode_tree([file, below])).id
    repository.flush()
    return tree


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


def test_a_sorted_list_ends_at_a_depth_and_says_so(call: Caller) -> None:
    assert len(call("ls", "latest").out.splitlines()) == 2 * DEPTH
    for option in ("--reverse", "--sort=size"):
        outcome = call("ls", "latest", option)
        assert (outcome.code, len(outcome.out.splitlines())) == (1, 1)
        assert f"a folder lies more than {MOST_FOLDERS} folders deep and is not sorted: /d/d/" in outcome.err


def test_a_tar_archive_goes_all_the_way_and_a_zip_archive_ends_at_a_depth(call: Caller) -> None:
    repository = opened(call)
    repository.load_index(NullReporter())
    (name,) = (path.name for path in (call.repository / "snapshots").iterdir())
    tree = snapshot_format.parse(repository.load_unpacked(FileType.SNAPSHOT, bytes.fromhex(name))).tree_id
    output = io.BytesIO()
    dump_folder(repository, tree, b"/", output, "tar")
    assert output.getvalue().count(b"ustar\x00") >= 2 * DEPTH - 1
    output = io.BytesIO()
    with pytest.raises(FormatError, match=f"more than {MOST_FOLDERS} folders deep and is not written to a zip archive"):
        dump_folder(repository, tree, b"/", output, "zip")
    # Nothing takes it for a complete one.
    assert not zipfile.is_zipfile(output)
    repository.close()


def test_a_name_that_no_zip_archive_can_hold_is_an_error(long: tuple[Repository, ID, ID]) -> None:
    repository, root, _ = long
    with pytest.raises(FormatError, match="a path of 65764 bytes is too long for a zip archive: ddd"):
        dump_folder(repository, root, b"/", io.BytesIO(), "zip")


@pytest.fixture(scope="module")
def long() -> tuple[Repository, ID, ID]:
    """Two chains whose folders have long names: the locations of all folders on the way take 128 MB."""
    repository = make_repository(MemoryBackend())
    return repository, plant(repository, LONG, NAME), plant(repository, LONG, NAME, size=1)


def peak_of(steps: Iterable[object]) -> int:
    """Return how many bytes were taken at once."""
    tracemalloc.start()
    try:
        for _ in steps:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_search_keeps_one_location(long: tuple[Repository, ID, ID]) -> None:
    repository, root, other = long
    stored = [StoredSnapshot(tree, Snapshot(time="2024-01-02T03:04:05Z", tree=tree.hex())) for tree in (root, other)]
    assert peak_of(find(repository, stored, PatternSearch(["nothing"], TimeRange()))) < BYTES
    found = find(repository, stored[:1], PatternSearch(["d*"], TimeRange()))
    lengths = [len(one.location) for one in found if isinstance(one, Match) and one.node.type == "dir"]
    assert lengths == [number * (len(NAME) + 1) for number in range(1, LONG)]


def test_a_comparison_keeps_one_location(long: tuple[Repository, ID, ID]) -> None:
    diff = Diff(*long, NullReporter(), metadata=True)
    assert peak_of(diff.changes()) < BYTES
    *_, change = Diff(*long, NullReporter(), metadata=True).changes()
    assert change == (b"/" + (NAME.encode() + b"/") * (LONG - 1) + b"a", "U")


def test_a_rewriter_keeps_one_location(long: tuple[Repository, ID, ID]) -> None:
    repository, root, other = long
    files: list[int] = []
    emptied: list[int] = []

    def choose(node: Node, location: bytes) -> Node | None:
        if node.type == "dir":
            return node
        files.append(len(location))
        return msgspec.structs.replace(node, size=1) if len(files) == LONG else node

    def keep(location: bytes) -> bool:
        emptied.append(len(location))
        return False

    tracemalloc.start()
    assert TreeRewriter(repository, choose).rewrite(root) == other
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BYTES
    assert files == [number * (len(NAME) + 1) + 2 for number in range(LONG)]
    drop = TreeRewriter(repository, lambda node, _: node if node.type == "dir" else None, keep_empty=keep)
    assert drop.rewrite(root) is None
    assert emptied == [max(number * (len(NAME) + 1), 1) for number in range(LONG - 1, -1, -1)]


def test_a_mount_goes_down_in_steps(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = opened(call)
    repository.load_index(NullReporter())
    (name,) = (path.name for path in (call.repository / "snapshots").iterdir())
    identifier = bytes.fromhex(name)
    stored = StoredSnapshot(identifier, load_snapshot(repository, identifier))
    view = View(repository, lambda: NamespaceEntry(children={"s": NamespaceEntry(snapshot=stored)}))
    loaded: list[ID] = []
    load = repository.load_tree

    def note(tree: ID) -> list[Node]:
        loaded.append(tree)
        return load(tree)

    monkeypatch.setattr(repository, "load_tree", note)
    for depth in range(1, 1001):
        assert view.find(b"/s" + b"/d" * depth).is_folder
    # More than are kept, but none is loaded again.
    assert len(loaded) == 1000
    repository.close()
