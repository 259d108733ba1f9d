"""What a restore takes for the root of its target: a folder of a snapshot, one file, or what is left of its paths.

One file, and paths without their first parts, are made to look like a folder, so that the restore knows nothing of it.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pyrestic.errors import UsageError
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID, hash_id
from pyrestic.localfs.select import Select
from pyrestic.repository.repository import Repository
from pyrestic.repository.trees import walk

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
