"""Walks the trees of a snapshot."""

import posixpath
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pyrestic.errors import FormatError, PyresticError, UsageError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import ImpossibleNamesError
from pyrestic.ids import ID, parse_id
from pyrestic.nearest import suggest
from pyrestic.repository.repository import Repository


class Visit(NamedTuple):
    """A node during a tree walk. `location` is its path in the snapshot; `leaving` comes after its entries."""

    location: bytes
    node: Node
    leaving: bool = False


def find_tree(repository: Repository, tree: ID, folder: str | bytes) -> ID:
    """Return the tree of a folder below `tree`; raise UsageError if there is none, DamageError or BackendError."""
    node, tree = find_entry(repository, tree, folder)
    if node is not None:
        raise UsageError(f"path {_shown(_parts(folder))}: not a directory")
    return tree


def find_entry(repository: Repository, tree: ID, location: str | bytes) -> tuple[Node | None, ID]:
    """Return the tree of a folder below `tree`, or another node and the tree that contains it.

    Raises UsageError if it does not exist, DamageError or BackendError.
    """
    parts = _parts(location)
    for number, name in enumerate(parts, 1):
        nodes = load_possible(repository.load_tree, tree)
        node = next((node for node in nodes if node.raw_name == name), None)
        if node is None:
            hint = suggest_location(parts[: number - 1], name, nodes)
            raise UsageError(f"path {_shown(parts[:number])}: not found", hint=hint)
        if node.type == DIRECTORY and node.subtree is not None:
            tree = parse_id(node.subtree)
        elif number == len(parts):
            return node, tree
        else:
            raise UsageError(f"path {_shown(parts[:number])}: not a directory")
    return None, tree


def load_possible(load: Callable[[ID], list[Node]], tree: ID) -> list[Node]:
    """Return the nodes of a tree except those with impossible names; raises other errors of `load`."""
    try:
        return load(tree)
    except ImpossibleNamesError as error:
        return error.nodes


def suggest_location(folder: list[bytes], name: bytes, nodes: list[Node]) -> str:
    """Return a hint with the name closest to `name` in a folder of a snapshot, "" if there is none."""

    def show(one: bytes) -> str:
        return "/" + _shown([*folder, one])

    return suggest(show(name), (show(node.raw_name) for node in nodes), "paths")


def _parts(location: str | bytes) -> list[bytes]:
    raw = location.encode("utf-8", "surrogateescape") if isinstance(location, str) else location
    return [name for name in posixpath.normpath(b"/" + raw).split(b"/") if name]


def _shown(parts: list[bytes]) -> str:
    return posixpath.join(*parts).decode("utf-8", "replace")


class KeptTrees:
    """Loads trees, and caches the first ones for a second walk, up to a total number of nodes."""

    def __init__(self, repository: Repository, nodes: int = 30_000) -> None:
        self._repository = repository
        self._room = nodes
        self._trees: dict[ID, list[Node]] = {}

    def load(self, tree: ID) -> list[Node]:
        """Return the nodes of a tree; raise MissingBlobError, DamageError or BackendError."""
        nodes = self._trees.get(tree)
        if nodes is None:
            nodes = self._repository.load_tree(tree)
            if len(nodes) < self._room:
                self._trees[tree] = nodes
                # An empty tree takes memory as well.
                self._room -= len(nodes) + 1
        return nodes


def walk(
    repository: Repository,
    tree: ID,
    *,
    load: Callable[[ID], list[Node]] | None = None,
    enter: Callable[[bytes, Node], bool] | None = None,
    on_error: Callable[[bytes, PyresticError], None] | None = None,
    leaving: bool = False,
    root: bytes = b"/",
) -> Iterator[Visit]:
    """Iterate all nodes below a tree, a folder before its entries, names in order.

    `enter` decides for each folder whether to enter it. With `leaving`, a folder is visited again after its entries. An
    unreadable tree goes to `on_error`, or is raised without one; so do impossible names, and the rest of their folder
    is visited. Memory contains the folders on the path. `load` may replace loading trees from the repository.
    """
    load = load or repository.load_tree
    # One path is kept, not one per folder: that would be quadratic in the depth.
    prefix = posixpath.join(root, b"")
    stack: list[tuple[Node | None, Iterator[Node]]] = [(None, _load(load, tree, root, on_error))]
    while stack:
        folder, nodes = stack[-1]
        for node in nodes:
            location = prefix + node.raw_name
            visit = Visit(location, node)
            yield visit
            if node.type != DIRECTORY:
                continue
            if enter is None or enter(location, node):
                stack.append((node, _entries(load, visit, on_error)))
                prefix = location + b"/"
                break
            if leaving:
                yield visit._replace(leaving=True)
        else:
            stack.pop()
            if folder is not None:
                location = prefix[:-1]
                prefix = location[: len(location) - len(folder.raw_name)]
                if leaving:
                    yield Visit(location, folder, leaving=True)


def _entries(
    load: Callable[[ID], list[Node]], visit: Visit, on_error: Callable[[bytes, PyresticError], None] | None
) -> Iterator[Node]:
    try:
        if visit.node.subtree is None:
            raise FormatError(f"the folder {visit.location.decode('utf-8', 'replace')} has no tree")
        return _load(load, parse_id(visit.node.subtree), visit.location, on_error)
    except PyresticError as error:
        if on_error is None:
            raise
        on_error(visit.location, error)
        return iter(())


def _load(
    load: Callable[[ID], list[Node]],
    tree: ID,
    location: bytes,
    on_error: Callable[[bytes, PyresticError], None] | None,
) -> Iterator[Node]:
    """Iterate the nodes of a tree; impossible names go to `on_error`, if there is one."""
    try:
        return iter(load(tree))
    except ImpossibleNamesError as error:
        if on_error is None:
            raise
        on_error(location, error)
        return iter(error.nodes)
