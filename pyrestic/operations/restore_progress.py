"""The counters of a restore, and its messages about each item."""

from dataclasses import dataclass
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
