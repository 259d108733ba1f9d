"""The root of a restore: a folder of a snapshot, one file, or a snapshot with shortened paths.

It can also combine entries of several snapshots. All but the first are presented as a folder, so that the restore needs
no special cases.
"""

import os
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec

from pyrestic.errors import UsageError
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import ImpossibleNamesError, encode_tree
from pyrestic.ids import ID, hash_id, parse_id
from pyrestic.localfs.select import Select
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import KeptTrees, find_entry, walk

Load = Callable[[ID], list[Node]]


class Contents(NamedTuple):
    """The content of a folder, by its tree."""

    tree: ID


class Single(NamedTuple):
    """A file, link or other entry than a folder. It goes into the target if that is a folder, else becomes it."""

    node: Node


class Named(NamedTuple):
    """Files and folders, possibly of several snapshots, each with its name in the target."""

    things: Sequence[tuple[bytes, Node]]


Source = Contents | Single | Named
"""The source of a restore."""


def find_source(repository: Repository, tree: ID, location: str) -> Source:
    """Return the entry at a location below a tree; raise UsageError, DamageError or BackendError."""
    node, tree = find_entry(repository, tree, location)
    return Contents(tree) if node is None else Single(node)


class RestoreRoot(NamedTuple):
    """A tree, how to load it and those below, and the selected locations below it.

    A synthetic tree has a unique ID like a stored tree.
    """

    tree: ID
    load: Load
    select: Select | None


def make_root(
    repository: Repository, source: Source, target: str, options: RestoreOptions, select: Select | None
) -> tuple[RestoreRoot, str]:
    """Return the root for a source, and its target folder; raise UsageError for an invalid combination."""
    load = KeptTrees(repository).load
    count = options.strip_components
    if isinstance(source, Contents):
        if count:
            return _stripped_root(repository, source.tree, count, load, select), target
        return RestoreRoot(source.tree, load, select), target
    if isinstance(source, Single):
        if options.delete or count:
            raise UsageError("--delete and --strip-components work only for folders, and this is a single file")
        return _place_file(source.node, target, load, select)
    if options.delete or count:
        raise UsageError("--delete and --strip-components work only for the content of one folder")
    return _named_root(source.things, load, select), target


def _place_file(node: Node, target: str, load: Load, select: Select | None) -> tuple[RestoreRoot, str]:
    """Return a root for one file, link or other entry, and its target folder.

    It goes into `target` if that is a folder or ends with a slash, and becomes `target` itself otherwise.
    """
    if target.endswith("/") or os.path.isdir(target):
        return _named_root([(node.raw_name, node)], load, select), target
    parent, name = os.path.split(target)
    return _named_root([(os.fsencode(name), node)], load, select), parent or "."


def _named_root(things: Sequence[tuple[bytes, Node]], load: Load, select: Select | None) -> RestoreRoot:
    """Return a root with entries under new names.

    Hard links stay within each of the entries, and never connect two of them.
    """
    nodes = _renamed(things)
    made_up = hash_id(encode_tree(nodes))
    if len(nodes) > 1:
        apart = _Apart(load)
        nodes = [apart.separate(number, node) for number, node in enumerate(nodes)]
        load = apart.load
    return RestoreRoot(made_up, _with_made_up(made_up, nodes, load), select)


def _renamed(things: Sequence[tuple[bytes, Node]]) -> list[Node]:
    return [msgspec.structs.replace(node, name=quote_name(name)) for name, node in sorted(things, key=itemgetter(0))]


class _Apart:
    """Makes up trees in which devices have numbers of their own for each thing: links are told by inode and device."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._trees: dict[ID, tuple[int, ID]] = {}

    def load(self, tree: ID) -> list[Node]:
        """Return the nodes of a synthetic tree."""
        number, real = self._trees[tree]
        try:
            return [self.separate(number, node) for node in self._load(real)]
        except ImpossibleNamesError as error:
            raise ImpossibleNamesError(str(error), [self.separate(number, node) for node in error.nodes]) from None

    def separate(self, number: int, node: Node) -> Node:
        """Return the node as part of an entry."""
        changed = msgspec.structs.replace(node, device_id=number << 64 | node.device_id)
        if node.type == DIRECTORY and node.subtree is not None:
            real = parse_id(node.subtree)
            made_up = hash_id(number.to_bytes(8, "big") + real)
            self._trees[made_up] = number, real
            changed.subtree = made_up.hex()
        return changed


def _stripped_root(repository: Repository, tree: ID, count: int, load: Load, select: Select | None) -> RestoreRoot:
    """Return a root with everything `count` folders below a tree; entries at a lower depth are omitted.

    `select` still sees full locations. Raises UsageError if two entries would get the same path, and PyresticError if a
    folder on the path cannot be read.
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
                f"{os.fsdecode(above[name] + b'/' + name)} and {os.fsdecode(location)} would have the same path",
                hint="Choose one of them by --include or SNAPSHOT:FOLDER, or strip fewer components.",
            )
        nodes[name] = node
        above[name] = folder
    below = None if select is None else _select_below(above, select)
    ordered = [nodes[name] for name in sorted(nodes)]
    made_up = hash_id(encode_tree(ordered))
    return RestoreRoot(made_up, _with_made_up(made_up, ordered, load), below)


def _with_made_up(made_up: ID, nodes: list[Node], load: Load) -> Load:
    return lambda tree: nodes if tree == made_up else load(tree)


def _select_below(above: dict[bytes, bytes], select: Select) -> Select:
    def below(location: bytes, is_folder: bool) -> tuple[bool, bool]:
        first = location.split(b"/", 2)[1]
        if first not in above:
            # It exists only in the target, and its location in the snapshot is unknown.
            return False, False
        return select(above[first] + location, is_folder)

    return below
