"""What a folder once held and no longer holds, with the last snapshot that has it.

Each snapshot is compared with the next one on the same line (see `vfs/history.py`), and folders that are equal in both
are skipped. What one of these steps removes is gone unless the newest snapshot of the line has it again. The steps
depend on nothing but two trees, so the history index keeps them: the next time only new snapshots cost anything.
"""

import posixpath
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID
from pyrestic.localfs.tree_facts import HistoryIndex, Removed, Step
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import Line, age, find_nodes, line_of, tree_of
from pyrestic.vfs.tree_summaries import Trees, time_of

_NODES_AT_ONCE: Final = 200_000
"""How many nodes of trees are compared at once: bounds memory."""
_FIRST_TREES: Final = 32

Pair = tuple[ID, ID]


class Deleted(NamedTuple):
    """An entry that is gone. `last` is the newest snapshot that has it.

    `size` is in bytes and `mtime_ns` in nanoseconds since 1970; for a folder they are the total and the newest of
    everything that it held last, and `files` is the number of its files. `tree` is None except for a folder.
    """

    location: bytes
    type: str
    size: int
    files: int
    mtime_ns: int
    tree: ID | None
    last: StoredSnapshot
    line: Line


class DeletedEntries(NamedTuple):
    """What is gone from a folder, by location, and how often something could not be read.

    `known` tells whether any snapshot has the folder.
    """

    entries: list[Deleted]
    unreadable: int
    known: bool


class _Key(NamedTuple):
    """What a removal is about: a folder and something else of one name are two entries."""

    line: Line
    location: bytes
    is_folder: bool


class _Event(NamedTuple):
    """A removal: the last snapshot that has the entry."""

    last: StoredSnapshot
    removed: Removed


class _Gap(NamedTuple):
    """The numbers, on a line, of a snapshot and of a later one; between them nothing is compared."""

    before: int
    after: int


_Level = dict[tuple[bytes, Pair], list[_Gap]]
"""The folders of one depth, each with two of its trees in a row, and when."""


def find_deleted(
    repository: Repository,
    snapshots: Iterable[StoredSnapshot],
    folder: bytes,
    index: HistoryIndex | None,
    report: Reporter,
) -> DeletedEntries:
    """Return everything that is gone from a folder (an absolute path in the snapshots) and from those below it.

    An entry that only lies in a removed folder is not listed beside that folder. Unreadable trees go to report.error
    and are counted; other backend errors are raised as BackendError.
    """
    folder = posixpath.normpath(b"/" + folder.lstrip(b"/"))
    trees = Trees(repository, index, report)
    ordered = sorted(snapshots, key=age)
    roots = dict.fromkeys(stored.snapshot.tree_id for stored in ordered)
    nodes = find_nodes(trees, roots, [name for name in folder.split(b"/") if name])
    lines: dict[Line, list[tuple[StoredSnapshot, ID | None]]] = {}
    for stored in ordered:
        if stored.snapshot.tree_id in nodes:
            node = nodes[stored.snapshot.tree_id]
            lines.setdefault(line_of(stored, folder), []).append((stored, None if node is None else tree_of(node)))
    search = _Search(trees, folder)
    for line, states in lines.items():
        search.follow(line, states)
    gone = search.finish({line: states[-1] for line, states in lines.items()})
    known = any(tree is not None for states in lines.values() for _, tree in states)
    return DeletedEntries(gone, len(ordered) - sum(map(len, lines.values())) + search.unreadable, known)


