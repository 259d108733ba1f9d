"""A file, folder or link in a snapshot, described for programs."""

import os
import posixpath
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from pyrestic.format.node import DIRECTORY, FILE, Node

Location: TypeAlias = str | bytes | os.PathLike[str]
"""A path in a snapshot. What is not UTF-8 in it is written with surrogate escapes, as in Python's own paths."""

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
    """Something in a snapshot: `path` begins with a slash, `node` has all that is stored about it."""

    path: str
    node: Node = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in its folder, "" for the root."""
        return posixpath.basename(self.path)

    @property
    def type(self) -> str:
        """One of file, dir, symlink, dev, chardev, fifo, socket."""
        return self.node.type

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, which can be opened."""
        return self.node.type == FILE

    @property
    def is_folder(self) -> bool:
        """Whether it holds entries."""
        return self.node.type == DIRECTORY

    @property
    def size(self) -> int:
        """Length of a file in bytes, 0 for everything else."""
        return self.node.size

    @property
    def mode(self) -> int:
        """Type and permissions in the bits that os.stat gives."""
        return self.node.st_mode

    @property
    def mtime(self) -> datetime:
        """When it was last modified, in UTC."""
        return to_datetime(self.node.mtime_ns)

    @property
    def link_target(self) -> str:
        """Where a symbolic link points, "" for everything else."""
        return self.node.raw_linktarget.decode("utf-8", "surrogateescape")
