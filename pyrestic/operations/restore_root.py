"""What a restore takes for the root of its target: a folder of a snapshot, one file, or what is left of its paths.

Things of several snapshots may stand there side by side as well. All but the first are made to look like a folder, so
that the restore knows nothing of it.
"""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from pyrestic.errors import UsageError
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import ImpossibleNamesError
from pyrestic.ids import ID, hash_id, parse_id
from pyrestic.localfs.select import Select
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import walk

Load = Callable[[ID], list[Node]]
_MADE_UP = hash_id(b"the root of a restore that is no folder of the snapshot")


class RestoreRoot(NamedTuple):
    """A tree, how to load it and those below, and which locations below it are meant."""

    tree: ID
    load: Load
    select: Select | None


def file_root(node: Node, name: bytes, load: Load, select: Select | None) -> RestoreRoot:
    """Return a root that holds one file, link or other thing, under a name."""
    renamed = msgspec.structs.replace(node, name=quote_name(name))
    return RestoreRoot(_MADE_UP, _with_made_up([renamed], load), select)


def place_file(node: Node, target: str, load: Load, select: Select | None) -> tuple[RestoreRoot, str]:
    """Return a root for one file, link or other thing, and the folder it goes to.

    It goes into `target` if that is a folder or ends with a slash, and becomes `target` itself otherwise.
    """
    if target.endswith("/") or os.path.isdir(target):
        return file_root(node, node.raw_name, load, select), target
    parent, name = os.path.split(target)
    return file_root(node, os.fsencode(name), load, select), parent or "."


def side_by_side_root(things: Sequence[tuple[bytes, Node]], load: Load) -> RestoreRoot:
    """Return a root that holds things of several snapshots under new names.

    Files that are links of one another stay so within each of the things, and never from one to another.
    """
    return RestoreRoot(_MADE_UP, _SideBySide(things, load).load, None)


class _SideBySide:
    """Makes up trees in which devices have numbers of their own for each thing: links are told by inode and device."""

    def __init__(self, things: Sequence[tuple[bytes, Node]], load: Load) -> None:
        self._load = load
        self._trees: dict[ID, tuple[int, ID]] = {}
        self._nodes = [
            msgspec.structs.replace(self._apart(number, node), name=quote_name(name))
            for number, (name, node) in enumerate(things)
        ]
        self._nodes.sort(key=lambda node: node.raw_name)

    def load(self, tree: ID) -> list[Node]:
        """Return the nodes of a tree that is made up."""
        if tree == _MADE_UP:
            return self._nodes
        number, real = self._trees[tree]
        try:
            return [self._apart(number, node) for node in self._load(real)]
        except ImpossibleNamesError as error:
            raise ImpossibleNamesError(str(error), [self._apart(number, node) for node in error.nodes]) from None

    def _apart(self, number: int, node: Node) -> Node:
        changed = msgspec.structs.replace(node, device_id=number << 64 | node.device_id)
        if node.type == DIRECTORY and node.subtree is not None:
            real = parse_id(node.subtree)
            made_up = hash_id(number.to_bytes(8, "big") + real)
            self._trees[made_up] = number, real
            changed.subtree = made_up.hex()
        return changed


def stripped_root(repository: Repository, tree: ID, count: int, load: Load, select: Select | None) -> RestoreRoot:
    """Return a root that holds what lies `count` folders below a tree; things that lie less deep are left out.

    `select` goes on to see whole locations. Raises UsageError if two things would get the same place, and PyresticError
    if a folder on the way cannot be read.
    """
    nodes: dict[bytes, Node] = {}
    above: dict[bytes, bytes] = {}
    enter = True

    visits = walk(repository, tree, load=load, enter=lambda location, _: enter and location.count(b"/") <= count)
    for location, node, _ in visits:
        selected = enter = True
        if select is not None:
            selected, enter = select(location, node.type == DIRECTORY)
        folder, _, name = location.rpartition(b"/")
        if location.count(b"/") <= count or not (selected or (enter and node.type == DIRECTORY)):
            continue
        if name in nodes:
            raise UsageError(
                f"{os.fsdecode(above[name] + b'/' + name)} and {os.fsdecode(location)} would become the same",
                hint="Choose one of them by --include or SNAPSHOT:FOLDER, or strip fewer components.",
            )
        nodes[name] = node
        above[name] = folder
    below = None if select is None else _select_below(above, select)
    ordered = [nodes[name] for name in sorted(nodes)]
    return RestoreRoot(_MADE_UP, _with_made_up(ordered, load), below)


def _with_made_up(nodes: list[Node], load: Load) -> Load:
    return lambda tree: nodes if tree == _MADE_UP else load(tree)


def _select_below(above: dict[bytes, bytes], select: Select) -> Select:
    def below(location: bytes, is_folder: bool) -> tuple[bool, bool]:
        first = location.split(b"/", 2)[1]
        if first not in above:
            # It is in the target alone, and nobody knows where it would be in the snapshot.
            return False, False
        return select(above[first] + location, is_folder)

    return below
