"""Walking through the trees of many snapshots in order, while their trees are fetched many at a time.

Who walks from folder to folder needs one tree after the other, and each would cost a request of its own. So when one is
needed that is not at hand, those that come next are fetched with it, level by level below the folders that wait, in as
few requests as their packs allow. What was fetched and not visited yet is bounded, and so is what is kept of visited
trees for the next snapshot: they count by their stored bytes, and take about twice as much as objects.
"""

import posixpath
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from itertools import islice
from typing import Final, NamedTuple

from pyrestic.errors import FormatError, PyresticError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import parse_tree
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.repository import loader
from pyrestic.repository.repository import Repository

_AHEAD_BYTES: Final = 16 << 20
_KEPT_BYTES: Final = 16 << 20
_WAITING: Final = 1024
_NEXT: Final = 32
_ROUND: Final = 1024


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


class TreeCache:
    """Trees at hand, those that will be visited and those that were."""

    def __init__(self, repository: Repository, *, ahead_bytes: int, kept_bytes: int) -> None:
        self._repository = repository
        self._ahead_bytes = ahead_bytes
        self._kept_bytes = kept_bytes
        self._ahead: dict[ID, tuple[list[Node], int]] = {}
        self._waiting_bytes = 0
        self._kept: OrderedDict[ID, tuple[list[Node], int]] = OrderedDict()
        self._visited_bytes = 0
        self._failed: dict[ID, PyresticError] = {}

    @property
    def room(self) -> int:
        """Bytes that may be fetched ahead."""
        return self._ahead_bytes - self._waiting_bytes

    @property
    def roomy(self) -> bool:
        """There is little that was fetched and not visited."""
        return 2 * self._waiting_bytes < self._ahead_bytes

    def peek(self, tree: ID) -> list[Node] | None:
        """Return a tree if it is at hand."""
        found = self._ahead.get(tree) or self._kept.get(tree)
        return found[0] if found else None

    def take(self, tree: ID) -> list[Node]:
        """Return a tree that is visited now; raise DamageError or BackendError."""
        if tree in self._failed:
            raise self._failed[tree]
        if tree in self._kept:
            self._kept.move_to_end(tree)
            return self._kept[tree][0]
        found = self._ahead.pop(tree, None)
        if found is None:
            found = self._load(tree)
        else:
            self._waiting_bytes -= found[1]
        self._kept[tree] = found
        self._visited_bytes += found[1]
        while self._visited_bytes > self._kept_bytes and len(self._kept) > 1:
            _, (_, length) = self._kept.popitem(last=False)
            self._visited_bytes -= length
        return found[0]

    def _load(self, tree: ID) -> tuple[list[Node], int]:
        try:
            data = self._repository.load_blob(BlobHandle(BlobType.TREE, tree))
            return parse_tree(data), len(data)
        except PyresticError as error:
            self._failed[tree] = error
            raise

    def fetch(self, trees: Iterable[ID], limit: int) -> None:
        """Fetch trees that are not at hand, up to about `limit` bytes; what cannot be read is left for `take`."""
        wanted = [
            BlobHandle(BlobType.TREE, tree)
            for tree in dict.fromkeys(trees)
            if tree not in self._ahead and tree not in self._kept and tree not in self._failed
        ]
        found: dict[ID, tuple[list[Node], int]] = {}

        def deliver(handle: BlobHandle, data: bytes) -> None:
            try:
                found[handle.id] = parse_tree(data), len(data)
            except FormatError:
                return

        planned = loader.plan(self._repository.index, wanted, _pass)
        self._repository.loader.load_many(_up_to(planned, limit), deliver, _pass)
        self._ahead |= found
        self._waiting_bytes += sum(length for _, length in found.values())


def _pass(_: BlobHandle, __: PyresticError) -> None:
    """Leave it to who needs the blob."""


def _up_to(ranges: list[loader.PackRange], limit: int) -> Iterator[loader.PackRange]:
    """Iterate requests until their blobs have reached a length."""
    for request in ranges:
        if limit <= 0:
            return
        limit -= sum(blob.plain_length or blob.length for blob in request.blobs)
        yield request


class Forest:
    """The trees of some snapshots, walked through one snapshot after the other."""

    def __init__(
        self,
        repository: Repository,
        roots: Iterable[ID],
        enter: Enter = lambda _, __: True,
        *,
        ahead_bytes: int = _AHEAD_BYTES,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        """`roots` are in the order in which they will be walked; `enter` may change its mind while that is done."""
        self._trees = TreeCache(repository, ahead_bytes=ahead_bytes, kept_bytes=kept_bytes)
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
        if self._trees.peek(place.tree) is None:
            self._look_ahead(place)
        return _Frame(place, self._trees.take(place.tree))

    def _look_ahead(self, place: Place) -> None:
        """Fetch what is needed now with what comes next; if much is at hand already, only with its neighbours."""
        trees = self._trees
        plenty = trees.roomy
        level = [place, *islice(self._upcoming(), _WAITING if plenty else _NEXT)]
        while True:
            missing = [one.tree for one in level if trees.peek(one.tree) is None][:_ROUND]
            if missing:
                trees.fetch(missing, max(trees.room, 1))
            if not plenty or trees.room <= 0:
                return
            level = [below for one in level for below in self._below(one)]
            if not level:
                return

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
    return posixpath.join(folder.location, node.raw_name)
