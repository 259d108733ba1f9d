"""The versions of one path in an opened repository."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyrestic.api.content import Content, Covered
from pyrestic.api.entry import Entry, Location, join_location, split_location, to_datetime
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.errors import NotFoundError
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import Version, find_history
from pyrestic.vfs.stream import ContentStream


@dataclass(frozen=True, slots=True)
class PathVersion:
    """One content of a path, or, if `entry` is None, a period of absence.

    `first` and `last` are the oldest and the newest snapshot with this version, `count` is their number. `size` is in
    bytes, for a folder the total of all files below; `change` is its growth over the previous version, None if unknown.
    """

    path: str
    entry: Entry | None
    first: OpenSnapshot
    last: OpenSnapshot
    count: int
    size: int
    change: int | None
    mtime: datetime | None
    """Modification time in UTC; for a folder the newest time below it."""
    came_back: bool
    """The same content existed before, and was changed or absent in between."""

    def open(self) -> ContentStream:
        """Return its content, as OpenSnapshot.open does; raise NotFoundError for an absence."""
        if self.entry is None:
            raise NotFoundError(f"{self.path} did not exist in snapshot {self.last.short_id}")
        return self.last.open(self.path)


def find_versions(
    content: Content,
    covered: Covered,
    snapshots: Sequence[StoredSnapshot],
    location: Location,
    *,
    index_file: str,
    absences: bool,
) -> list[PathVersion]:
    """Return the versions of a location, newest first; `index_file` is the path of their index, "" for none.

    Unreadable snapshots are skipped, and go to the reporter's `error`. Raises BackendError.
    """
    raw = join_location(split_location(location))
    index = HistoryIndex(index_file) if index_file else None
    try:
        history = find_history(covered.repository, snapshots, raw, index, content.report)
    finally:
        if index is not None:
            index.close()
    path = raw.decode("utf-8", "surrogateescape")
    return [_describe(content, path, version) for version in (history.all if absences else history.versions)]


def _describe(content: Content, path: str, version: Version) -> PathVersion:
    there = version.node is not None
    return PathVersion(
        path,
        Entry(path, version.node) if version.node is not None else None,
        OpenSnapshot(content, version.first),
        OpenSnapshot(content, version.last),
        version.count,
        version.state.size,
        version.change,
        to_datetime(version.state.mtime_ns) if there else None,
        version.came_back,
    )
