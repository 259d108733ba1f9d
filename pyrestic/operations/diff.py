"""Diff: the changes from one tree to another, and the added and removed blobs.

Folders with equal trees are not compared. Their content matters only at the end, and only if some blob seems to be
added or removed: it is not if an unchanged folder uses it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrestic.errors import PyresticError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id, short
from pyrestic.operations.used_blobs import find_used_blobs
from pyrestic.report import NullReporter, Reporter
from pyrestic.repository.blob_table import BlobTable, encode_handles
from pyrestic.repository.repository import Repository
from pyrestic.repository.trail import Trail
from pyrestic.repository.tree_prefetch import TreeCache

ADDED: Final = "+"
REMOVED: Final = "-"
_BUFFERED_BYTES: Final = 4 << 20
_AHEAD_FOLDERS: Final = 64
"""Number of next folders, the nearest ones, whose subfolders are prefetched."""


class Change(NamedTuple):
    """A changed path; that of a folder ends with a slash.

    The modifier is + or -, or a combination of T (type), M (content), ? (content without a visible change) and U (other
    metadata).
    """

    location: bytes
    modifier: str


@dataclass(slots=True)
class Side:
    """The totals of one side's own entries; bytes are those of blobs before compression."""

    files: int = 0
    dirs: int = 0
    others: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    bytes: int = 0

    def count(self, node: Node) -> None:
        """Count a node."""
        if node.type == FILE:
            self.files += 1
        elif node.type == DIRECTORY:
            self.dirs += 1
        else:
            self.others += 1


@dataclass(slots=True)
class DiffStatistics:
    """The statistics of a comparison."""

    changed_files: int = 0
    added: Side = field(default_factory=Side)
    removed: Side = field(default_factory=Side)


class _Pair(NamedTuple):
    """A folder with its trees before and after; None if there is none."""

    before: ID | None
    after: ID | None

    @property
    def trees(self) -> tuple[ID, ...]:
        return tuple(tree for tree in (self.before, self.after) if tree is not None)


class _Entry(NamedTuple):
    """Two nodes of the same name, or one."""

    name: bytes
    before: Node | None
    after: Node | None


@dataclass(slots=True)
class _Frame:
    """A folder during the comparison."""

    entries: list[_Entry]
    passed: int = 0


