"""Stats: the total size of some snapshots, counted in one of four ways.

Every distinct tree is walked once. For the restore size, its totals are cached and added wherever it occurs again; only
hard links must be distinguished again in every snapshot.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pyrestic.errors import MissingBlobError, PyresticError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.report import NullReporter, Progress
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshot_walk import Event, EventKind, Forest
from pyrestic.repository.snapshots import StoredSnapshot

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.repository.index import Index

_DIGEST_BYTES: Final = 12


class Mode(Enum):
    """The counting mode."""

    RESTORE_SIZE = "restore-size"
    """All files as they would be restored, hard links once."""
    FILES_BY_CONTENTS = "files-by-contents"
    """Files of different content."""
    BLOBS_PER_FILE = "blobs-per-file"
    """The blobs of files of different content, counted again for each path."""
    RAW_DATA = "raw-data"
    """Blobs as they are stored."""


@dataclass(slots=True)
class Statistics:
    """The totals; compressed lengths cover only the compressed blobs."""

    snapshots: int = 0
    bytes: int = 0
    files: int = 0
    blobs: int = 0
    plain_bytes: int = 0
    """Size of the blobs without compression; for raw data with compression."""
    compressed_bytes: int = 0
    compressed_plain_bytes: int = 0

    @property
    def compression_ratio(self) -> float:
        """The compression ratio of the compressed blobs."""
        return self.compressed_plain_bytes / self.compressed_bytes if self.compressed_bytes else 0.0

    @property
    def compression_progress(self) -> float:
        """The percentage of all bytes that are compressed."""
        return self.compressed_plain_bytes / self.plain_bytes * 100 if self.plain_bytes else 0.0

    @property
    def compression_space_saving(self) -> float:
        """The percentage of all bytes that compression saves."""
        return (1 - self.bytes / self.plain_bytes) * 100 if self.plain_bytes else 0.0


@dataclass(slots=True)
class StatsProgress(Progress):
    """The entries seen in the current snapshot."""

    files: int = 0
    blobs: int = 0
    bytes: int = 0

    def begin_snapshot(self) -> None:
        """Reset for a new snapshot."""
        self.done += 1
        self.files = self.blobs = self.bytes = 0


def count(
    repository: Repository, snapshots: Sequence[StoredSnapshot], mode: Mode, progress: StatsProgress
) -> Statistics:
    """Return the totals of some snapshots; raise PyresticError if one of their trees cannot be read."""
    if mode is Mode.RAW_DATA:
        return _count_raw_data(repository, snapshots, progress)
    found = Statistics()
    counter: _Counter = _RestoreSize(found)
    if mode is not Mode.RESTORE_SIZE:
        roots = {stored.snapshot.tree for stored in snapshots}
        index = repository.index if mode is Mode.BLOBS_PER_FILE else None
        counter = _Contents(found, index, progress, one_snapshot=len(roots) == 1)
    walk = _Walk(repository, snapshots, counter, progress)
    for stored in snapshots:
        progress.begin_snapshot()
        found.snapshots += 1
        try:
            walk.visit(stored.snapshot.tree_id)
        except PyresticError as error:
            root = stored.snapshot.tree
            raise type(error)(f"error walking snapshot: walking tree {root}: {error}", hint=error.hint) from error
    return found


@dataclass(slots=True)
class _Totals:
    """The totals of a tree with everything below: `entries` nodes of `bytes`, and its parts with links elsewhere."""

    entries: int = 0
    bytes: int = 0
    linked_bytes: int = 0
    linked: "tuple[_Link | _Totals, ...]" = ()
    """In order of paths; folders are there if they have some."""
    found: "list[_Link | _Totals] | None" = None
    """The same during the walk of the folder; there are many folders, and few links."""

    def add(self, below: "_Totals") -> None:
        self.entries += below.entries
        self.bytes += below.bytes
        self.linked_bytes += below.linked_bytes
        if below.linked:
            self.add_link(below)

    def add_link(self, link: "_Link | _Totals") -> None:
        self.found = self.found or []
        self.found.append(link)

    def finish(self) -> None:
        self.linked, self.found = tuple(self.found or ()), None

    def links(self) -> "Iterator[_Link]":
        stack = [iter(self.linked)]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, _Link):
                yield entry
            else:
                stack.append(iter(entry.linked))


class _Link(NamedTuple):
    inode: int
    device: int
    size: int


class _Counter(Protocol):
    """Processes the nodes of new trees."""

    keeps_links: bool

    def node(self, event: Event, node: Node) -> None:
        """Count a node."""

    def snapshot(self, totals: _Totals) -> None:
        """Count a snapshot after its walk."""


class _Walk:
    """Walks snapshots, each distinct tree once, and adds up their content."""

    def __init__(
        self,
        repository: Repository,
        snapshots: Sequence[StoredSnapshot],
        counter: _Counter,
        progress: StatsProgress,
    ) -> None:
        self._known: dict[ID, _Totals] = {}
        self._counter = counter
        self._progress = progress
        roots = [stored.snapshot.tree_id for stored in snapshots]
        self._forest = Forest(repository, roots, lambda _, node: self._find(node) is None)

    def visit(self, root: ID) -> None:
        """Count a snapshot."""
        if root not in self._known:
            self._go_through(root)
        else:
            self._show(self._known[root])
        self._counter.snapshot(self._known[root])

    def _find(self, node: Node) -> _Totals | None:
        return None if node.subtree is None else self._known.get(parse_id(node.subtree))

    def _show(self, totals: _Totals) -> None:
        self._progress.files += totals.entries
        self._progress.bytes += totals.bytes

    def _go_through(self, root: ID) -> None:
        stack = [_Totals()]
        for event in self._forest.walk(root):
            if event.error is not None:
                raise event.error
            if event.kind is EventKind.LEFT:
                done = stack.pop()
                done.finish()
                self._known[event.tree] = done
                if stack:
                    stack[-1].add(done)
            elif event.node is not None:
                self._count(stack[-1], event, event.node)
                if event.entered:
                    stack.append(_Totals())

    def _count(self, totals: _Totals, event: Event, node: Node) -> None:
        totals.entries += 1
        totals.bytes += node.size
        self._progress.files += 1
        self._progress.bytes += node.size
        if self._counter.keeps_links and node.links != 1 and node.inode and node.type != DIRECTORY:
            totals.add_link(_Link(node.inode, node.device_id, node.size))
            totals.linked_bytes += node.size
        self._counter.node(event, node)
        known = self._find(node) if node.type == DIRECTORY and not event.entered else None
        if known is not None:
            totals.add(known)
            self._show(known)


class _RestoreSize:
    keeps_links = True

    def __init__(self, found: Statistics) -> None:
        self._found = found

    def node(self, event: Event, node: Node) -> None:
        """The snapshot's totals include it."""

    def snapshot(self, totals: _Totals) -> None:
        self._found.files += totals.entries
        self._found.bytes += totals.bytes - totals.linked_bytes
        first: dict[tuple[int, int], int] = {}
        for link in totals.links():
            first.setdefault((link.inode, link.device), link.size)
        self._found.bytes += sum(first.values())


