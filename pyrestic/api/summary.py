"""The statistics of a backup, for programs."""

from dataclasses import dataclass, fields
from datetime import datetime

from pyrestic.api.entry import to_datetime
from pyrestic.format import gojson
from pyrestic.format.snapshot import ZERO_TIME, Summary


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """The statistics of a backup; lengths are in bytes, times in UTC, None if they were never stored."""

    backup_start: datetime | None
    backup_end: datetime | None
    files_new: int
    files_changed: int
    files_unmodified: int
    dirs_new: int
    dirs_changed: int
    dirs_unmodified: int
    data_blobs: int
    """Number of new blobs of file content."""
    tree_blobs: int
    """Number of new trees."""
    data_added: int
    """Bytes of new blobs before compression."""
    data_added_packed: int
    """Their stored size in bytes."""
    total_files_processed: int
    total_bytes_processed: int


_COUNTS = tuple(field.name for field in fields(BackupSummary) if not field.name.startswith("backup_"))


def describe_summary(summary: Summary) -> BackupSummary:
    """Return stored statistics in the API's form."""
    counts = {name: getattr(summary, name) for name in _COUNTS}
    return BackupSummary(_moment(summary.backup_start), _moment(summary.backup_end), **counts)


def _moment(text: str) -> datetime | None:
    return None if text == ZERO_TIME else to_datetime(gojson.parse_time(text))
