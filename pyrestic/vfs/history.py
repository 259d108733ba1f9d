"""The history of one path: its versions, from when to when each was there, and when there was nothing.

Snapshots are compared with those before them on the same line: that of a host, as far as the path is in what they were
made of. So hosts with the same folders, and snapshots of other folders, do not disturb one another.

A file has another version when its type or content is another; a new time or owner makes none. A folder has another
version when anything below it changed in name, type, size, time of modification or content.
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
    """Which snapshots follow one another: those of a host, and of the same sources where the path is in none."""

    host: str
    paths: tuple[str, ...] = ()


class State(NamedTuple):
    """What one snapshot has at the path. Equal identities are equal versions; there is no node where nothing is.

    `size` is in bytes, for a folder the sum of all files below; `mtime_ns` is in nanoseconds since 1970, for a folder
    the newest of all below.
    """

    identity: bytes = b""
    node: Node | None = None
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Snapshots in a row that have the same at the path. `state` is what the first of them has.

    `change` is by how many bytes that is more than what was there before; None if nothing is known of before.
    """

    line: Line
    state: State
    first: StoredSnapshot
    last: StoredSnapshot
    count: int
    change: int | None

    @property
    def is_absence(self) -> bool:
        """There was nothing at the path."""
        return self.state.node is None


@dataclass(frozen=True, slots=True)
class Version:
    """One content of the path, or an absence of it. `spans` are when it was there, the newest first.

    Same content at several times is one version; each absence is one of its own.
    """

    spans: tuple[Span, ...]

    @property
    def state(self) -> State:
        """What it is, as it was when it came last."""
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
        """By how many bytes it was more than what was there before, when it came last."""
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
        """On some line there was something else, or nothing, in between."""
        lines = [span.line for span in self.spans]
        return len(set(lines)) < len(lines)


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a location, the newest first: `versions`, and `absences` between, before and after them.

    `snapshots` counts those that were looked at, `unreadable` those that could not be.
    """

    location: bytes
    versions: tuple[Version, ...]
    absences: tuple[Version, ...]
    snapshots: int
    unreadable: int

    @property
    def all(self) -> list[Version]:
        """Versions and absences by the newest snapshot that has them, the newest first."""
        return sorted((*self.versions, *self.absences), key=lambda version: age(version.last), reverse=True)

    @property
    def spans(self) -> list[Span]:
        """All spans by their last snapshots, the newest first."""
        every = (span for version in (*self.versions, *self.absences) for span in version.spans)
        return sorted(every, key=lambda span: age(span.last), reverse=True)


def find_history(
    repository: Repository,
    snapshots: Iterable[StoredSnapshot],
    location: bytes,
    index: HistoryIndex | None,
    report: Reporter,
) -> History:
    """Return the history of a location (an absolute path in the snapshots) as some snapshots tell it.

    The repository's index is read if a tree has to be loaded. Snapshots whose trees cannot be read are passed over and
    counted, and the trees go to report.error; other trouble with the place is raised as BackendError.
    """
    location = posixpath.normpath(b"/" + location.lstrip(b"/"))
    ordered = sorted(snapshots, key=age)
    states = find_states(Trees(repository, index, report), ordered, location)
    lines: dict[Line, list[tuple[StoredSnapshot, State]]] = {}
    for stored in ordered:
        state = states.get(stored.id)
        if state is not None:
            lines.setdefault(_line(stored, location), []).append((stored, state))
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


def find_states(trees: Trees, snapshots: Sequence[StoredSnapshot], location: bytes) -> dict[ID, State]:
    """Return what each snapshot, named by its ID, has at a location; those that cannot be read are left out."""
    roots = dict.fromkeys(stored.snapshot.tree_id for stored in snapshots)
    nodes = _find_nodes(trees, roots, [name for name in location.split(b"/") if name])
    folders = {tree for node in nodes.values() if node is not None and (tree := tree_of(node)) is not None}
    summaries = trees.summarize(folders)
    states: dict[ID, State] = {}
    for stored in snapshots:
        root = stored.snapshot.tree_id
        if root not in nodes:
            continue
        node = nodes[root]
        tree = None if node is None else tree_of(node)
        if node is None:
            states[stored.id] = State()
        elif tree is None:
            states[stored.id] = State(identify(node), node, node.size, time_of(node))
        elif tree in summaries:
            summary = summaries[tree]
            identity = hashlib.sha256(b"dir\0" + summary.digest).digest()
            states[stored.id] = State(identity, node, summary.size, max(summary.newest_ns, time_of(node)))
    return states


def _find_nodes(trees: Trees, roots: Iterable[ID], names: list[bytes]) -> dict[ID, Node | None]:
    """Return what stands at the end of a path below each root, step by step for all of them together."""
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
    """Return the tree of a folder, None for what is none."""
    return parse_id(node.subtree) if node.type == DIRECTORY and node.subtree is not None else None


def age(stored: StoredSnapshot) -> tuple[int, ID]:
    """Return what snapshots are in order by, the oldest first."""
    return stored.snapshot.time_ns, stored.id


def _line(stored: StoredSnapshot, location: bytes) -> Line:
    """Return the line of a snapshot: its sources matter only where they do not hold the location."""
    snapshot = stored.snapshot
    sources = (path.encode("utf-8", "surrogateescape").rstrip(b"/") for path in snapshot.paths)
    covered = any(location == source or location.startswith(source + b"/") for source in sources)
    return Line(snapshot.hostname, () if covered else tuple(snapshot.paths))


def _spans(line: Line, found: Sequence[tuple[StoredSnapshot, State]]) -> Iterator[Span]:
    """Iterate the spans of a line, the oldest first."""
    before: State | None = None
    for _, group in groupby(found, key=lambda each: each[1].identity):
        members = list(group)
        (first, state), (last, _) = members[0], members[-1]
        yield Span(line, state, first, last, len(members), None if before is None else state.size - before.size)
        before = state
