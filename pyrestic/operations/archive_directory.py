"""A folder during archiving: its known nodes, and its entries still being saved."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import TreePart, encode_part
from pyrestic.localfs.scan import SourceTree
from pyrestic.operations.source_file import UnfinishedRead

STRETCH = 1024
"""Number of unchanged files that are encoded at a time."""
_WORTH_ENCODING = 64


class PendingFile(NamedTuple):
    """A file whose node is incomplete, and its position among the folder's nodes."""

    place: int
    name: bytes
    old: Node | None
    read: "Future[UnfinishedRead | None]"
    started: float

    def done(self) -> bool:
        """Tell whether it needs no more waiting."""
        if not self.read.done():
            return False
        result = None if self.read.cancelled() or self.read.exception() else self.read.result()
        return result is None or result.content.done()


class Directory(msgspec.Struct, eq=False):
    """A folder being archived. `location` is its path in the snapshot."""

    location: bytes
    node: Node
    previous: Node | None
    old: dict[str, Node]
    """Unvisited nodes of the parent snapshot by name: for a folder with many files they take much memory."""
    old_is_known: bool = False
    """Whether the repository has all blobs of the files among them."""
    older: dict[str, Node] = msgspec.field(default_factory=dict)
    """Those of the last complete snapshot that `old` has not, if the parent is partial."""
    children: "Iterator[Directory]" = msgspec.field(default_factory=lambda: iter(()))
    nodes: list[Node | TreePart | None] = msgspec.field(default_factory=list)
    """By position; a part is followed by None for each of its nodes but one."""
    files: deque[PendingFile] = msgspec.field(default_factory=deque)
    waiting: int = 0
    """Number of small files being read."""
    source: SourceTree | None = None
    """Where it belongs if it is above the sources: only some of its entries are archived."""
    in_checkpoint: bool = False
    """Whether a checkpoint has its finished entries; then each later one has."""
    started: float = msgspec.field(default_factory=time.monotonic)

    def is_complete(self) -> bool:
        """Tell whether nothing is pending."""
        return not self.waiting and all(pending.done() for pending in self.files)

    def encode_some(self, start: int, end: int) -> None:
        """Encode a run of complete nodes, if it is long enough."""
        first = start
        for place in range(start, end + 1):
            node = self.nodes[place] if place < end else None
            if isinstance(node, Node) and node.type != DIRECTORY:
                continue
            nodes = [node for node in self.nodes[first:place] if isinstance(node, Node)]
            if len(nodes) >= _WORTH_ENCODING:
                self.nodes[first:place] = [encode_part(nodes), *[None] * (len(nodes) - 1)]
            first = place + 1

    def child_location(self, name: bytes) -> bytes:
        """Return the snapshot path of an entry."""
        return self.location.rstrip(b"/") + b"/" + name
