"""Walking through the trees of many snapshots in order, while their trees are fetched many at a time."""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from pyrestic.errors import FormatError, PyresticError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID, parse_id
from pyrestic.repository.repository import Repository
from pyrestic.repository.treecache import TreeCache


class Place(NamedTuple):
    """A folder: where it is in the snapshot, and its tree."""

    location: bytes
    tree: ID


class Kind(Enum):
    """What happens on a walk: a node is met, a folder was left, a folder's tree cannot be read."""

    NODE = auto()
    LEFT = auto()
    UNREADABLE = auto()


class Event(NamedTuple):
    """A step of a walk. `folder` holds the node, or is the one that was left; `entered` says that more of it comes."""

    kind: Kind
    folder: Place
    location: bytes
    node: Node | None = None
    entered: bool = False
    error: PyresticError | None = None


Enter = Callable[[bytes, Node], bool]
"""Tells whether to go into a folder."""


class Forest:
    """The trees of some snapshots, walked through one snapshot after the other."""

    def __init__(
        self,
        repository: Repository,
        roots: Iterable[ID],
        enter: Enter = lambda _, __: True,
        trees: TreeCache | None = None,
    ) -> None:
        """`roots` are in the order in which they will be walked; `enter` may change its mind while that is done."""
        self._trees = trees or TreeCache(repository)
        self._enter = enter
        self._later = [Place(b"/", root) for root in reversed(list(roots))]
        self._stack: list[_Frame] = []

    def walk(self, root: ID) -> Iterator[Event]:
        """Iterate what is below a root: a folder's nodes in order, each entered one followed by what is in it.

        The tree of a folder is read before the folder is told of. A root that cannot be read is the only event.
        """
        while self._later and self._later[-1].tree == root:
            self._later.pop()
        place = Place(b"/", root)
        self._stack = []
        try:
            self._stack.append(self._open(place))
        except PyresticError as error:
            yield Event(Kind.UNREADABLE, place, b"/", error=error)
            return
        while self._stack:
            frame = self._stack[-1]
            node = next(frame.nodes, None)
            if node is None:
                self._stack.pop()
                yield Event(Kind.LEFT, frame.place, frame.place.location)
            elif node.type == DIRECTORY:
                yield self._meet(frame, node)
            else:
                yield Event(Kind.NODE, frame.place, _join(frame.place, node), node)

    def _meet(self, frame: "_Frame", node: Node) -> Event:
        location = _join(frame.place, node)
        if not self._enter(location, node):
            return Event(Kind.NODE, frame.place, location, node)
        try:
            if node.subtree is None:
                raise FormatError(f"the folder {location.decode('utf-8', 'replace')} has no tree")
            below = self._open(Place(location, parse_id(node.subtree)))
        except PyresticError as error:
            return Event(Kind.UNREADABLE, frame.place, location, node, error=error)
        self._stack.append(below)
        return Event(Kind.NODE, frame.place, location, node, entered=True)

    def _open(self, place: Place) -> "_Frame":
        self._trees.prepare(place, self._upcoming(), lambda one: (one.tree,), self._below)
        return _Frame(place, self._trees.take(place.tree))

    def _below(self, place: Place) -> Iterator[Place]:
        for node in self._trees.peek(place.tree) or ():
            if node.type == DIRECTORY and node.subtree is not None:
                location = _join(place, node)
                if self._enter(location, node):
                    yield Place(location, parse_id(node.subtree))

    def _upcoming(self) -> Iterator[Place]:
        """Iterate the folders that come next, the next first."""
        for frame in reversed(self._stack):
            for node in frame.rest():
                location = _join(frame.place, node)
                if node.subtree is not None and self._enter(location, node):
                    yield Place(location, parse_id(node.subtree))
        yield from reversed(self._later)


class _Frame:
    """A folder that is being walked through."""

    def __init__(self, place: Place, nodes: list[Node]) -> None:
        self.place = place
        self._all = nodes
        self._passed = 0
        self.nodes = self._iterate()

    def _iterate(self) -> Iterator[Node]:
        for number, node in enumerate(self._all):
            self._passed = number + 1
            yield node

    def rest(self) -> Iterator[Node]:
        """Iterate the folders that were not met yet."""
        return (node for node in islice(self._all, self._passed, None) if node.type == DIRECTORY)


def _join(folder: Place, node: Node) -> bytes:
    return (b"" if folder.location == b"/" else folder.location) + b"/" + node.raw_name
