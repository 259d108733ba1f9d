"""A file, folder or link in a snapshot, described for programs."""

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias, cast

from pyrestic.format.node import DIRECTORY, FILE, Node

Location: TypeAlias = str | bytes | os.PathLike[str]
"""A path in a snapshot. What is not UTF-8 in it is written with surrogate escapes, as in Python's own paths."""

EntryType: TypeAlias = Literal["file", "dir", "symlink", "dev", "chardev", "fifo", "socket", "irregular", ""]
"""What something in a snapshot is; the last two are leftovers of damage that old versions of restic stored."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def split_location(location: Location) -> list[bytes]:
    """Return the names on the way to a location, none for the root; `.` and `..` are resolved."""
    raw = os.fspath(location)
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogateescape")
    return [part for part in posixpath.normpath(b"/" + raw).split(b"/") if part]


def join_location(parts: list[bytes]) -> bytes:
    """Return the location that these names lead to."""
    return b"/" + b"/".join(parts)


def to_datetime(ns: int) -> datetime:
    """Return a moment given in nanoseconds since 1970, UTC, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def to_ns(moment: datetime) -> int:
    """Return a moment in nanoseconds since 1970, UTC; one without a zone is in that of this machine."""
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a snapshot, with all that is stored about it; `path` begins with a slash. Times are in UTC."""

    path: str
    _node: Node = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in its folder, "" for the root."""
        return posixpath.basename(self.path)

    @property
    def type(self) -> EntryType:
        """What it is."""
        return cast(EntryType, self._node.type)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, which can be opened."""
        return self._node.type == FILE

    @property
    def is_folder(self) -> bool:
        """Whether it holds entries."""
        return self._node.type == DIRECTORY

    @property
    def size(self) -> int:
        """Length of a file in bytes, 0 for everything else."""
        return self._node.size

    @property
    def mode(self) -> int:
        """Type and permissions in the bits that os.stat gives."""
        return self._node.st_mode

    @property
    def mtime(self) -> datetime:
        """When it was last modified, cut to microseconds."""
        return to_datetime(self._node.mtime_ns)

    @property
    def mtime_ns(self) -> int:
        """When it was last modified, in nanoseconds since 1970."""
        return self._node.mtime_ns

    @property
    def atime(self) -> datetime:
        """When it was last read, as far as the backup noted that; otherwise `mtime`."""
        return to_datetime(self._node.atime_ns)

    @property
    def ctime(self) -> datetime:
        """When its status was last changed."""
        return to_datetime(self._node.ctime_ns)

    @property
    def uid(self) -> int:
        """The number of its owner."""
        return self._node.uid

    @property
    def gid(self) -> int:
        """The number of its group."""
        return self._node.gid

    @property
    def user(self) -> str:
        """The name of its owner, "" if that had none."""
        return self._node.user

    @property
    def group(self) -> str:
        """The name of its group, "" if that had none."""
        return self._node.group

    @property
    def inode(self) -> int:
        """Its inode number on the machine that it was saved on."""
        return self._node.inode

    @property
    def device_id(self) -> int:
        """The number of the file system that it was on."""
        return self._node.device_id

    @property
    def links(self) -> int:
        """How many hard links there were to it."""
        return self._node.links

    @property
    def device(self) -> int:
        """The number of the device that a device file stands for."""
        return self._node.device

    @property
    def link_target(self) -> str:
        """Where a symbolic link points, "" for everything else."""
        return self._node.raw_linktarget.decode("utf-8", "surrogateescape")

    @property
    def extended_attributes(self) -> Mapping[str, bytes]:
        """Its extended attributes, by their names."""
        return {one.name: one.value or b"" for one in self._node.extended_attributes or ()}

    @property
    def content(self) -> tuple[str, ...]:
        """The IDs of the blobs that a file consists of."""
        return tuple(self._node.content or ())

    @property
    def subtree(self) -> str:
        """The ID of a folder's tree, "" for everything else."""
        return self._node.subtree or ""
