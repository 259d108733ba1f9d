"""A file, folder or link in a snapshot, as a Python object."""

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias, cast

from pyrestic.format.node import DIRECTORY, FILE, Node

Location: TypeAlias = str | bytes | os.PathLike[str]
"""A path in a snapshot. Bytes that are not UTF-8 are surrogate escapes, as in Python's own paths."""

EntryType: TypeAlias = Literal["file", "dir", "symlink", "dev", "chardev", "fifo", "socket", "irregular", ""]
"""The type of an entry; the last two are results of damage that old versions of restic stored."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def split_location(location: Location) -> list[bytes]:
    """Return the names on the path to a location, none for the root; `.` and `..` are resolved."""
    raw = os.fspath(location)
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogateescape")
    return [part for part in posixpath.normpath(b"/" + raw).split(b"/") if part]


def join_location(parts: list[bytes]) -> bytes:
    """Return the location that these names lead to."""
    return b"/" + b"/".join(parts)


def to_datetime(ns: int) -> datetime:
    """Return the time in nanoseconds since 1970, UTC, truncated to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def to_ns(moment: datetime) -> int:
    """Return a time in nanoseconds since 1970, UTC; one without a zone is in the local time zone."""
    try:
        moment = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        # datetime.min and datetime.max mean no limit, so the zone does not matter.
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a snapshot with all its stored metadata; `path` begins with a slash. Times are in UTC."""

    path: str
    _node: Node = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in its folder, "" for the root."""
        return posixpath.basename(self.path)

    @property
    def type(self) -> EntryType:
        """Its type."""
        return cast(EntryType, self._node.type)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, which can be opened."""
        return self._node.type == FILE

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self._node.type == DIRECTORY

    @property
    def size(self) -> int:
        """Length of a file in bytes, 0 for everything else."""
        return self._node.size

    @property
    def mode(self) -> int:
        """Type and permissions in os.stat's bits."""
        return self._node.st_mode

    @property
    def mtime(self) -> datetime:
        """Modification time, truncated to microseconds."""
        return to_datetime(self._node.mtime_ns)

    @property
    def mtime_ns(self) -> int:
        """Modification time in nanoseconds since 1970."""
        return self._node.mtime_ns

    @property
    def atime(self) -> datetime:
        """Access time, if the backup stored it; otherwise `mtime`."""
        return to_datetime(self._node.atime_ns)

    @property
    def ctime(self) -> datetime:
        """Change time."""
        return to_datetime(self._node.ctime_ns)

    @property
    def uid(self) -> int:
        """User ID of its owner."""
        return self._node.uid

    @property
    def gid(self) -> int:
        """Group ID."""
        return self._node.gid

    @property
    def user(self) -> str:
        """User name of its owner, "" if there was none."""
        return self._node.user

    @property
    def group(self) -> str:
        """Group name, "" if there was none."""
        return self._node.group

    @property
    def inode(self) -> int:
        """Its inode number on the original machine."""
        return self._node.inode

    @property
    def device_id(self) -> int:
        """Device number of its file system."""
        return self._node.device_id

    @property
    def links(self) -> int:
        """Number of its hard links."""
        return self._node.links

    @property
    def device(self) -> int:
        """Device number of a device file."""
        return self._node.device

    @property
    def link_target(self) -> str:
        """Target of a symbolic link, "" for everything else."""
        return self._node.raw_linktarget.decode("utf-8", "surrogateescape")

    @property
    def extended_attributes(self) -> Mapping[str, bytes]:
        """Its extended attributes by name."""
        return {one.name: one.value or b"" for one in self._node.extended_attributes or ()}

    @property
    def content(self) -> tuple[str, ...]:
        """The IDs of a file's blobs."""
        return tuple(self._node.content or ())

    @property
    def subtree(self) -> str:
        """The ID of a folder's tree, "" for everything else."""
        return self._node.subtree or ""
