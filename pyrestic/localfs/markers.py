"""Files that exclude their folder from backups, such as CACHEDIR.TAG (https://bford.info/cachedir/)."""

import os
import stat
from collections.abc import Callable

_KEPT_FOLDERS = 16_384
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class MarkerRule:
    """Rejects everything in a folder that contains a file with this name and header, except for the file itself."""

    def __init__(self, name: bytes, header: bytes, warn: Callable[[str], None]) -> None:
        self._name = name
        self._header = header
        self._warn = warn
        self._marked: dict[bytes, bool] = {}

    def __call__(self, path: bytes, _status: os.stat_result) -> bool:
        """Tell whether to exclude the file at an absolute path."""
        folder, _, name = path.rpartition(b"/")
        if name == self._name:
            return False
        marked = self._marked.get(folder)
        if marked is None:
            if len(self._marked) >= _KEPT_FOLDERS:
                self._marked.clear()
            marked = self._marked[folder] = self._is_marked(folder + b"/" + self._name)
        return marked

    def _is_marked(self, path: bytes) -> bool:
        try:
            os.lstat(path)
            if not self._header:
                return True
            found = _read(path, len(self._header))
        except (FileNotFoundError, ValueError):
            return False
        except OSError as error:
            self._warn(f"the exclusion marker {os.fsdecode(path)} cannot be read: {error.strerror}")
            return False
        if found != self._header:
            self._warn(f"the exclusion marker {os.fsdecode(path)} does not begin as it should, its folder is kept")
        return found == self._header


def _read(path: bytes, length: int) -> bytes:
    """Read the header of a file, following links; skip other types, because opening a device may have side effects."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            return b""
        descriptor = os.open(b"/proc/self/fd/%d" % found, _OPEN_FLAGS)
        try:
            return os.read(descriptor, length)
        finally:
            os.close(descriptor)
    finally:
        os.close(found)
