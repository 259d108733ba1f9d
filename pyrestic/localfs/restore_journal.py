"""The journal of a running restore: its finished files, for the next run if this one is interrupted.

A file counts as finished only while its inode number and change time match the journal: the kernel updates the change
time with every change of content or metadata, and no program can set it. After a reboot the journal is ignored, because
a power failure may have lost recent writes. So the journal saves reads, and never vouches for a modified file.

The journal has a record of 32 bytes for each finished file; it is removed when a restore succeeds.
"""

import hashlib
import os
import struct
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyrestic.backend.private_folder import PrivateFolder, open_private
from pyrestic.errors import LocalFileError, UntrustedError
from pyrestic.localfs.identity import read_boot_id

if TYPE_CHECKING:
    import numpy as np

_RECORD = struct.Struct("<16sQq")
_FLUSH_SECONDS = 1.0
_MAX_NOTES = 50
_MAX_BYTES = 4 << 30


class RestoreNote:
    """The journal of one restore. `what` describes source and target; restores with equal descriptions share it."""

    def __init__(self, folder: str, what: tuple[str, ...]) -> None:
        self._folder = os.path.join(folder, "restores")
        # Without a boot ID, no journal of another process is found.
        words = [read_boot_id() or f"{os.getpid()} {time.time_ns()}", *what]
        name = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
        self._name = name
        self.path = os.path.join(self._folder, name)
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._last_flush = time.monotonic()
        self._descriptor = -1
        self._known = self._read()

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, location: bytes, status: os.stat_result) -> bool:
        """Tell whether an earlier run has finished this file, and it was not modified since."""
        if not len(self._known):
            return False
        import numpy as np

        wanted = np.frombuffer(_record(location, status.st_ino, status.st_ctime_ns), "S32")
        place = int(np.searchsorted(self._known, wanted[0]))
        return place < len(self._known) and bool(self._known[place] == wanted[0])

    def add(self, finished: Iterable[tuple[bytes, int, int]]) -> None:
        """Record finished files: their locations, inodes and change times in nanoseconds; thread-safe.

        Raises LocalFileError.
        """
        records = [_record(location, inode, ctime_ns) for location, inode, ctime_ns in finished]
        with self._lock:
            self._waiting += records
            now = time.monotonic()
            if now - self._last_flush >= _FLUSH_SECONDS:
                self._last_flush = now
                self._flush()

    def close(self, *, done: bool) -> None:
        """Close the journal: remove it after a success, otherwise keep it. Raises LocalFileError."""
        with self._lock:
            try:
                if not done:
                    self._flush()
            finally:
                if self._descriptor >= 0:
                    os.close(self._descriptor)
                    self._descriptor = -1
            if done:
                try:
                    with open_private(self._folder) as folder:
                        folder.remove(self._name)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    raise LocalFileError(f"{self.path}: {error.strerror}") from error

    def _read(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.bytes_]]":
        # Not at the top: it is imported while a lock waits.
        import numpy as np

        try:
            with open_private(self._folder) as folder:
                data = folder.read(self._name, _MAX_BYTES)
        except (OSError, UntrustedError):
            data = b""
        # A kill may have truncated the last record.
        count = len(data) // _RECORD.size
        return np.unique(np.frombuffer(data, "S32", count))

    def _flush(self) -> None:
        try:
            if self._descriptor < 0:
                with open_private(self._folder, create=True) as folder:
                    _forget_old(folder)
                    self._descriptor = folder.open_or_create_file(self._name, os.O_WRONLY | os.O_APPEND)
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size // _RECORD.size * _RECORD.size)
            data = memoryview(b"".join(self._waiting))
            self._waiting.clear()
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise LocalFileError(f"{self.path}: {error.strerror}") from error


def _forget_old(folder: PrivateFolder) -> None:
    """Keep only the newest journals: those of abandoned restores would stay forever."""
    with os.scandir(folder.descriptor) as entries:
        notes = sorted(entries, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime, reverse=True)
    for entry in notes[_MAX_NOTES:]:
        folder.remove(entry.name)


def _record(location: bytes, inode: int, ctime_ns: int) -> bytes:
    return _RECORD.pack(hashlib.sha256(location).digest()[:16], inode, ctime_ns)