class _Contents:
    """Counts nodes of different content, and with an index their blobs. A node without content counts as one."""

    keeps_links = False

    def __init__(
        self, found: Statistics, index: "Index | None", progress: StatsProgress, *, one_snapshot: bool
    ) -> None:
        self._found = found
        self._index = index
        self._progress = progress
        self._one_snapshot = one_snapshot
        self._contents: set[bytes] = set()
        self._uses: set[bytes] = set()

    def node(self, event: Event, node: Node) -> None:
        content = node.content or []
        key = bytes.fromhex(content[0]) if len(content) == 1 else _digest("".join(content).encode())
        if key in self._contents:
            return
        self._contents.add(key)
        if self._index is None:
            self._found.files += 1
            self._found.bytes += node.size
        elif content:
            self._progress.blobs += len(content)
            self._count_blobs(self._index, event, content)

    def _count_blobs(self, index: "Index", event: Event, content: list[str]) -> None:
        """Count each blob of a file once, and not again if the file's path has another content that uses it."""
        place = b"" if self._one_snapshot else _digest(event.location)
        if self._one_snapshot or place not in self._uses:
            self._uses.add(place)
            self._found.files += 1
        for text in dict.fromkeys(content):
            identifier = bytes.fromhex(text)
            use = place + identifier[:_DIGEST_BYTES]
            if not self._one_snapshot:
                if use in self._uses:
                    continue
                self._uses.add(use)
            length = index.plain_length(BlobHandle(BlobType.DATA, identifier))
            if length is None:
                raise MissingBlobError(f"blob {text} not found for tree {event.tree.hex()}")
            self._found.bytes += length
            self._found.blobs += 1

    def snapshot(self, totals: _Totals) -> None:
        """The nodes have been counted."""


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _count_raw_data(repository: Repository, snapshots: Sequence[StoredSnapshot], progress: StatsProgress) -> Statistics:
    import numpy as np

    from pyrestic.operations.used_blobs import find_used_blobs
    from pyrestic.repository.blob_table import BlobTable

    table = BlobTable(repository.index)
    roots = [stored.snapshot.tree_id for stored in snapshots]
    try:
        used, missing = find_used_blobs(repository, table, roots, NullReporter(), progress=progress)
    except PyresticError as error:
        raise type(error)(f"error walking snapshot: {error}", hint=error.hint) from error
    if missing:
        raise MissingBlobError(f"blob {min(missing)} not found")
    first = np.zeros(table.blob_count, np.int64)
    first[table.blob[::-1]] = np.arange(len(table.blob))[::-1]
    rows = first[used]
    lengths = table.length[rows]
    compressed = table.plain_length[rows] > 0
    plain = np.where(compressed, table.plain_length[rows].astype(np.int64) + OVERHEAD, lengths)
    found = Statistics(len(snapshots), int(lengths.sum()), blobs=len(rows))
    if repository.config.version >= 2:
        found.plain_bytes = int(plain.sum())
        found.compressed_bytes = int(lengths[compressed].sum())
        found.compressed_plain_bytes = int(plain[compressed].sum())
    progress.blobs, progress.bytes = found.blobs, found.bytes
    return found
