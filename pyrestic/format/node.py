"""Nodes: what a tree says of one file, folder or other thing (restic design document, "Trees and Data").

Fields stand in the order and with the omission rules of restic's JSON, which decide the ID of a tree. Values are kept
as the JSON has them: names Go-quoted, times as RFC 3339 text, IDs as hex; properties give them as bytes and numbers. So
a node that is read and written again costs no conversion and keeps its bytes.
"""

import stat

import msgspec

from pyrestic.format import gojson

FILE, DIRECTORY, SYMLINK = "file", "dir", "symlink"
DEVICE, CHARACTER_DEVICE, FIFO, SOCKET = "dev", "chardev", "fifo", "socket"
IRREGULAR, INVALID = "irregular", ""

NO_TIME = "0001-01-01T00:00:00Z"
"""What Go writes for a time that was never set."""

# Go's FileMode bits (package io/fs), by the bits that stat gives.
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFREG: 0,
}
_STAT_TYPES = {go: kind for kind, go in _GO_TYPES.items()}
_GO_TYPE_MASK = 1 << 31 | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
_GO_IRREGULAR = 1 << 19
_GO_FLAGS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def mode_to_go(st_mode: int) -> int:
    """Return Go's FileMode for the mode that stat gives."""
    mode = st_mode & 0o777 | _GO_TYPES.get(stat.S_IFMT(st_mode), _GO_IRREGULAR)
    if st_mode & 0o7000:
        for flag, go in _GO_FLAGS:
            if st_mode & flag:
                mode |= go
    return mode


def mode_from_go(mode: int) -> int:
    """Return the mode in stat's bits for Go's FileMode; an unknown type gives no type bits."""
    st_mode = mode & 0o777 | _STAT_TYPES.get(mode & _GO_TYPE_MASK, 0)
    for flag, go in _GO_FLAGS:
        if mode & go:
            st_mode |= flag
    return st_mode


class ExtendedAttribute(msgspec.Struct, gc=False):
    """An extended attribute; its value goes into JSON as base64."""

    name: str
    value: bytes | None


def _no_time() -> str:
    return NO_TIME


def _no_content() -> None:
    return None


class Node(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A file, folder or other thing. `mode` has Go's bits, `size` counts bytes."""

    name: str
    type: str
    mode: int = 0
    # Defaults made by a function are written even when nothing else was set, as Go does for these fields.
    mtime: str = msgspec.field(default_factory=_no_time)
    atime: str = msgspec.field(default_factory=_no_time)
    ctime: str = msgspec.field(default_factory=_no_time)
    uid: int = msgspec.field(default_factory=int)
    gid: int = msgspec.field(default_factory=int)
    user: str = ""
    group: str = ""
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    linktarget: str = ""
    linktarget_raw: bytes | None = None
    extended_attributes: list[ExtendedAttribute] | None = None
    generic_attributes: dict[str, msgspec.Raw] | None = None
    device: int = 0
    content: list[str] | None = msgspec.field(default_factory=_no_content)
    subtree: str | None = None
    error: str = ""

    @property
    def raw_name(self) -> bytes:
        """The name's bytes; raises FormatError if it is not a quoted name."""
        return gojson.unquote_name(self.name)

    @property
    def mtime_ns(self) -> int:
        """Time of modification in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.mtime)

    @property
    def atime_ns(self) -> int:
        """Time of access in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.atime)

    @property
    def ctime_ns(self) -> int:
        """Time of change of status in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.ctime)

    @property
    def raw_linktarget(self) -> bytes:
        """The bytes a symbolic link points to."""
        return self.linktarget.encode("utf-8") if self.linktarget_raw is None else self.linktarget_raw

    @property
    def st_mode(self) -> int:
        """Type and permissions in the bits that stat gives."""
        return mode_from_go(self.mode)

    def same_as(self, other: "Node") -> bool:
        """Tell whether nothing differs; times are compared as moments, whatever zone they are written in."""
        if self == other:
            return True
        if self.mtime_ns != other.mtime_ns or self.atime_ns != other.atime_ns or self.ctime_ns != other.ctime_ns:
            return False
        return self == msgspec.structs.replace(other, mtime=self.mtime, atime=self.atime, ctime=self.ctime)
