"""Folders of a backup's sources, opened by descriptors, so that an attacker cannot redirect the walk.

The folder that contains a source is opened by the user's path; links on that path are the user's choice. Every folder
below is opened from its parent, and never through a link. Few folders stay open. A closed folder is reopened step by
step, and each step must lead to the same inode as before.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pyrestic.localfs.descriptors import DescriptorCache, OpenDescriptor

PATH_MAX = 4096
"""Length of a path in bytes that the kernel rejects; restic rejects it, too."""

_KEPT = 12
_TOP_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_AGAIN_FLAGS = _TOP_FLAGS | os.O_NOFOLLOW
_LIST_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SourceFolder:
    """A folder that was opened once: its identity, and how to open it again."""

    __slots__ = ("_skipped", "above", "identity", "name", "top")

    def __init__(self, above: "SourceFolder | None", name: bytes, descriptor: int) -> None:
        """`name` is its name in the parent; for a folder without parent, it is the user's path."""
        self.above = above
        self.name = name
        self.identity = _identity(descriptor)
        self.top: SourceFolder = self if above is None else above.top
        self._skipped: int = len(os.path.join(name, b"")) if above is None else above.top._skipped

    def below_top(self, path: bytes) -> bytes:
        """Return the rest of a path in this folder: its path from the top folder."""
        return path[self._skipped :]


@contextmanager
def open_named(path: bytes) -> Iterator[int]:
    """Yield a descriptor of a folder above the sources, following links; raise OSError. It is not open for reading."""
    descriptor = os.open(path, _TOP_FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class SourcePath(NamedTuple):
    """An entry of a source folder: its name there, and its path for display and rules."""

    folder: SourceFolder
    name: bytes
    path: bytes


class SourceFolders:
    """Opens the folders of one backup, and keeps some of them open; thread-safe."""

    def __init__(self) -> None:
        self._cache: DescriptorCache[SourceFolder] = DescriptorCache(_KEPT)
        self._last_top: SourceFolder | None = None

    def locate(self, path: bytes) -> SourcePath:
        """Return a named path as an entry of its folder; raise OSError. For the walking thread."""
        folder, name = os.path.split(path)
        top = self._last_top
        if top is None or top.name != folder:
            descriptor = os.open(folder or b".", _TOP_FLAGS)
            top = self._last_top = SourceFolder(None, folder, descriptor)
            self.release(self._cache.add(top, OpenDescriptor(descriptor)))
        return SourcePath(top, name, path)

    def open_below(self, above: SourceFolder, descriptor: int, name: bytes) -> tuple[SourceFolder, OpenDescriptor]:
        """Open a folder for listing from its open parent; raise OSError. The caller releases it."""
        opened = os.open(name, _LIST_FLAGS, dir_fd=descriptor)
        folder = SourceFolder(above, name, opened)
        return folder, self._cache.add(folder, OpenDescriptor(opened))

    def acquire(self, folder: SourceFolder) -> OpenDescriptor:
        """Return a folder's descriptor, to be released; raise OSError if it was moved or replaced."""
        return self._cache.acquire(folder, self._open_again)

    def release(self, used: OpenDescriptor) -> None:
        """Release a descriptor from acquire or open_below."""
        self._cache.release(used)

    @contextmanager
    def opened(self, folder: SourceFolder) -> Iterator[int]:
        """Yield a folder's descriptor; raise OSError if it was moved or replaced."""
        used = self.acquire(folder)
        try:
            yield used.descriptor
        finally:
            self.release(used)

    def leave(self, folder: SourceFolder, descriptor: int) -> None:
        """Open the parent of the current folder: one step from here, however deep it is."""
        above = folder.above
        if above is None:
            return
        found = self._cache.find(above)
        if found is None:
            try:
                up = os.open(b"..", _AGAIN_FLAGS, dir_fd=descriptor)
            except OSError:
                return
            if _identity(up) != above.identity:
                # It was moved; the next caller searches for the parent from the top.
                os.close(up)
                return
            found = self._cache.add(above, OpenDescriptor(up))
        self.release(found)

    def close(self) -> None:
        """Close all that is unused, the rest when it is released."""
        self._cache.close()

    def _open_again(self, folder: SourceFolder) -> int:
        way = [folder]
        base = None
        while base is None and way[-1].above is not None:
            base = self._cache.find(way[-1].above)
            if base is None:
                way.append(way[-1].above)
        current = -1
        try:
            if base is None:
                current = os.open(folder.top.name or b".", _TOP_FLAGS)
                _check(current, way.pop())
            else:
                current = os.dup(base.descriptor)
            while way:
                step = way.pop()
                below = os.open(step.name, _AGAIN_FLAGS, dir_fd=current)
                os.close(current)
                current = below
                _check(current, step)
        except OSError:
            if current >= 0:
                os.close(current)
            raise
        finally:
            if base is not None:
                self.release(base)
        return current


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _check(descriptor: int, folder: SourceFolder) -> None:
    if _identity(descriptor) != folder.identity:
        raise OSError(errno.ESTALE, "a folder on the way was replaced during the backup")
