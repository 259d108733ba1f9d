"""A repository in memory whose snapshots are made up, one by one, out of dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from pyrestic.backend.mem import MemoryBackend
from pyrestic.format import snapshot as snapshots
from pyrestic.format.gojson import format_time, quote_name
from pyrestic.format.keyfile import ScryptParams
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID, hash_id
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import History, find_history

SECOND = 10**9
DAY = 86_400 * SECOND


@dataclass(frozen=True)
class File:
    """A file of the tests: what is in it, and when it was modified."""

    content: str
    mtime: int = 1


@dataclass(frozen=True)
class Link:
    """A symbolic link of the tests."""

    target: str
    mtime: int = 1


Thing = File | Link | ID | dict[str, Any]
"""An ID is that of a folder whose tree is there already."""


class Archive:
    """A repository in memory whose snapshots are stored one by one."""

    def __init__(self) -> None:
        self.backend = _CountingBackend()
        self.repository = Repository.create(
            self.backend, "p", hostname="h", username="u", created="2024-01-01T00:00:00Z", params=ScryptParams(2, 8, 1)
        )
        self._inodes = count(1)
        self._days = count(1)
        self.snapshots: list[StoredSnapshot] = []

    def add(self, root: dict[str, Any], *, host: str = "h", paths: Sequence[str] = ("/",)) -> StoredSnapshot:
        """Store a snapshot, a day later than the last. Inodes are new each time, so no such tree is stored twice."""
        time = format_time(next(self._days) * DAY, 0)
        snapshot = Snapshot(time=time, tree=self.tree(root).hex(), paths=list(paths), hostname=host, username="u")
        identifier = self.repository.save_unpacked(FileType.SNAPSHOT, snapshots.encode(snapshot))
        self.snapshots.append(StoredSnapshot(identifier, snapshot))
        return self.snapshots[-1]

    def tree(self, folder: dict[str, Any]) -> ID:
        """Store a folder and return the ID of its tree."""
        nodes = [self._node(name, thing) for name, thing in folder.items()]
        nodes.sort(key=lambda node: node.raw_name)
        return self.repository.saver.save(BlobType.TREE, encode_tree(nodes)).id

    def _node(self, name: str, thing: Thing) -> Node:
        node = Node(name=quote_name(name.encode()), type=DIRECTORY, inode=next(self._inodes), mtime=format_time(0, 0))
        if isinstance(thing, dict | bytes):
            node.subtree = (thing if isinstance(thing, bytes) else self.tree(thing)).hex()
            return node
        node.mtime = format_time(thing.mtime * SECOND, 0)
        if isinstance(thing, Link):
            node.type, node.linktarget = SYMLINK, thing.target
            return node
        node.type, node.size = FILE, len(thing.content)
        node.content = [hash_id(piece.encode()).hex() for piece in thing.content]
        return node

    def reopened(self) -> Repository:
        """Return the repository as another process finds it, with its index not read yet."""
        self.repository.flush()
        self.backend.loads = 0
        return Repository.open(self.backend, "p")

    def history(self, location: str, index: HistoryIndex | None = None, report: NullReporter | None = None) -> History:
        """Look up a history in all snapshots."""
        return find_history(self.reopened(), self.snapshots, location.encode(), index, report or NullReporter())


class _CountingBackend(MemoryBackend):
    """Counts requests for packs."""

    loads = 0

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return a range of a file."""
        self.loads += handle.type is FileType.PACK
        return super().load(handle, offset, length)
