"""Walks the trees of many snapshots in order and prefetches them in batches."""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from itertools import islice
from typing import Final, NamedTuple

from pyrestic.errors import FormatError, PyresticError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID, parse_id
from pyrestic.repository.repository import Repository
from pyrestic.repository.trail import Trail
from pyrestic.repository.tree_prefetch import TreeCache

_AHEAD_FOLDERS: Final = 64
"""Number of next folders, the nearest ones, whose subfolders are prefetched."""


class _Soon(NamedTuple):
    """An upcoming folder. Subfolders of one folder share its `prefix`."""

    prefix: bytes
    name: bytes
    tree: ID


class EventKind(Enum):
    """Events of a walk: a node, the end of a folder, a tree that cannot be read."""

    NODE = auto()
    LEFT = auto()
    UNREADABLE = auto()


class Event(NamedTuple):
    """A step of a walk. `tree` is the tree of the folder; the entries of an `entered` node come next."""

    kind: EventKind
    tree: ID
    location: bytes
    node: Node | None = None
    entered: bool = False
    error: PyresticError | None = None


Enter = Callable[[bytes, Node], bool]
"""Decides whether to enter a folder."""


class Forest:
    """The trees of some snapshots, walked one after the other."""

    def __init__(
        self,
        repository: Repository,
        roots: Iterable[ID],
        enter: Enter = lambda _, __: True,
        trees: TreeCache | None = None,
    ) -> None:
        """`roots` are in walking order; the result of `enter` may change during the walk."""
        self._trees = trees or TreeCache(repository)
        self._enter = enter
        self._later = [_Soon(b"", b"", root) for root in reversed(list(roots))]
        self._stack: list[_Frame] = []
        self._trail = Trail()

    def walk(self, root: ID) -> Iterator[Event]:
        """Iterate everything below a root: a folder's nodes in order, each entered one followed by its content.

        The tree of a folder is read before the folder is reported. For an unreadable root, that is the only event.
        """
        while self._later and self._later[-1].tree == root:
            self._later.pop()
        self._stack = []
        self._trail = Trail()
        try:
            self._stack.append(self._open(_Soon(b"", b"", root)))
        except PyresticError as error:
            yield Event(EventKind.UNREADABLE, root, b"/", error=error)
            return
        while self._stack:
            frame = self._stack[-1]
            node = next(frame.nodes, None)
            if node is None:
                location = self._trail.location
                self._stack.pop()
                self._trail.leave()
                yield Event(EventKind.LEFT, frame.tree, location)
            elif node.type == DIRECTORY:
                yield self._meet(frame, node)
            else:
                yield Event(EventKind.NODE, frame.tree, self._trail.join(node.raw_name), node)

    def _meet(self, frame: "_Frame", node: Node) -> Event:
        name = node.raw_name
        location = self._trail.join(name)
        if not self._enter(location, node):
            return Event(EventKind.NODE, frame.tree, location, node)
        try:
            if node.subtree is None:
                raise FormatError(f"the folder {location.decode('utf-8', 'replace')} has no tree")
            below = self._open(_Soon(location[: -len(name)], name, parse_id(node.subtree)))
        except PyresticError as error:
            return Event(EventKind.UNREADABLE, frame.tree, location, node, error=error)
        self._stack.append(below)
        self._trail.enter(name)
        return Event(EventKind.NODE, frame.tree, location, node, entered=True)

    def _open(self, folder: _Soon) -> "_Frame":
        self._trees.prepare(folder, self._upcoming(), lambda one: (one.tree,), self._below)
        return _Frame(folder.tree, self._trees.take(folder.tree))

    def _below(self, folder: _Soon) -> Iterator[_Soon]:
        return self._choose(folder.prefix + folder.name + b"/", self._trees.peek(folder.tree) or ())

    def _upcoming(self) -> Iterator[_Soon]:
        """Iterate the upcoming folders, the next first."""
        # Not for all of a long path: each of its folders would be a step of each of its folders.
        for prefix, frame in islice(zip(self._trail.prefixes(), reversed(self._stack), strict=False), _AHEAD_FOLDERS):
            yield from self._choose(prefix, frame.rest())
        yield from reversed(self._later)

    def _choose(self, prefix: bytes, nodes: Iterable[Node]) -> Iterator[_Soon]:
        """Iterate the subfolders of a folder that will be entered."""
        for node in nodes:
            if node.type == DIRECTORY and node.subtree is not None:
                name = node.raw_name
                if self._enter(prefix + name, node):
                    yield _Soon(prefix, name, parse_id(node.subtree))


class _Frame:
    """A folder during its walk."""

    def __init__(self, tree: ID, nodes: list[Node]) -> None:
        self.tree = tree
        self._all = nodes
        self._passed = 0
        self.nodes = self._iterate()

    def _iterate(self) -> Iterator[Node]:
        for number, node in enumerate(self._all):
            self._passed = number + 1
            yield node

    def rest(self) -> Iterator[Node]:
        """Iterate the nodes not yet visited."""
        return islice(self._all, self._passed, None)
