"""Existing entries of a restore's target, and whether to overwrite them."""

import os
import stat
from enum import Enum

from pyrestic.format.node import Node
from pyrestic.localfs.write import TargetWriter


class Overwrite(Enum):
    """The overwrite mode: compare all, those whose time or length differ, only older ones, none."""

    ALWAYS = "always"
    IF_CHANGED = "if-changed"
    IF_NEWER = "if-newer"
    NEVER = "never"


class Existing:
    """The existing entries; each folder is listed once, until it is forgotten."""

    def __init__(self, writer: TargetWriter, overwrite: Overwrite) -> None:
        self._writer = writer
        self._overwrite = overwrite
        self._names: dict[bytes, set[bytes]] = {}

    def has(self, location: bytes) -> bool:
        """Tell whether an entry exists."""
        folder, _, name = location.rpartition(b"/")
        if folder not in self._names:
            self._names[folder] = set(self._writer.names(folder or b"/"))
        return name in self._names[folder]

    def status(self, location: bytes) -> os.stat_result | None:
        """Return the stat of an entry, None if it is missing."""
        return self._writer.status(location) if self.has(location) else None

    def may_overwrite(self, location: bytes, node: Node) -> bool:
        """Tell whether an entry may be replaced, judging by its times and name."""
        if self._overwrite in (Overwrite.ALWAYS, Overwrite.IF_CHANGED) or not self.has(location):
            return True
        if self._overwrite is Overwrite.NEVER:
            return False
        status = self._writer.status(location)
        return status is None or node.mtime_ns > status.st_mtime_ns

    def looks_right(self, location: bytes, node: Node) -> bool:
        """Tell whether an entry has the length and modification time of a file's node."""
        status = self._writer.status(location)
        return status is not None and looks_the_same(status, node, node.size)

    def forget(self, folder: bytes) -> None:
        """Forget the names in a finished folder."""
        self._names.pop(folder, None)


def looks_the_same(status: os.stat_result, node: Node, length: int) -> bool:
    """Tell whether an entry is a file of this length in bytes with the node's modification time."""
    return stat.S_ISREG(status.st_mode) and status.st_size == length and status.st_mtime_ns == node.mtime_ns
