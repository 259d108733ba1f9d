"""A repository as one tree of folders: those above the snapshots, then the content of the snapshots."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.errors import NotFoundError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID, parse_id
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.repository.tree_walk import load_possible
from pyrestic.vfs.namespace import NamespaceEntry

_RELOAD_SECONDS = 60.0
_MAX_TREES = 256
_MAX_NODES = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of a path: a folder above the snapshots or a link there (`place`), or a node in a snapshot.

    The root of a snapshot has no node.
    """

    place: NamespaceEntry | None = None
    snapshot: StoredSnapshot | None = None
    node: Node | None = None
    tree: ID | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        if self.place is not None:
            return not self.place.link
        return self.node is None or self.node.type == DIRECTORY


class _Recent(NamedTuple):
    """The folder of the last lookup in a snapshot: usually the next one is in the same folder."""

    path: bytes
    places: NamespaceEntry
    entry: Entry


class View:
    """Finds entries by path. `load_places` returns the folders above the snapshots, reloaded every minute.

    A bounded number of recently used trees is kept. Thread-safe.
    """

    def __init__(
        self,
        repository: Repository,
        load_places: Callable[[], NamespaceEntry],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._load_places = load_places
        self._clock = clock
        self._lock = threading.Lock()
        self._places = load_places()
        self._loaded_at = clock()
        self._trees: OrderedDict[ID, dict[bytes, Node]] = OrderedDict()
        self._node_count = 0
        self._recent: _Recent | None = None

    def find(self, path: bytes) -> Entry:
        """Return the entry at a path; raise NotFoundError, DamageError or BackendError."""
        places = self._current_places()
        above, _, last = path.rpartition(b"/")
        recent = self._recent
        start, rest = Entry(place=places), path
        if last and recent is not None and recent.places is places:
            if recent.path == above:
                return self._step(recent.entry, last)
            if path.startswith(recent.path + b"/"):
                # A walk down the folders would otherwise start at the top for each.
                start, rest = recent.entry, path[len(recent.path) :]
        parts = [part for part in rest.split(b"/") if part]
        if not parts:
            return start
        folder = self._walk(start, parts[:-1])
        if folder.tree is not None:
            self._recent = _Recent(above, places, folder)
        return self._step(folder, parts[-1])

    def children(self, entry: Entry) -> list[tuple[bytes, Entry]]:
        """Return names and entries of a folder; raise NotFoundError if it is none, DamageError or BackendError."""
        if entry.place is not None:
            return [
                (name.encode("utf-8", "surrogateescape"), _entry_of(place))
                for name, place in entry.place.children.items()
            ]
        return [
            (name, Entry(snapshot=entry.snapshot, node=node, tree=_tree_of(node)))
            for name, node in self.nodes(entry).items()
        ]

    def nodes(self, entry: Entry) -> Mapping[bytes, Node]:
        """Return the nodes of a folder in a snapshot by their names; raise as children does."""
        if entry.tree is None:
            raise NotFoundError("not a folder")
        return self._load_tree(entry.tree)

    def find_in(self, stored: StoredSnapshot, parts: list[bytes]) -> Entry:
        """Return the entry at a list of names in a snapshot; raise NotFoundError, DamageError or BackendError."""
        return self._walk(Entry(snapshot=stored, tree=stored.snapshot.tree_id), parts)

    def _walk(self, entry: Entry, parts: list[bytes]) -> Entry:
        for part in parts:
            entry = self._step(entry, part)
        return entry

    def _step(self, folder: Entry, name: bytes) -> Entry:
        """Return the entry with a name in a folder."""
        if folder.place is not None:
            place = folder.place.children.get(name.decode("utf-8", "surrogateescape"))
            if place is None:
                raise NotFoundError("no such file or folder")
            return _entry_of(place)
        if folder.tree is None:
            raise NotFoundError("not a folder")
        node = self._load_tree(folder.tree).get(name)
        if node is None:
            raise NotFoundError("no such file or folder")
        return Entry(snapshot=folder.snapshot, node=node, tree=_tree_of(node))

    def _current_places(self) -> NamespaceEntry:
        with self._lock:
            if self._clock() - self._loaded_at >= _RELOAD_SECONDS:
                self._places = self._load_places()
                self._loaded_at = self._clock()
            return self._places

    def _load_tree(self, identifier: ID) -> dict[bytes, Node]:
        with self._lock:
            nodes = self._trees.get(identifier)
            if nodes is not None:
                self._trees.move_to_end(identifier)
                return nodes
        nodes = {node.raw_name: node for node in load_possible(self._repository.load_tree, identifier)}
        with self._lock:
            if identifier not in self._trees:
                self._trees[identifier] = nodes
                self._node_count += len(nodes)
            while len(self._trees) > 1 and (len(self._trees) > _MAX_TREES or self._node_count > _MAX_NODES):
                _, dropped = self._trees.popitem(last=False)
                self._node_count -= len(dropped)
        return nodes


def _entry_of(place: NamespaceEntry) -> Entry:
    if place.snapshot is not None and not place.link:
        return Entry(snapshot=place.snapshot, tree=place.snapshot.snapshot.tree_id)
    return Entry(place=place)


def _tree_of(node: Node) -> ID | None:
    return parse_id(node.subtree) if node.type == DIRECTORY and node.subtree is not None else None
