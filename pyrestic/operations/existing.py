"""What a restore finds in its target, and what it may do with it."""

import os
import stat
from enum import Enum

from pyrestic.format.node import Node
from pyrestic.localfs.write import TargetWriter


class Overwrite(Enum):
    """What to do with files that exist: compare all, those whose time or length differ, only older ones, none."""

    ALWAYS = "always"
    IF_CHANGED = "if-changed"
    IF_NEWER = "if-newer"
    NEVER = "never"


class Existing:
    """What is there; each folder is listed once, until it is forgotten."""

    def __init__(self, writer: TargetWriter, overwrite: Overwrite) -> None:
        self._writer = writer
        self._overwrite = overwrite
        self._names: dict[bytes, set[bytes]] = {}

    def has(self, location: bytes) -> bool:
        """Tell whether anything is there."""
        folder, _, name = location.rpartition(b"/")
        if folder not in self._names:
            self._names[folder] = set(self._writer.names(folder or b"/"))
        return name in self._names[folder]

    def status(self, location: bytes) -> os.stat_result | None:
        """Return the stat of what is there, None if there is nothing."""
        return self._writer.status(location) if self.has(location) else None

    def may_overwrite(self, location: bytes, node: Node) -> bool:
        """Tell whether what is there may be replaced, as far as times and names decide that."""
        if self._overwrite in (Overwrite.ALWAYS, Overwrite.IF_CHANGED) or not self.has(location):
            return True
        if self._overwrite is Overwrite.NEVER:
            return False
        status = self._writer.status(location)
        return status is None or node.mtime_ns > status.st_mtime_ns

    def looks_right(self, location: bytes, node: Node) -> bool:
        """Tell whether what is there has length and time of a file's node."""
        status = self._writer.status(location)
        return status is not None and looks_the_same(status, node, node.size)

    def forget(self, folder: bytes) -> None:
        """Forget the names in a folder that is done."""
        self._names.pop(folder, None)


def looks_the_same(status: os.stat_result, node: Node, length: int) -> bool:
    """Tell whether what is there is a file of this length in bytes and of the node's time of modification."""
    return stat.S_ISREG(status.st_mode) and status.st_size == length and status.st_mtime_ns == node.mtime_ns