class _Search:
    """Collects the removals of all lines, a level of folders after the other."""

    def __init__(self, trees: Trees, folder: bytes) -> None:
        self._trees = trees
        self._folder = folder
        self._events: dict[_Key, _Event] = {}
        self._present: dict[tuple[Line, bytes], ID | None] = {}
        self.unreadable = 0

    def follow(self, line: Line, states: Sequence[tuple[StoredSnapshot, ID | None]]) -> None:
        """Add what is removed on a line; each state is a snapshot and the tree of the folder."""
        there = [(number, tree) for number, (_, tree) in enumerate(states) if tree is not None]
        level: _Level = {}
        for (before, old), (after, new) in pairwise(there):
            if old != new:
                level.setdefault((self._folder, (old, new)), []).append(_Gap(before, after))
        if there and there[-1][0] < len(states) - 1:
            number, tree = there[-1]
            for node in self._trees.load([tree]).get(tree, ()):
                self._add(line, self._folder, _Event(states[number][0], _removed(node)))
        while level:
            level = self._descend(line, [stored for stored, _ in states], level)

    def _descend(self, line: Line, snapshots: Sequence[StoredSnapshot], level: _Level) -> _Level:
        """Add what is removed in the folders of a level; return the next one.

        A folder that is removed and comes back is compared across the gap: what it lost is gone as well.
        """
        steps = self._steps({pair for _, pair in level})
        below: _Level = {}
        went: dict[bytes, list[tuple[int, ID]]] = {}
        came: dict[bytes, list[tuple[int, ID]]] = {}
        for (location, pair), gaps in level.items():
            step = steps.get(pair)
            if step is None:
                self.unreadable += 1
                continue
            last = max(gap.before for gap in gaps)
            for removed in step.removed:
                self._add(line, location, _Event(snapshots[last], removed))
                if removed.tree is not None:
                    place = went.setdefault(posixpath.join(location, removed.name), [])
                    place += [(gap.before, removed.tree) for gap in gaps]
            for name, tree in step.added:
                came.setdefault(posixpath.join(location, name), []).extend((gap.after, tree) for gap in gaps)
            for name, old, new in step.changed:
                below.setdefault((posixpath.join(location, name), (old, new)), []).extend(gaps)
        for location, removals in went.items():
            additions = sorted(came.get(location, ()))
            for before, old in removals:
                number = bisect_left(additions, (before + 1, b""))
                if number < len(additions):
                    after, new = additions[number]
                    if old != new:
                        below.setdefault((location, (old, new)), []).append(_Gap(before, after))
        return below

    def finish(self, newest: dict[Line, tuple[StoredSnapshot, ID | None]]) -> list[Deleted]:
        """Return what the newest snapshots lack; `newest` has that of each line, and the folder's tree in it."""
        gone = self._without_present(newest)
        folders = {event.removed.tree for event in gone.values() if event.removed.tree is not None}
        summaries = self._trees.summarize(folders)
        found = []
        for key, (last, removed) in sorted(gone.items(), key=lambda item: (item[0].location, item[0])):
            summary = None if removed.tree is None else summaries.get(removed.tree)
            size, files, mtime_ns = removed.size, 0, removed.mtime_ns
            if summary is not None:
                size, files, mtime_ns = summary.size, summary.files, max(mtime_ns, summary.newest_ns)
            found.append(Deleted(key.location, removed.type, size, files, mtime_ns, removed.tree, last, key.line))
        return found

    def _add(self, line: Line, folder: bytes, event: _Event) -> None:
        key = _Key(line, posixpath.join(folder, event.removed.name), event.removed.tree is not None)
        known = self._events.get(key)
        if known is None or age(known.last) < age(event.last):
            self._events[key] = event

    def _steps(self, pairs: set[Pair]) -> dict[Pair, Step]:
        """Return the steps of pairs; those with an unreadable tree are omitted."""
        known = self._trees.find_steps(pairs)
        made: dict[Pair, Step] = {}
        todo = [pair for pair in pairs if pair not in known]
        at_once = _FIRST_TREES
        while todo:
            part, todo = todo[:at_once], todo[at_once:]
            nodes = self._trees.load({tree for pair in part for tree in pair})
            for before, after in part:
                if before in nodes and after in nodes:
                    made[before, after] = _compare(nodes[before], nodes[after])
            longest = max(map(len, nodes.values()), default=1)
            at_once = max(1, min(_NODES_AT_ONCE // (2 * max(longest, 1)), 2048))
        self._trees.add_steps(made)
        return known | made

    def _without_present(self, newest: dict[Line, tuple[StoredSnapshot, ID | None]]) -> dict[_Key, _Event]:
        """Return the events whose entries the newest snapshots do not have."""
        by_folder: dict[tuple[Line, bytes], dict[bytes, list[_Key]]] = {}
        for key in self._events:
            folder, name = posixpath.split(key.location)
            by_folder.setdefault((key.line, folder), {}).setdefault(name, []).append(key)
        gone: dict[_Key, _Event] = {}
        for (line, folder), names in by_folder.items():
            present = self._look_up(newest[line][1], line, folder, names)
            gone |= {
                key: self._events[key]
                for name, keys in names.items()
                for key in keys
                if not _is_there(present.get(name), key)
            }
        # What snapshots of other sources of the host have in the meantime is not gone.
        for line, (stored, tree) in newest.items():
            for key, event in list(gone.items()):
                if key.line.host == line.host and key.line != line and age(stored) > age(event.last):
                    folder, name = posixpath.split(key.location)
                    if _is_there(self._look_up(tree, line, folder, [name]).get(name), key):
                        del gone[key]
        return {key: event for key, event in gone.items() if not self._went_with_folder(key, event, gone)}

    def _went_with_folder(self, key: _Key, event: _Event, gone: dict[_Key, _Event]) -> bool:
        """Tell whether the entry came back after this event, and lies in a folder that went later."""
        above = key.location
        while (above := posixpath.dirname(above)) not in (b"/", b""):
            folder = gone.get(_Key(key.line, above, is_folder=True))
            if folder is not None and age(folder.last) > age(event.last):
                tree = folder.removed.tree
                *way, name = key.location[len(above) + 1 :].split(b"/")
                for step in way:
                    node = None if tree is None else self._trees.look_up_names(tree, [step]).get(step)
                    tree = None if node is None else tree_of(node)
                if tree is not None and _is_there(self._trees.look_up_names(tree, [name]).get(name), key):
                    return True
        return False

    def _look_up(
        self, root: ID | None, line: Line, folder: bytes, names: Collection[bytes]
    ) -> dict[bytes, Node | None]:
        """Return entries of a folder in the newest snapshot of a line."""
        tree = self._find_present(root, line, folder)
        return {} if tree is None else self._trees.look_up_names(tree, names)

    def _find_present(self, tree: ID | None, line: Line, location: bytes) -> ID | None:
        """Return the tree of a folder in the newest snapshot of a line, None if it has none."""
        if location == self._folder:
            return tree
        if (line, location) not in self._present:
            folder, name = posixpath.split(location)
            above = self._find_present(tree, line, folder)
            node = None if above is None else self._trees.look_up_names(above, [name]).get(name)
            self._present[line, location] = None if node is None else tree_of(node)
        return self._present[line, location]


def _is_there(node: Node | None, key: _Key) -> bool:
    return node is not None and (node.type == DIRECTORY) == key.is_folder


def _compare(before: list[Node], after: list[Node]) -> Step:
    """Return the step from one tree to another."""
    there = {node.raw_name: node for node in after}
    removed, changed = [], []
    for node in before:
        other = there.get(node.raw_name)
        tree, beside = tree_of(node), None if other is None else tree_of(other)
        if other is None or (tree is None) != (beside is None):
            removed.append(_removed(node))
            continue
        del there[node.raw_name]
        if tree is not None and beside is not None and tree != beside:
            changed.append((node.raw_name, tree, beside))
    added = [(name, tree) for name, node in there.items() if (tree := tree_of(node)) is not None]
    return Step(removed, added, changed)


def _removed(node: Node) -> Removed:
    return Removed(node.raw_name, node.type, node.size, time_of(node), tree_of(node))
