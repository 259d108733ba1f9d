"""Find: files by patterns, and the uses of blobs, trees or packs, in many snapshots.

A folder without a match is not searched again if another snapshot has the same tree at the same location.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pyrestic.errors import UsageError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.handle import BlobHandle, BlobType, FileType
from pyrestic.ids import ID
from pyrestic.localfs.patterns import PatternList, check_patterns
from pyrestic.report import Reporter
from pyrestic.repository.pack_header import load_header
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshot_walk import Event, EventKind, Forest
from pyrestic.repository.snapshots import StoredSnapshot

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.repository.index import PackedBlob

_REMEMBERED: Final = 1_000_000
_KEY_BYTES: Final = 12


class Match(NamedTuple):
    """A node that matches a pattern."""

    stored: StoredSnapshot
    location: bytes
    node: Node


class Use(NamedTuple):
    """A use of a blob: the file of a data blob, the folder of a tree."""

    stored: StoredSnapshot
    location: bytes
    type: BlobType
    id: ID
    parent: ID | None = None
    """The tree that holds the file."""


class FailedTree(NamedTuple):
    """A tree that cannot be read, or one with a folder whose own tree cannot."""

    stored: StoredSnapshot
    tree: ID


Found = Match | Use | FailedTree


class NodeSearch(Protocol):
    """The target of a search."""

    def begin(self, stored: StoredSnapshot) -> Iterable[Found]:
        """Return the matches of a snapshot's root."""

    def enter(self, location: bytes, node: Node) -> bool:
        """Tell whether a folder may contain a match."""

    def look(self, stored: StoredSnapshot, event: Event) -> Iterable[Found]:
        """Return the matches of a node."""

    @property
    def done(self) -> bool:
        """Whether the rest of this snapshot can be skipped."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of modification times, in nanoseconds since 1970; None means no limit."""

    oldest_ns: int | None = None
    newest_ns: int | None = None

    def holds(self, node: Node) -> bool:
        """Tell whether a node was modified within it."""
        if self.oldest_ns is None and self.newest_ns is None:
            return True
        moment = node.mtime_ns
        return (self.oldest_ns is None or moment >= self.oldest_ns) and (
            self.newest_ns is None or moment <= self.newest_ns
        )


class PatternSearch:
    """Nodes whose path matches a pattern. An empty pattern matches everything, a leading `!` has no effect."""

    done = False

    def __init__(self, patterns: Sequence[str], period: TimeRange, *, ignore_case: bool = False) -> None:
        """Compile the patterns; raise UsageError for a malformed one."""
        plain = [_without_negation(pattern) for pattern in patterns]
        check_patterns(plain, "find")
        self._everything = "" in plain
        self._patterns = PatternList(plain, ignore_case=ignore_case)
        self._period = period

    def begin(self, stored: StoredSnapshot) -> Iterable[Found]:  # noqa: ARG002 - the protocol's signature
        """The root has no name to match."""
        return ()

    def enter(self, location: bytes, node: Node) -> bool:  # noqa: ARG002 - the protocol's signature
        """Tell whether a pattern may match something below."""
        if self._everything:
            return True
        matched, below = self._patterns.matches_or_below(location)
        return matched or below

    def look(self, stored: StoredSnapshot, event: Event) -> Iterable[Found]:
        """Return the node if it matches."""
        if self._everything or self._patterns.matches(event.location):
            assert event.node is not None  # noqa: S101 - only events of nodes come here
            if self._period.holds(event.node):
                return (Match(stored, event.location, event.node),)
        return ()


def _without_negation(pattern: str) -> str:
    """Return a pattern that in a list means what the given one means alone, without a special `!`, as in restic."""
    if not pattern.startswith("!"):
        return pattern
    rest = pattern[1:] or "."
    return "\\" + rest if rest.startswith("!") else rest


class BlobSearch:
    """Uses of data blobs and trees, given by IDs or by their first eight digits."""

    def __init__(self, data: Iterable[str] | None, trees: Iterable[str] | None) -> None:
        """Pass None for a type that is not searched."""
        self.data = None if data is None else dict.fromkeys(data)
        self.trees = None if trees is None else dict.fromkeys(trees)
        self._trees_found = 0
        self.done = False

    def begin(self, stored: StoredSnapshot) -> Iterable[Found]:
        """Return the root if it matches."""
        self.done = False
        return self._look_at_tree(stored, b"/", stored.snapshot.tree)

    def enter(self, location: bytes, node: Node) -> bool:  # noqa: ARG002 - the protocol's signature
        """Every folder may contain uses."""
        return True

    def look(self, stored: StoredSnapshot, event: Event) -> Iterable[Found]:
        """Return the uses in a node."""
        node = event.node
        assert node is not None  # noqa: S101 - only events of nodes come here
        if node.type == DIRECTORY and node.subtree is not None:
            return self._look_at_tree(stored, event.location, node.subtree)
        if node.type == FILE and self.data is not None and node.content:
            return [
                Use(stored, event.location, BlobType.DATA, bytes.fromhex(text), event.tree)
                for text in node.content
                if self._is_wanted(text)
            ]
        return ()

    def _is_wanted(self, text: str) -> bool:
        """Tell whether a data blob matches; its prefix then means only this blob."""
        assert self.data is not None  # noqa: S101 - looked at by the caller
        if text in self.data:
            return True
        if text[:8] not in self.data:
            return False
        del self.data[text[:8]]
        self.data[text] = None
        return True

    def _look_at_tree(self, stored: StoredSnapshot, location: bytes, text: str) -> Iterable[Found]:
        if self.trees is None or (text not in self.trees and text[:8] not in self.trees):
            return ()
        self._trees_found += 1
        # As in restic: once as many were found as requested, a snapshot reports only one more.
        self.done = self.data is None and self._trees_found >= len(self.trees)
        return (Use(stored, location, BlobType.TREE, bytes.fromhex(text)),)


