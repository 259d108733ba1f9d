"""How much free space there is for the folders of a restore, which may lie on several file systems."""

import os
import stat
from dataclasses import dataclass

from pyrestic.errors import LocalFileError


@dataclass(slots=True)
class Space:
    """A file system that is written to, by a folder on it. Counts bytes; `free_bytes` is None if that is not known."""

    path: bytes
    free_bytes: int | None
    needed_bytes: int = 0

    @property
    def fits(self) -> bool:
        """What is needed is free, as far as one knows."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes

    def measure(self) -> None:
        """Ask the file system again."""
        path = _nearest(self.path)
        self.free_bytes = None if path is None else _free_bytes(path)


class Spaces:
    """The file systems of a target and of the folders below it that exist already.

    Raises LocalFileError if something else than a folder stands where the target should be.
    """

    def __init__(self, target: bytes) -> None:
        path = _nearest(target)
        self.target = Space(target, None if path is None else _free_bytes(path))
        self._by_device: dict[int, Space] = {}
        if path is not None:
            self._by_device[os.stat(path).st_dev] = self.target
        self._way: list[tuple[bytes, Space]] = [(b"", self.target)]

    def enter(self, location: bytes, path: bytes, status: os.stat_result | None) -> None:
        """Go into a folder, given what is there now: a folder on a file system of its own, or anything, or nothing."""
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
        """Return those that something is needed on, the target's own first in any case."""
        return [
            self.target,
            *(space for space in self._by_device.values() if space.needed_bytes and space is not self.target),
        ]


def _nearest(folder: bytes) -> bytes | None:
    """Return the nearest folder at or above a path that exists, None if that cannot be found out."""
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
    """Return how many bytes this user may still write there, None where the file system does not say."""
    try:
        room = os.statvfs(path)
    except (OSError, ValueError):
        return None
    # Some network file systems have no size at all.
    if room.f_blocks == 0:
        return None
    return room.f_frsize * (room.f_bfree if os.geteuid() == 0 else room.f_bavail)
