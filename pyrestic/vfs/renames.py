"""Follows a path through its other names: where its content was before it appeared, and after it vanished.

Two consecutive snapshots are compared, and folders that are equal in both are skipped: a move changes the folder that
the file left.
"""

import posixpath
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.ids import ID
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import History, Line, Span, age, find_history, find_states, tree_of
from pyrestic.vfs.tree_summaries import Trees

_MOST_NAMES: Final = 32
"""Maximum number of names in each direction; a path that moves in a cycle ends sooner."""


def follow(
    repository: Repository,
    snapshots: Iterable[StoredSnapshot],
    history: History,
    index: HistoryIndex | None,
    report: Reporter,
) -> list[History]:
    """Return the histories of a path under its other names, newest name first.

    They end when the path of `history` begins, or begin when it ends. Empty files are not followed.
    """
    every = sorted(snapshots, key=age)
    tracker = _Tracker(repository, every, index, report)
    seen = {history.location}
    later = tracker.walk(history, seen, forward=True)
    return [*reversed(later), *tracker.walk(history, seen, forward=False)]


class _Tracker:
    """Follows one name after the other."""

    def __init__(
        self, repository: Repository, every: Sequence[StoredSnapshot], index: HistoryIndex | None, report: Reporter
    ) -> None:
        self._repository = repository
        self._every = every
        self._index = index
        self._report = report
        self._trees = Trees(repository, index, report)

    def walk(self, history: History, seen: set[bytes], *, forward: bool) -> list[History]:
        """Return the histories of the later, or earlier, names of `history`; the nearest first."""
        found: list[History] = []
        while len(found) < _MOST_NAMES:
            edge = _edge(history, forward=forward)
            if edge is None:
                break
            there, beyond, line = edge
            location = self._find(history.location, there, beyond)
            if location is None or location in seen:
                break
            seen.add(location)
            limit = age(beyond)
            rest = [
                stored
                for stored in self._every
                if stored.snapshot.hostname == line.host and (age(stored) >= limit if forward else age(stored) <= limit)
            ]
            history = find_history(self._repository, rest, location, self._index, self._report)
            found.append(history)
        return found

    def _find(self, location: bytes, there: StoredSnapshot, beyond: StoredSnapshot) -> bytes | None:
        """Return the location in a snapshot of the content that another snapshot has at a location."""
        state = find_states(self._trees, [there], location).get(there.id)
        if state is None or state.node is None or (state.node.type == FILE and not state.node.content):
            return None
        wanted = state.node
        found: list[bytes] = []
        level = [_Pair(b"/", beyond.snapshot.tree_id, there.snapshot.tree_id)]
        while level:
            wanted_trees = {tree for pair in level for tree in (pair.here, pair.other) if tree is not None}
            nodes = self._trees.load(wanted_trees)
            below: list[_Pair] = []
            for pair in level:
                others = {} if pair.other is None else {node.raw_name: node for node in nodes.get(pair.other, ())}
                for node in nodes.get(pair.here, ()):
                    place = posixpath.join(pair.location, node.raw_name)
                    other = others.get(node.raw_name)
                    if _same(node, wanted) and not (other is not None and _same(other, wanted)):
                        found.append(place)
                    tree, beside = tree_of(node), None if other is None else tree_of(other)
                    if tree is not None and tree != beside:
                        below.append(_Pair(place, tree, beside))
            level = below
        name = posixpath.basename(location)
        return min(found, key=lambda place: (posixpath.basename(place) != name, place), default=None)


class _Pair(NamedTuple):
    """A folder of the searched snapshot, and the tree at the same location in the other one."""

    location: bytes
    here: ID
    other: ID | None


def _edge(history: History, *, forward: bool) -> tuple[StoredSnapshot, StoredSnapshot, Line] | None:
    """Return the last snapshot with the path and the next one without it, or the first and the previous one."""
    spans = history.spans if forward else history.spans[::-1]
    there = next((span for span in spans if not span.is_absence), None)
    if there is None:
        return None

    def beside(span: Span) -> bool:
        return age(span.first) > age(there.last) if forward else age(span.last) < age(there.first)

    absent = [span for span in spans if span.is_absence and span.line == there.line and beside(span)]
    if not absent:
        return None
    # The nearest comes last.
    return (there.last, absent[-1].first, there.line) if forward else (there.first, absent[-1].last, there.line)


def _same(one: Node, other: Node) -> bool:
    """Tell whether two nodes have the same content."""
    if one.type != other.type:
        return False
    if one.type == DIRECTORY:
        return one.subtree == other.subtree
    return one.content == other.content and one.raw_linktarget == other.raw_linktarget and one.device == other.device