def find(repository: Repository, snapshots: Sequence[StoredSnapshot], search: NodeSearch) -> Iterator[Found]:
    """Iterate the matches, snapshot by snapshot, in order of paths. Raises PyresticError, except for damaged trees."""
    barren: set[bytes] = set()

    def enter(location: bytes, node: Node) -> bool:
        return not (barren and _key(location, node.subtree or "") in barren) and search.enter(location, node)

    forest = Forest(repository, [stored.snapshot.tree_id for stored in snapshots], enter)
    for stored in snapshots:
        if _key(b"/", stored.snapshot.tree) not in barren:
            yield from _find_in(forest, stored, search, barren)


def _find_in(forest: Forest, stored: StoredSnapshot, search: NodeSearch, barren: set[bytes]) -> Iterator[Found]:
    count = 0
    counts_before = [0]
    begun = False
    for event in forest.walk(stored.snapshot.tree_id):
        results: Iterable[Found] = ()
        if event.kind is EventKind.UNREADABLE:
            results = (FailedTree(stored, event.tree),)
        elif not begun:
            begun = True
            results = search.begin(stored)
        for found in results:
            count += 1
            yield found
        if event.kind is EventKind.NODE and not search.done:
            for found in search.look(stored, event):
                count += 1
                yield found
        if search.done:
            return
        if event.entered:
            counts_before.append(count)
        elif event.kind is EventKind.LEFT and counts_before.pop() == count and len(barren) < _REMEMBERED:
            barren.add(_key(event.location, event.tree.hex()))


def _key(location: bytes, tree: str) -> bytes:
    return hashlib.blake2b(tree.encode() + location, digest_size=_KEY_BYTES).digest()


def find_pack_blobs(repository: Repository, names: Iterable[str], report: Reporter) -> BlobSearch:
    """Return the search for all blobs of some packs, given by IDs or by their first eight digits.

    Missing packs count if the index lists them. Raises UsageError for an unknown pack.
    """
    wanted = dict.fromkeys(names)
    stored: dict[ID, int] = {}
    for info in repository.list_files(FileType.PACK):
        name = info.name if info.name in wanted else info.name[:8]
        if name in wanted:
            del wanted[name]
            stored[bytes.fromhex(info.name)] = info.length
        if not wanted:
            break
    blobs = _indexed_blobs(repository, set(stored))
    handles = [handle for found in blobs.values() for handle in found]
    for pack in stored.keys() - blobs.keys():
        handles += [BlobHandle(entry.type, entry.id) for entry in load_header(repository, pack, stored[pack])]
    data = [handle.id.hex() for handle in handles if handle.type is BlobType.DATA]
    trees = [handle.id.hex() for handle in handles if handle.type is BlobType.TREE]
    if wanted:
        data += _lost_blobs(repository, wanted, report)
    return BlobSearch(data, trees)


def _lost_blobs(repository: Repository, wanted: dict[str, None], report: Reporter) -> list[str]:
    known = {pack.hex() for pack in repository.index.packs()}
    found = {pack for pack in known if pack in wanted or pack[:8] in wanted}
    unknown = sorted(name for name in wanted if not any(pack.startswith(name) for pack in found))
    if found:
        report.note(
            "some pack files are missing from the repository, getting their blobs from the repository index: "
            f"[{' '.join(sorted(found))}]",
            0,
        )
        report.note("", 0)
        report.note("", 0)
    if unknown:
        raise UsageError(f"unable to find pack(s): [{' '.join(unknown)}]")
    blobs = _indexed_blobs(repository, {bytes.fromhex(pack) for pack in found})
    return [handle.id.hex() for handles in blobs.values() for handle in handles]


def _indexed_blobs(repository: Repository, packs: set[ID]) -> dict[ID, list[BlobHandle]]:
    """Return the index entries of some packs."""
    columns = repository.index.all_columns()
    found: dict[ID, list[BlobHandle]] = {}
    for number, pack in enumerate(columns.packs):
        if pack in packs:
            rows = columns.pack_numbers == number
            identifiers = [row.tobytes() for row in columns.ids[rows]]
            kinds = map(BlobType, columns.types[rows].tolist())
            found.setdefault(pack, []).extend(map(BlobHandle, kinds, identifiers))
    return found


def locate(repository: Repository, blob_type: BlobType, identifier: ID) -> "PackedBlob | None":
    """Return the location of a blob, None if it is missing from the index."""
    return repository.index.find(BlobHandle(blob_type, identifier))
