"""Bulk queries of trees: the entry of a name, and the totals of folders.

Trees that the history index does not know are loaded, each once and in batches, in as few requests as their packs
allow. The repository's index is read only when the first tree must be loaded.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from pyrestic.errors import FormatError, PyresticError
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.format.tree import ImpossibleNamesError, parse_tree
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.tree_facts import FolderSummary, HistoryIndex, Step
from pyrestic.report import Reporter
from pyrestic.repository.loader import plain_of
from pyrestic.repository.repository import Repository

_AT_ONCE: Final = 4096
_MAX: Final = (1 << 63) - 1
"""The largest stored number of sizes and times."""


class Trees:
    """The trees of one repository; damaged ones go to report.error."""

    def __init__(self, repository: Repository, index: HistoryIndex | None, report: Reporter) -> None:
        self._repository = repository
        self._index = index
        self._report = report
        self._damaged: set[ID] = set()

    def look_up(self, name: bytes, trees: Collection[ID]) -> dict[ID, Node | None]:
        """Return the entry of a name in each tree, None if there is none; unreadable trees are omitted."""
        known = self._index.find(name, trees) if self._index is not None else {}
        found: dict[ID, Node | None] = {}

        quoted = quote_name(name)

        def take(tree: ID, nodes: list[Node]) -> None:
            # The usual encoding of the name, or another one.
            same = (node for node in nodes if node.name == quoted)
            other = (node for node in nodes if "\\" in node.name and node.raw_name == name)
            found[tree] = next(chain(same, other), None)

        self._load([tree for tree in trees if tree not in known], take)
        if self._index is not None and found:
            self._index.add(name, found)
        return known | found

    def look_up_names(self, tree: ID, names: Collection[bytes]) -> dict[bytes, Node | None]:
        """Return the entry of each name in a tree, None if there is none; nothing if the tree is unreadable."""
        known = self._index.find_names(tree, names) if self._index is not None else {}
        missing = [name for name in names if name not in known]
        nodes = self.load([tree]).get(tree) if missing else None
        if nodes is None:
            return known
        there = {node.raw_name: node for node in nodes}
        found = {name: there.get(name) for name in missing}
        if self._index is not None:
            self._index.add_names(tree, found)
        return known | found

    def summarize(self, trees: Collection[ID]) -> dict[ID, FolderSummary]:
        """Return the totals of folders; those with an unreadable tree below them are omitted."""
        known: dict[ID, FolderSummary] = {}
        outlines: dict[ID, _Outline] = {}
        wanted = dict.fromkeys(trees)
        while wanted:
            if self._index is not None:
                known |= self._index.find_folders(wanted)
            level: dict[ID, _Outline] = {}

            def take(tree: ID, nodes: list[Node], level: dict[ID, _Outline] = level) -> None:
                level[tree] = _outline(nodes)

            self._load([tree for tree in wanted if tree not in known], take)
            outlines |= level
            below = (folder.tree for outline in level.values() for folder in outline.folders)
            wanted = {tree: None for tree in below if tree not in known and tree not in outlines}
        made = _complete(outlines, known)
        if self._index is not None and made:
            self._index.add_folders(made)
        known |= made
        return {tree: known[tree] for tree in trees if tree in known}

    def load(self, trees: Collection[ID]) -> dict[ID, list[Node]]:
        """Return the nodes of trees; unreadable ones are omitted."""
        found: dict[ID, list[Node]] = {}
        self._load(list(trees), found.__setitem__)
        return found

    def find_steps(self, pairs: Collection[tuple[ID, ID]]) -> dict[tuple[ID, ID], Step]:
        """Return the steps between pairs of trees that the index knows."""
        return {} if self._index is None else self._index.find_steps(pairs)

    def add_steps(self, steps: dict[tuple[ID, ID], Step]) -> None:
        """Let the index keep steps between pairs of trees."""
        if self._index is not None and steps:
            self._index.add_steps(steps)

    def _load(self, trees: list[ID], take: Callable[[ID, list[Node]], None]) -> None:
        trees = [tree for tree in trees if tree not in self._damaged]
        if trees and not self._repository.index_files:
            self._repository.load_index(self._report)
        for start in range(0, len(trees), _AT_ONCE):
            self._load_some(trees[start : start + _AT_ONCE], take)

    def _load_some(self, trees: list[ID], take: Callable[[ID, list[Node]], None]) -> None:
        for handle, outcome in self._repository.loader.load_each(BlobHandle(BlobType.TREE, tree) for tree in trees):
            try:
                take(handle.id, parse_tree(plain_of(outcome)))
            except ImpossibleNamesError as error:
                self._report.error(f"tree {handle.id.hex()}", error)
                take(handle.id, error.nodes)
            except PyresticError as error:
                self._damaged.add(handle.id)
                self._report.error(f"tree {handle.id.hex()}", error)


class _Folder(NamedTuple):
    """A subfolder: the digest of its entry, and its tree."""

    entry: bytes
    newest_ns: int
    tree: ID


class _Outline(NamedTuple):
    """The part of a tree that a summary needs: that of all other nodes, and its folders."""

    rest: FolderSummary
    folders: list[_Folder]


def _outline(nodes: Iterable[Node]) -> _Outline:
    """Return a tree's outline; raise FormatError if it has a folder without a tree."""
    digest = hashlib.sha256()
    size = files = newest_ns = 0
    folders = []
    for node in sorted(nodes, key=lambda node: node.raw_name):
        moment = time_of(node)
        newest_ns = max(newest_ns, moment)
        entry = _field(node.raw_name) + _field(node.mtime.encode() if moment == 0 else str(moment).encode())
        if node.type == DIRECTORY:
            if node.subtree is None:
                raise FormatError(f"the folder {node.name!r} has no tree")
            folders.append(_Folder(entry, moment, parse_id(node.subtree)))
            continue
        digest.update(entry + str(node.size).encode() + b"\0" + identify(node))
        size += node.size
        files += node.type == FILE
    return _Outline(FolderSummary(digest.digest(), size, files, newest_ns), folders)


