"""The history of one path: its versions, the periods in which each existed, and periods of absence.

A snapshot is compared with the previous one on the same line: the snapshots of a host whose sources contain the path.
So hosts with the same folders, and snapshots of other folders, do not interfere.

A file has a new version when its type or content changes; a new time or owner does not count. A folder has a new
version when the name, type, size, modification time or content of anything below it changes.
"""

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.tree_summaries import Trees, identify, time_of


class Line(NamedTuple):
    """Groups snapshots into lines: by host, and by sources if none of them contains the path."""

    host: str
    paths: tuple[str, ...] = ()


class PathState(NamedTuple):
    """The state of the path in one snapshot. Equal identities mean equal versions; an absence has no node.

    `size` is in bytes, for a folder the total of all files below it; `mtime_ns` is in nanoseconds since 1970, for a
    folder the newest time below it.
    """

    identity: bytes = b""
    node: Node | None = None
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive snapshots with the same state of the path. `state` comes from the first of them.

    `change` is the growth in bytes over the previous span; None if it is unknown.
    """

    line: Line
    state: PathState
    first: StoredSnapshot
    last: StoredSnapshot
    count: int
    change: int | None

    @property
    def is_absence(self) -> bool:
        """The path was absent."""
        return self.state.node is None


@dataclass(frozen=True, slots=True)
class Version:
    """One content of the path, or an absence. `spans` are the periods in which it existed, newest first.

    The same content at several times is one version; each absence is a version of its own.
    """

    spans: tuple[Span, ...]

    @property
    def state(self) -> PathState:
        """Its latest state."""
        return self.spans[0].state

    @property
    def node(self) -> Node | None:
        """The node, None for an absence."""
        return self.state.node

    @property
    def identity(self) -> bytes:
        """The same for the same content; empty for an absence."""
        return self.state.identity

    @property
    def change(self) -> int | None:
        """Its growth in bytes over the previous state, the last time."""
        return self.spans[0].change

    @property
    def first(self) -> StoredSnapshot:
        """The oldest snapshot that has it."""
        return min((span.first for span in self.spans), key=age)

    @property
    def last(self) -> StoredSnapshot:
        """The newest snapshot that has it."""
        return max((span.last for span in self.spans), key=age)

    @property
    def count(self) -> int:
        """How many snapshots have it."""
        return sum(span.count for span in self.spans)

    @property
    def came_back(self) -> bool:
        """Whether there was other content, or an absence, in between on some line."""
        lines = [span.line for span in self.spans]
        return len(set(lines)) < len(lines)


@dataclass(frozen=True, slots=True)
class History:
    """The history of a location, newest first: `versions`, and the `absences` before, between and after them.

    `snapshots` is the number of searched snapshots, `unreadable` of unreadable ones.
    """

    location: bytes
    versions: tuple[Version, ...]
    absences: tuple[Version, ...]
    snapshots: int
    unreadable: int

    @property
    def all(self) -> list[Version]:
        """Versions and absences by their newest snapshots, newest first."""
        return sorted((*self.versions, *self.absences), key=lambda version: age(version.last), reverse=True)

    @property
    def spans(self) -> list[Span]:
        """All spans by their last snapshots, newest first."""
        every = (span for version in (*self.versions, *self.absences) for span in version.spans)
        return sorted(every, key=lambda span: age(span.last), reverse=True)


def find_history(
    repository: Repository,
    snapshots: Iterable[StoredSnapshot],
    location: bytes,
    index: HistoryIndex | None,
    report: Reporter,
) -> History:
    """Return the history of a location (an absolute path in the snapshots) from some snapshots.

    The repository's index is read if a tree must be loaded. Snapshots with unreadable trees are skipped and counted,
    and the trees go to report.error; other backend errors are raised as BackendError.
    """
    location = posixpath.normpath(b"/" + location.lstrip(b"/"))
    ordered = sorted(snapshots, key=age)
    states = find_states(Trees(repository, index, report), ordered, location)
    lines: dict[Line, list[tuple[StoredSnapshot, PathState]]] = {}
    for stored in ordered:
        state = states.get(stored.id)
        if state is not None:
            lines.setdefault(line_of(stored, location), []).append((stored, state))
    there = {line: found for line, found in lines.items() if any(state.node is not None for _, state in found)}
    spans = [span for line, found in there.items() for span in _spans(line, found)]
    spans.sort(key=lambda span: age(span.last), reverse=True)
    versions: dict[bytes, list[Span]] = {}
    for span in spans:
        if not span.is_absence:
            versions.setdefault(span.state.identity, []).append(span)
    return History(
        location,
        tuple(Version(tuple(found)) for found in versions.values()),
        tuple(Version((span,)) for span in spans if span.is_absence),
        sum(map(len, there.values())),
        len(ordered) - len(states),
    )


def find_states(trees: Trees, snapshots: Sequence[StoredSnapshot], location: bytes) -> dict[ID, PathState]:
    """Return the state of a location in each snapshot, by snapshot ID; unreadable ones are omitted."""
    roots = dict.fromkeys(stored.snapshot.tree_id for stored in snapshots)
    nodes = find_nodes(trees, roots, [name for name in location.split(b"/") if name])
    folders = {tree for node in nodes.values() if node is not None and (tree := tree_of(node)) is not None}
    summaries = trees.summarize(folders)
    states: dict[ID, PathState] = {}
    for stored in snapshots:
        root = stored.snapshot.tree_id
        if root not in nodes:
            continue
        node = nodes[root]
        tree = None if node is None else tree_of(node)
        if node is None:
            states[stored.id] = PathState()
        elif tree is None:
            states[stored.id] = PathState(identify(node), node, node.size, time_of(node))
        elif tree in summaries:
            summary = summaries[tree]
            identity = hashlib.sha256(b"dir\0" + summary.digest).digest()
            states[stored.id] = PathState(identity, node, summary.size, max(summary.newest_ns, time_of(node)))
    return states


def find_nodes(trees: Trees, roots: Iterable[ID], names: list[bytes]) -> dict[ID, Node | None]:
    """Return the entry at the end of a path below each root, one step at a time for all roots together."""
    nodes: dict[ID, Node | None] = {root: Node(name="", type=DIRECTORY, subtree=root.hex()) for root in roots}
    for name in names:
        folders = {root: None if node is None else tree_of(node) for root, node in nodes.items()}
        found = trees.look_up(name, {tree for tree in folders.values() if tree is not None})
        nodes = {
            root: None if tree is None else found[tree]
            for root, tree in folders.items()
            if tree is None or tree in found
        }
    return nodes


def tree_of(node: Node) -> ID | None:
    """Return the tree of a folder, None for other nodes."""
    return parse_id(node.subtree) if node.type == DIRECTORY and node.subtree is not None else None


def age(stored: StoredSnapshot) -> tuple[int, ID]:
    """Return the sort key of snapshots, oldest first."""
    return stored.snapshot.time_ns, stored.id


def line_of(stored: StoredSnapshot, location: bytes) -> Line:
    """Return the line of a snapshot: its sources matter only if they do not contain the location."""
    snapshot = stored.snapshot
    sources = (path.encode("utf-8", "surrogateescape").rstrip(b"/") for path in snapshot.paths)
    covered = any(location == source or location.startswith(source + b"/") for source in sources)
    return Line(snapshot.hostname, () if covered else tuple(snapshot.paths))


def _spans(line: Line, found: Sequence[tuple[StoredSnapshot, PathState]]) -> Iterator[Span]:
    """Iterate the spans of a line, oldest first."""
    before: PathState | None = None
    for _, group in groupby(found, key=lambda each: each[1].identity):
        members = list(group)
        (first, state), (last, _) = members[0], members[-1]
        yield Span(line, state, first, last, len(members), None if before is None else state.size - before.size)
        before = state