class Diff:
    """Compares two trees: iterate `changes` to the end, then call `statistics`."""

    def __init__(self, repository: Repository, before: ID, after: ID, report: Reporter, *, metadata: bool) -> None:
        self._repository = repository
        self._roots = _Pair(before, after)
        self._report = report
        self._metadata = metadata
        self._trees = TreeCache(repository)
        self._table = BlobTable(repository.index)
        self._before = _BlobSet(self._table)
        self._after = _BlobSet(self._table)
        self._equal: set[ID] = set()
        self._stack: list[_Frame] = []
        self._found = DiffStatistics()

    def changes(self) -> Iterator[Change]:
        """Iterate the changes in order of paths; damaged trees are reported, damaged roots are raised."""
        for blobs, tree in ((self._before, self._roots.before), (self._after, self._roots.after)):
            blobs.note(BlobType.TREE, [tree] if tree else [])
        self._stack = [_Frame(self._load(self._roots))]
        trail = Trail()
        while self._stack:
            frame = self._stack[-1]
            if frame.passed == len(frame.entries):
                self._stack.pop()
                trail.leave()
                continue
            entry = frame.entries[frame.passed]
            frame.passed += 1
            location = trail.join(entry.name)
            yield from self._compare(location, entry)
            below = _below(entry)
            if below is not None:
                try:
                    self._stack.append(_Frame(self._load(below)))
                    trail.enter(entry.name)
                except PyresticError as error:
                    self._report.error(location.decode("utf-8", "replace"), error)

    def statistics(self) -> DiffStatistics:
        """Return the statistics."""
        only_before, only_after = self._before - self._after, self._after - self._before
        if self._equal and (only_before or only_after):

            def fail(handle: BlobHandle, error: PyresticError) -> None:
                self._report.error(str(handle), error)

            kept = _BlobSet(self._table)
            kept.has, kept.missing = find_used_blobs(
                self._repository, self._table, list(self._equal), NullReporter(), fail=fail
            )
            only_before, only_after = only_before - kept, only_after - kept
        self._sum(only_before, self._found.removed)
        self._sum(only_after, self._found.added)
        return self._found

    def _load(self, pair: _Pair) -> list[_Entry]:
        """Return the nodes of a folder; raise DamageError or BackendError."""
        self._trees.prepare(pair, self._upcoming(), lambda one: one.trees, self._foresee)
        return _merge(*(None if tree is None else self._trees.take(tree) for tree in (pair.before, pair.after)))

    def _upcoming(self) -> Iterator[_Pair]:
        """Iterate the folders that will be compared next."""
        # Not for all of a long path: each of its folders would be a step of each of its folders.
        for frame in islice(reversed(self._stack), _AHEAD_FOLDERS):
            for entry in islice(frame.entries, frame.passed, None):
                below = _below(entry)
                if below is not None:
                    yield below

    def _foresee(self, pair: _Pair) -> Iterator[_Pair]:
        """Iterate the subfolders of a pair if its trees are cached."""
        trees = (None if tree is None else self._trees.peek(tree) for tree in (pair.before, pair.after))
        for entry in _merge(*trees):
            below = _below(entry)
            if below is not None:
                yield below

    def _compare(self, location: bytes, entry: _Entry) -> Iterator[Change]:
        before, after = entry.before, entry.after
        if before is not None:
            self._note(self._before, before)
        if after is not None:
            self._note(self._after, after)
        modifier = ""
        if before is None and after is not None:
            modifier = ADDED
            self._found.added.count(after)
        elif before is not None and after is None:
            modifier = REMOVED
            self._found.removed.count(before)
        elif before is not None and after is not None:
            modifier = self._modifier(before, after)
            if before.type == DIRECTORY == after.type and before.subtree == after.subtree and after.subtree:
                self._equal.add(parse_id(after.subtree))
        if modifier:
            is_folder = (after or before or _NOTHING).type == DIRECTORY
            yield Change(location + b"/" * is_folder, modifier)

    def _modifier(self, before: Node, after: Node) -> str:
        modifier = "" if before.type == after.type else "T"
        if before.type == FILE == after.type and before.content != after.content:
            self._found.changed_files += 1
            bare = [msgspec.structs.replace(node, content=None) for node in (before, after)]
            return "M?" if bare[0].same_as(bare[1]) else "M"
        if self._metadata and not before.same_as(after):
            modifier += "U"
        return modifier

    def _note(self, blobs: "_BlobSet", node: Node) -> None:
        if node.type == FILE:
            blobs.note(BlobType.DATA, map(bytes.fromhex, node.content or ()))
        elif node.type == DIRECTORY and node.subtree:
            blobs.note(BlobType.TREE, [parse_id(node.subtree)])

    def _sum(self, blobs: "_BlobSet", side: Side) -> None:
        table = self._table
        lengths = np.zeros(table.blob_count, np.int64)
        lengths[table.blob] = np.where(table.plain_length > 0, table.plain_length, table.length - OVERHEAD)
        are_trees = np.zeros(table.blob_count, np.bool_)
        are_trees[table.blob] = table.is_tree()
        trees = [handle for handle in blobs.missing if handle.type is BlobType.TREE]
        side.tree_blobs = int(np.count_nonzero(blobs.has & are_trees)) + len(trees)
        side.data_blobs = int(np.count_nonzero(blobs.has & ~are_trees)) + len(blobs.missing) - len(trees)
        side.bytes = int(lengths[blobs.has].sum())
        for handle in sorted(blobs.missing):
            self._report.note(f"unable to find blob size for <{_NAMES[handle.type]}/{short(handle.id)}>", 0)


_NOTHING: Final = Node(name="", type="")
_NAMES: Final = {BlobType.DATA: "data", BlobType.TREE: "tree"}


class _BlobSet:
    """Blobs of a table, and those that it does not know."""

    def __init__(self, table: BlobTable) -> None:
        self.has: NDArray[np.bool_] = np.zeros(table.blob_count, np.bool_)
        self.missing: set[BlobHandle] = set()
        self._table = table
        self._noted = bytearray()

    def note(self, blob_type: BlobType, identifiers: Iterable[ID]) -> None:
        """Add blobs."""
        self._noted += encode_handles(blob_type, identifiers)
        if len(self._noted) > _BUFFERED_BYTES:
            self._settle()

    def _settle(self) -> None:
        numbers, missing = self._table.find(bytes(self._noted))
        self.has[numbers] = True
        self.missing.update(missing)
        self._noted.clear()

    def __sub__(self, other: "_BlobSet") -> "_BlobSet":
        self._settle()
        other._settle()
        rest = _BlobSet(self._table)
        rest.has = self.has & ~other.has
        rest.missing = self.missing - other.missing
        return rest

    def __bool__(self) -> bool:
        return bool(self.missing) or bool(self.has.any())


def _below(entry: _Entry) -> _Pair | None:
    """Return the folder to compare for an entry; none if nothing in it can differ."""
    before, after = entry.before, entry.after
    if before is None or after is None:
        node = before or after
        if node is None or node.type != DIRECTORY:
            return None
        return _Pair(_subtree(before), _subtree(after))
    if before.type != DIRECTORY or after.type != DIRECTORY or before.subtree == after.subtree:
        return None
    return _Pair(_subtree(before), _subtree(after))


def _subtree(node: Node | None) -> ID | None:
    return None if node is None or node.subtree is None else parse_id(node.subtree)


def _merge(before: list[Node] | None, after: list[Node] | None) -> list[_Entry]:
    """Return the nodes of two trees by their names, in order."""
    left = {node.raw_name: node for node in before or ()}
    right = {node.raw_name: node for node in after or ()}
    return [_Entry(name, left.get(name), right.get(name)) for name in sorted(left.keys() | right.keys())]