def _field(value: bytes) -> bytes:
    """Return bytes with a length prefix, so that concatenations are unambiguous."""
    return len(value).to_bytes(4, "big") + value


def _complete(outlines: dict[ID, _Outline], known: dict[ID, FolderSummary]) -> dict[ID, FolderSummary]:
    """Return the summaries of outlines whose folders are, at every level, outlined or known."""
    made: dict[ID, FolderSummary] = {}
    for tree in _lowest_first(outlines):
        rest, folders = outlines[tree]
        below = [made[folder.tree] if folder.tree in made else known.get(folder.tree) for folder in folders]
        whole = [summary for summary in below if summary is not None]
        if len(whole) < len(below):
            continue
        digest = hashlib.sha256(rest.digest)
        for folder, summary in zip(folders, whole, strict=True):
            digest.update(folder.entry + summary.digest)
        made[tree] = FolderSummary(
            digest.digest(),
            min(rest.size + sum(summary.size for summary in whole), _MAX),
            min(rest.files + sum(summary.files for summary in whole), _MAX),
            max([rest.newest_ns, *(summary.newest_ns for summary in whole)]),
        )
    return made


def _lowest_first(outlines: dict[ID, _Outline]) -> Iterator[ID]:
    """Iterate trees, each after those below it; without recursion, so that depth does not matter."""
    done: set[ID] = set()
    for start in outlines:
        stack = [start]
        while stack:
            tree = stack[-1]
            if tree in done:
                stack.pop()
                continue
            waiting = [
                folder.tree for folder in outlines[tree].folders if folder.tree in outlines and folder.tree not in done
            ]
            if waiting:
                stack += waiting
            else:
                done.add(stack.pop())
                yield tree


def time_of(node: Node) -> int:
    """Return the modification time in nanoseconds since 1970, 0 if it is invalid."""
    try:
        return max(-_MAX, min(node.mtime_ns, _MAX))
    except FormatError:
        return 0


def identify(node: Node) -> bytes:
    """Return a digest of the content of a node other than a folder: equal for the same type and content."""
    content = hashlib.sha256(node.type.encode() + b"\0")
    if node.type == FILE:
        content.update("".join(node.content or ()).encode())
    else:
        content.update(node.raw_linktarget + b"\0" + str(node.device).encode())
    return content.digest()
