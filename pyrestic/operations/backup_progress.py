"""Progress and statistics of a backup."""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pyrestic.format.node import Node
from pyrestic.format.snapshot import Summary
from pyrestic.report import Progress

if TYPE_CHECKING:
    from pyrestic.repository.saver import SavedBlob


class ItemDone(NamedTuple):
    """A file or folder that was saved: action is new, modified or unchanged; lengths in bytes, duration in seconds."""

    action: str
    is_directory: bool
    location: bytes
    duration_seconds: float
    data_added: int
    data_added_packed: int
    tree_added: int
    tree_added_packed: int


@dataclass(slots=True)
class BackupProgress(Progress):
    """Counters while a backup runs: files and bytes, done and expected (once the scan knows), errors so far."""

    files_done: int = 0
    directories_done: int = 0
    total_files: int = 0
    total_bytes: int = 0
    scan_finished: bool = False
    error_count: int = 0
    current_files: dict[int, bytes] = field(default_factory=dict)
    """Path that each thread is reading."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_bytes(self, count: int) -> None:
        """Count bytes of files as processed; thread-safe."""
        with self._lock:
            self.done += count


@dataclass(slots=True)
class Tally:
    """Statistics of a finished backup; only the walking thread updates it."""

    files: dict[str, int] = field(default_factory=lambda: {"new": 0, "modified": 0, "unchanged": 0})
    directories: dict[str, int] = field(default_factory=lambda: {"new": 0, "modified": 0, "unchanged": 0})
    data_blobs: int = 0
    tree_blobs: int = 0
    data_added: int = 0
    data_added_packed: int = 0
    total_bytes: int = 0

    def add_blob(self, blob: "SavedBlob", plain_length: int, *, is_tree: bool) -> None:
        """Count a saved blob unless the repository had it already."""
        if blob.known:
            return
        if is_tree:
            self.tree_blobs += 1
        else:
            self.data_blobs += 1
        self.data_added += plain_length
        self.data_added_packed += blob.length

    def add_blobs(self, count: int, plain_length: int, length: int) -> None:
        """Count new data blobs, with their total plain and stored lengths."""
        self.data_blobs += count
        self.data_added += plain_length
        self.data_added_packed += length

    def summary(self, start: str, end: str) -> Summary:
        """Return the summary that a snapshot carries; start and end are RFC 3339 times."""
        return Summary(
            backup_start=start,
            backup_end=end,
            files_new=self.files["new"],
            files_changed=self.files["modified"],
            files_unmodified=self.files["unchanged"],
            dirs_new=self.directories["new"],
            dirs_changed=self.directories["modified"],
            dirs_unmodified=self.directories["unchanged"],
            data_blobs=self.data_blobs,
            tree_blobs=self.tree_blobs,
            data_added=self.data_added,
            data_added_packed=self.data_added_packed,
            total_files_processed=sum(self.files.values()),
            total_bytes_processed=self.total_bytes,
        )


def change(old: Node | None, node: Node) -> str:
    """Return new, unchanged or modified, by comparing the entire node with the parent snapshot's."""
    if old is None:
        return "new"
    return "unchanged" if old.same_as(node) else "modified"
