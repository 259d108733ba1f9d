"""Nodes: the entry of a file, folder or other object in a tree (restic design document, "Trees and Data").

Fields have the order and the omission rules of restic's JSON, which determine the ID of a tree. Values are kept in
their JSON form: names Go-quoted, times as RFC 3339 text, IDs as hex; properties convert them to bytes and numbers. So
reading and writing a node needs no conversion and keeps its bytes.
"""

import stat
from functools import lru_cache
from typing import Annotated, TypeAlias

import msgspec

from pyrestic.errors import FormatError
from pyrestic.format import gojson

FILE, DIRECTORY, SYMLINK = "file", "dir", "symlink"
DEVICE, CHARACTER_DEVICE, FIFO, SOCKET = "dev", "chardev", "fifo", "socket"
IRREGULAR, INVALID = "irregular", ""

NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time."""

_Unsigned: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Unsigned32: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
_Length: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Hex: TypeAlias = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
"""A text of the length of an ID; the digits are checked for all of a tree at once."""

# Go's FileMode bits (package io/fs), by stat's bits.
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


@lru_cache(maxsize=1024)
def mode_to_go(st_mode: int) -> int:
    """Return Go's FileMode for a stat mode."""
    mode = st_mode & 0o777 | _GO_TYPES.get(stat.S_IFMT(st_mode), _GO_IRREGULAR)
    if st_mode & 0o7000:
        for flag, go in _GO_FLAGS:
            if st_mode & flag:
                mode |= go
    return mode


@lru_cache(maxsize=1024)
def mode_from_go(mode: int) -> int:
    """Return the stat mode for Go's FileMode; an unknown type gives no type bits."""
    st_mode = mode & 0o777 | _STAT_TYPES.get(mode & _GO_TYPE_MASK, 0)
    for flag, go in _GO_FLAGS:
        if mode & go:
            st_mode |= flag
    return st_mode


class ExtendedAttribute(msgspec.Struct, gc=False):
    """An extended attribute; its value is base64 in JSON."""

    name: str
    value: bytes | None = None


def _no_time() -> str:
    return NO_TIME


def _no_content() -> None:
    return None


class Node(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A file, folder or other object. `mode` has Go's bits, `size` counts bytes."""

    name: str
    type: str
    mode: _Unsigned32 = 0
    # Fields with a default factory are always written, as in Go.
    mtime: str = msgspec.field(default_factory=_no_time)
    atime: str = msgspec.field(default_factory=_no_time)
    ctime: str = msgspec.field(default_factory=_no_time)
    uid: _Unsigned32 = msgspec.field(default_factory=int)
    gid: _Unsigned32 = msgspec.field(default_factory=int)
    user: str = ""
    group: str = ""
    inode: _Unsigned = 0
    device_id: _Unsigned = 0
    size: _Length = 0
    links: _Unsigned = 0
    linktarget: str = ""
    linktarget_raw: bytes | None = None
    extended_attributes: list[ExtendedAttribute] | None = None
    generic_attributes: dict[str, msgspec.Raw] | None = None
    device: _Unsigned = 0
    content: list[Hex] | None = msgspec.field(default_factory=_no_content)
    subtree: Hex | None = None
    error: str = ""

    @property
    def raw_name(self) -> bytes:
        """The name's bytes; raises FormatError if it is not quoted correctly."""
        return gojson.unquote_name(self.name)

    @property
    def mtime_ns(self) -> int:
        """Modification time in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.mtime)

    @property
    def atime_ns(self) -> int:
        """Access time in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.atime)

    @property
    def ctime_ns(self) -> int:
        """Change time in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.ctime)

    @property
    def raw_linktarget(self) -> bytes:
        """The target of a symbolic link in bytes."""
        return self.linktarget.encode("utf-8") if self.linktarget_raw is None else self.linktarget_raw

    @property
    def st_mode(self) -> int:
        """Type and permissions in stat's bits."""
        return mode_from_go(self.mode)

    def same_as(self, other: "Node") -> bool:
        """Tell whether two nodes are equal, ignoring the zones of times and the order of attributes."""
        return self == other or _in_one_form(self) == _in_one_form(other)


def same_time(one: str, other: str) -> bool:
    """Tell whether two times are equal; an invalid time equals only itself."""
    return one == other or _moment(one) == _moment(other)


def _moment(time: str) -> int | str:
    try:
        return gojson.parse_time(time)
    except FormatError:
        return time


def _in_one_form(node: Node) -> tuple[list[int | str], list[ExtendedAttribute], Node]:
    """Return a comparison key: equal for nodes with the same meaning."""
    times = [_moment(time) for time in (node.mtime, node.atime, node.ctime)]
    attributes = sorted(node.extended_attributes or (), key=lambda attribute: attribute.name)
    return times, attributes, msgspec.structs.replace(node, mtime="", atime="", ctime="", extended_attributes=None)
