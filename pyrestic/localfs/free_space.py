"""The free space for the folders of a restore, which may be on several file systems."""

import os
import stat
from dataclasses import dataclass

from pyrestic.errors import LocalFileError


@dataclass(slots=True)
class Space:
    """A file system that is written to, by a folder on it. Counts bytes; `free_bytes` is None if unknown."""

    path: bytes
    free_bytes: int | None
    needed_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether there is enough free space, as far as known."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes

    def measure(self) -> None:
        """Query the file system again."""
        path = _nearest(self.path)
        self.free_bytes = None if path is None else _free_bytes(path)


class Spaces:
    """The file systems of a target and of its existing folders.

    Raises LocalFileError if the target exists and is not a folder.
    """

    def __init__(self, target: bytes) -> None:
        path = _nearest(target)
        self.target = Space(target, None if path is None else _free_bytes(path))
        self._by_device: dict[int, Space] = {}
        if path is not None:
            self._by_device[os.stat(path).st_dev] = self.target
        self._way: list[tuple[bytes, Space]] = [(b"", self.target)]

    def enter(self, location: bytes, path: bytes, status: os.stat_result | None) -> None:
        """Enter a folder, given its current state: a folder on its own file system, anything else, or nothing."""
        space = self._way[-1][1]
        if status is not None and stat.S_ISDIR(status.st_mode):
            found = self._by_device.get(status.st_dev)
            space = found or self._by_device.setdefault(status.st_dev, Space(path, _free_bytes(path)))
        self._way.append((location, space))

    def leave(self, location: bytes) -> None:
        """Leave a folder, if it was entered."""
        if self._way[-1][0] == location:
            self._way.pop()

    @property
    def here(self) -> Space:
        """The file system of the folder entered last."""
        return self._way[-1][1]

    def used(self) -> list[Space]:
        """Return the file systems that need space, always including the target's, which comes first."""
        return [
            self.target,
            *(space for space in self._by_device.values() if space.needed_bytes and space is not self.target),
        ]


def _nearest(folder: bytes) -> bytes | None:
    """Return the nearest existing folder at or above a path, None if unknown."""
    path = os.path.abspath(folder)
    while True:
        try:
            kind = os.stat(path).st_mode
            break
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)
        except (OSError, ValueError):
            return None
    if not stat.S_ISDIR(kind):
        raise LocalFileError(f"{os.fsdecode(folder)} could not be made or opened: {os.fsdecode(path)} is no folder")
    return path


def _free_bytes(path: bytes) -> int | None:
    """Return how many bytes this user may still write there, None if the file system does not report it."""
    try:
        room = os.statvfs(path)
    except (OSError, ValueError):
        return None
    # Some network file systems report no size.
    if room.f_blocks == 0:
        return None
    return room.f_frsize * (room.f_bfree if os.geteuid() == 0 else room.f_bavail)
