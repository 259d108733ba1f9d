"""The counters of a restore, and its messages about each item."""

import threading
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.report import Progress


class ItemRestored(NamedTuple):
    """A result: action is restored, updated, unchanged or deleted; size in bytes, None for non-files.

    `location` is the path in the snapshot; for deleted entries, the path in the target.
    """

    action: str
    location: bytes
    size: int | None


@dataclass(slots=True)
class RestoreProgress(Progress):
    """Counters of a restore; `done` and `total` are bytes, files include folders and links."""

    total_files: int = 0
    files_restored: int = 0
    files_skipped: int = 0
    files_left: int = 0
    """The skipped ones that must not be overwritten."""
    files_deleted: int = 0
    bytes_skipped: int = 0
    error_count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_bytes(self, count: int) -> None:
        """Count bytes as written; thread-safe."""
        with self._lock:
            self.done += count

    def add_restored(self, count: int = 1) -> None:
        """Count files or folders as done; thread-safe."""
        with self._lock:
            self.files_restored += count

    def add_error(self) -> None:
        """Count an error; thread-safe."""
        with self._lock:
            self.error_count += 1
