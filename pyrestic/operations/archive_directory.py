"""A folder while it is archived: what is known of its entries, and what is still on the way."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.format.node import Node
from pyrestic.operations.source_file import FileRead


class PendingFile(NamedTuple):
    """A file whose node is not complete yet, and its place among the folder's nodes."""

    place: int
    name: bytes
    old: Node | None
    read: "Future[FileRead | None]"
    started: float

    def done(self) -> bool:
        """Tell whether waiting for it is over."""
        if not self.read.done():
            return False
        result = None if self.read.cancelled() or self.read.exception() else self.read.result()
        return result is None or result.content.done()


@dataclass(slots=True, eq=False)
class Directory:
    """A folder being archived. `location` is its path in the snapshot."""

    location: bytes
    node: Node
    previous: Node | None
    old: dict[str, Node]
    """Nodes of the parent snapshot by name that were not met yet: of a folder with many files they take much memory."""
    old_is_known: bool = False
    """The repository has all blobs of the files among them."""
    children: "Iterator[Directory]" = field(default_factory=lambda: iter(()))
    nodes: list[Node | None] = field(default_factory=list)
    files: list[PendingFile] = field(default_factory=list)
    waiting: int = 0
    """How many small files are being read."""
    started: float = field(default_factory=time.monotonic)

    def is_complete(self) -> bool:
        """Tell whether nothing has to be waited for."""
        return not self.waiting and all(pending.done() for pending in self.files)

    def child_location(self, name: bytes) -> bytes:
        """Return the snapshot path of an entry."""
        return self.location.rstrip(b"/") + b"/" + name
