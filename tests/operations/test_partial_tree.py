"""Whatever moment a backup ends at, its tree holds what is finished, and the parent's state of all the rest."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrestic.errors import EndedEarlyError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.format.tree import encode_part, parse_part
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.localfs import scan
from pyrestic.localfs.select import BackupSelector
from pyrestic.operations.archive_directory import Directory
from pyrestic.operations.archive_tree import TreeArchiver
from pyrestic.operations.backup_options import ArchiveOptions
from pyrestic.operations.backup_progress import BackupProgress, ItemDone
from pyrestic.operations.partial_tree import PartialTree, overlay
from pyrestic.operations.source_file import INLINE_BYTES
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.support.repositories import make_repository, open_again

Folder = dict[str, Any]
"""Names and contents: bytes of a file, or another folder."""

NAMES = st.sampled_from(["a", "b", "c", "d", "é", "long name", 'quo"te'])
CONTENTS = st.one_of(
    st.binary(max_size=4), st.integers(0, 3).map(lambda number: bytes([number]) * (INLINE_BYTES + 1 + number))
)
FOLDERS = st.recursive(
    st.dictionaries(NAMES, CONTENTS, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(CONTENTS, inner), max_size=4),
    max_leaves=14,
)
SOURCES = st.dictionaries(st.sampled_from(["one", "two", "three"]), FOLDERS, min_size=1, max_size=3)


def write(folder: Path, content: Folder) -> None:
    """Make a folder hold exactly this; what is equal is not touched."""
    folder.mkdir(exist_ok=True)
    for name in os.listdir(folder):
        path = folder / name
        if name not in content or path.is_dir() != isinstance(content[name], dict):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, value in content.items():
        path = folder / name
        if isinstance(value, dict):
            write(path, value)
        elif not path.exists() or path.read_bytes() != value:
            path.write_bytes(value)


def files_of(folder: Folder, prefix: str = "") -> dict[str, bytes]:
    """Return the contents of all files by their paths."""
    found: dict[str, bytes] = {}
    for name, value in folder.items():
        found |= files_of(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def stored(repository: Repository, tree: ID, above: str) -> dict[str, bytes]:
    """Return the contents of all files below a folder of a tree."""
    found: dict[str, bytes] = {}
    todo = [("", tree)]
    while todo:
        prefix, identifier = todo.pop()
        for node in repository.load_tree(identifier):
            path = f"{prefix}/{os.fsdecode(node.raw_name)}"
            if node.type == DIRECTORY:
                assert node.subtree is not None
                todo.append((path, bytes.fromhex(node.subtree)))
            else:
                ids = [bytes.fromhex(one) for one in node.content or ()]
                data = b"".join(repository.load_blob(BlobHandle(BlobType.DATA, one)) for one in ids)
                assert len(data) == node.size
                found[path] = data
    assert all(path.startswith(above + "/") for path in found)
    return {path.removeprefix(above + "/"): data for path, data in found.items()}


class Seen(NamedTuple):
    """A merged tree, what was finished when it was made, and its files."""

    tree: ID | None
    files: frozenset[str]
    folders: frozenset[str]
    content: dict[str, bytes]


class Run:
    """One backup of sources below `top`, which ends at a step, or has checkpoints at some."""

    def __init__(self, repository: Repository, top: Path, *, end: int | None = None, every: int = 0) -> None:
        self.repository = repository
        self.top = top
        self.seen: list[Seen] = []
        self._end = end
        self._every = every
        self._steps = itertools.count(1)
        self._asked = itertools.count(1)
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self.archiver = TreeArchiver(
            repository,
            BackupSelector(),
            ArchiveOptions(),
            NullReporter(),
            BackupProgress("backup", "B"),
            self._note,
            self._ensure_wanted,
            self if every else None,
        )

    def seconds_left(self) -> float | None:
        """Be a checkpoint at each so many-th question."""
        return 0.0 if next(self._asked) % self._every == 0 else 1.0

    def take(self, tree: ID | None) -> None:
        """Look at a checkpoint as another process sees it."""
        self.repository.saver.flush_saved()
        self._look(tree)

    def run(self, names: list[str], parent: ID | None) -> ID | None:
        targets = [os.fsencode(self.top / name) for name in sorted(names)]
        tree: ID | None
        try:
            tree = self.archiver.archive(scan.resolve(targets), parent)
        except EndedEarlyError:
            tree = self.archiver.merged
        self.repository.saver.flush_saved()
        self._look(tree)
        return tree

    def _look(self, tree: ID | None) -> None:
        content: dict[str, bytes] = {}
        if tree is not None:
            content = stored(open_again(self.repository), tree, str(self.top))
        self.seen.append(Seen(tree, frozenset(self._files), frozenset(self._folders), content))

    def _note(self, item: ItemDone) -> None:
        path = os.path.relpath(os.fsdecode(item.location), self.top)
        (self._folders if item.is_directory else self._files).add(path)

    def _ensure_wanted(self) -> None:
        if self._end is not None and next(self._steps) >= self._end:
            raise EndedEarlyError("the test ends it")


def agree(one: Folder, other: Folder, path: str) -> bool:
    """Tell whether all of a path that both have is of one kind: no folder became a file."""
    here: list[Any] = [one, other]
    for name in path.split("/"):
        here = [each.get(name) if isinstance(each, dict) else None for each in here]
        if None in here:
            return True
        if isinstance(here[0], dict) != isinstance(here[1], dict):
            return False
    return True


def check(seen: Seen, parent: Folder, disk: Folder) -> None:
    """Compare a merged tree with the model."""
    old, new = files_of(parent), files_of(disk)
    finished = {path: new[path] for path in seen.files}
    kept = {
        path: data
        for path, data in old.items()
        if path not in finished
        and path.split("/")[0] in disk
        and not any(path.startswith(f"{folder}/") for folder in seen.folders)
    }
    for path, data in finished.items():
        assert seen.content[path] == data
    for path, data in kept.items():
        if agree(parent, disk, path) and (seen.tree is not None):
            assert seen.content[path] == data
    assert seen.content.keys() <= finished.keys() | kept.keys()
    assert seen.content.items() <= finished.items() | kept.items()
    if not parent:
        assert seen.content == finished
        return
    # The promise in short: what both have is there.
    if seen.tree is not None:
        both = {path for path in old.keys() & new.keys() if agree(parent, disk, path)}
        assert both <= seen.content.keys()


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "top"


QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def prepare(top: Path, parent: Folder, disk: Folder) -> tuple[Repository, ID | None]:
    """Store the parent and change the disk."""
    shutil.rmtree(top, ignore_errors=True)
    repository = make_repository()
    tree = None
    if any(files_of(parent)):
        write(top, parent)
        tree = Run(repository, top).run(list(parent), None)
    write(top, disk)
    return open_again(repository), tree


@pytest.mark.slow
@QUICK
@given(parent=st.one_of(st.just({}), SOURCES), disk=SOURCES, end=st.integers(1, 40))
def test_an_archive_that_ends_at_any_moment_holds_what_the_parent_or_the_disk_had(
    top: Path, parent: Folder, disk: Folder, end: int
) -> None:
    repository, tree = prepare(top, parent, disk)
    run = Run(repository, top, end=end)
    run.run(list(disk), tree)
    check(run.seen[-1], parent if tree is not None else {}, disk)
    repository.close()


@pytest.mark.slow
@QUICK
@given(parent=st.one_of(st.just({}), SOURCES), disk=SOURCES, every=st.integers(1, 9))
def test_each_checkpoint_holds_it_too_and_the_run_goes_on(top: Path, parent: Folder, disk: Folder, every: int) -> None:
    repository, tree = prepare(top, parent, disk)
    run = Run(repository, top, every=every)
    run.run(list(disk), tree)
    for seen in run.seen:
        check(seen, parent if tree is not None else {}, disk)
    assert run.seen[-1].content == files_of(disk)
    repository.close()


def node(name: str, size: int = 0) -> Node:
    return Node(name=name, type=FILE, size=size)


def test_the_nodes_of_an_encoded_part_come_back() -> None:
    nodes = [node("a", 1), Node(name="b", type="symlink", linktarget="\ufffd", linktarget_raw=b"\xff"), node("c")]
    assert encode_part(parse_part(encode_part(nodes))) == encode_part(nodes)


def test_finished_entries_replace_old_ones_wherever_they_are_encoded() -> None:
    part = encode_part([node("b", 1), node("d", 1)])
    merged = overlay([part, node("e", 1)], [node("a"), node("b"), node("c"), node("f")])
    assert [(each.name, each.size) for each in merged if isinstance(each, Node)] == [
        ("a", 0),
        ("b", 1),
        ("c", 0),
        ("d", 1),
        ("e", 1),
        ("f", 0),
    ]
    assert overlay([part], []) == [part]


def test_a_folder_that_a_checkpoint_has_stays_in_the_next_ones_however_large_it_becomes() -> None:
    trees: list[bytes] = []

    def save(data: bytes) -> str:
        trees.append(data)
        return f"{len(trees):064x}"

    partial = PartialTree(lambda _: [], save)
    large, other = (Directory(b"/" + name.encode(), node(name), None, {}) for name in ("large", "other"))
    root = Directory(b"/", Node(name="", type=DIRECTORY), None, {})
    for directory in (large, other):
        directory.node.type = DIRECTORY
        root.nodes.append(directory.node)
    large.nodes += [node("1"), node("2")]
    assert partial.merge([large, other, root], most_rewritten=2)
    large.nodes.append(node("3"))
    other.nodes.append(node("4"))
    assert partial.merge([other, large, root], most_rewritten=2)
    assert any(b'"1"' in data and b'"3"' in data for data in trees[2:])
