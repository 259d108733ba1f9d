"""The metadata of a local file as a node: exactly the content of restic's nodes on Linux."""

import errno
import grp
import os
import pwd
import stat
import time
from collections.abc import Callable
from functools import lru_cache

from pyrestic.errors import LocalFileError
from pyrestic.format import node as nodes
from pyrestic.format.gojson import format_time, quote_name
from pyrestic.format.node import ExtendedAttribute, Node, mode_to_go

Report = Callable[[bytes, LocalFileError], None]
"""Takes the path and the part that could not be read; the rest of the node is kept."""

_NODE_TYPES = {
    stat.S_IFREG: nodes.FILE,
    stat.S_IFDIR: nodes.DIRECTORY,
    stat.S_IFLNK: nodes.SYMLINK,
    stat.S_IFBLK: nodes.DEVICE,
    stat.S_IFCHR: nodes.CHARACTER_DEVICE,
    stat.S_IFIFO: nodes.FIFO,
    stat.S_IFSOCK: nodes.SOCKET,
}
_QUARTER = 900
_SECOND = 1_000_000_000
_WHOLE_LENGTH = len("2006-01-02T15:04:05")
_CYCLE = 146_097 * 86_400
"""Seconds of 400 years: after them, dates fall on the same days of the week, so zones have the same rules."""


@lru_cache(maxsize=65_536)
def _offset_of_quarter(quarter: int) -> int | None:
    """Return the zone offset for an entire quarter of an hour, None if it changes within it."""
    first, last = quarter * _QUARTER, (quarter + 1) * _QUARTER - 1
    offset = time.localtime(first).tm_gmtoff
    return offset if offset == time.localtime(last).tm_gmtoff else None


def local_offset_seconds(seconds: int) -> int:
    """Return the local zone's offset from UTC at a time, in seconds, for any year."""
    try:
        offset = _offset_of_quarter(seconds // _QUARTER)
        return time.localtime(seconds).tm_gmtoff if offset is None else offset
    except (OverflowError, ValueError, OSError):
        # The year does not fit into C's calendar.
        return time.localtime(seconds % _CYCLE + (_CYCLE if seconds > 0 else -100 * _CYCLE)).tm_gmtoff


@lru_cache(maxsize=8192)
def _second(second: int) -> tuple[str, str]:
    """Return the text before and after the fraction of a second."""
    whole = format_time(second * _SECOND, local_offset_seconds(second))
    return whole[:_WHOLE_LENGTH], whole[_WHOLE_LENGTH:]


def format_local_time(ns: int) -> str:
    """Return a time in nanoseconds since 1970 as RFC 3339 with the local zone's offset at that time."""
    return format_local_second(*divmod(ns, _SECOND))


def format_local_second(second: int, fraction: int) -> str:
    """Return the same for a time in seconds since 1970 and nanoseconds."""
    whole, zone = _second(second)
    return f"{whole}.{fraction:09}".rstrip("0") + zone if fraction else whole + zone


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """Return the name of a user, "" if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


@lru_cache(maxsize=1024)
def group_name(gid: int) -> str:
    """Return the name of a group, "" if there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""


def node_from_stat(
    path: bytes,
    name: bytes,
    status: os.stat_result,
    *,
    with_atime: bool = False,
    folder: int,
    entry: bytes | None = None,
    report: Report | None = None,
    ignore_denied_attributes: bool = False,
    descriptor: int | None = None,
) -> Node:
    """Return the node of a file, without content and subtree; raise OSError if a link cannot be read.

    `folder` is a descriptor of its folder, in which it is `entry`, by default `name`; `descriptor` is the file itself
    if it is open. Nothing is read through `path`.

    Extended attributes that cannot be read go to `report`; `ignore_denied_attributes` suppresses the error if they may
    not be listed (folders above the sources).
    """
    mode = status.st_mode
    kind = stat.S_IFMT(mode)
    mtime_ns, ctime_ns = status.st_mtime_ns, status.st_ctime_ns
    mtime = format_local_time(mtime_ns)
    uid, gid = status.st_uid, status.st_gid
    node = Node(
        name=quote_name(name),
        type=_NODE_TYPES.get(kind, nodes.IRREGULAR),
        mode=mode_to_go(mode),
        mtime=mtime,
        atime=format_local_time(status.st_atime_ns) if with_atime else mtime,
        ctime=mtime if ctime_ns == mtime_ns else format_local_time(ctime_ns),
        uid=uid,
        gid=gid,
        user=user_name(uid),
        group=group_name(gid),
        inode=status.st_ino,
        device_id=status.st_dev,
    )
    if kind == stat.S_IFREG:
        node.size = status.st_size
        node.links = status.st_nlink
        node.content = []
    elif kind == stat.S_IFLNK:
        node.links = status.st_nlink
        _set_target(node, os.readlink(entry or name, dir_fd=folder))
    elif kind in (stat.S_IFBLK, stat.S_IFCHR):
        node.links = status.st_nlink
        node.device = status.st_rdev
    if descriptor is not None:
        set_attributes(node, path, descriptor, report)
    elif _may_have_attributes(path):
        target = attribute_target(folder, entry or name)
        set_attributes(node, path, target, report, ignore_denied=ignore_denied_attributes)
    return node


def _may_have_attributes(path: bytes) -> bool:
    """Tell whether to read attributes from the open folder, which costs three times as much.

    An attacker who redirects the path meanwhile can only omit the attributes of his own file.
    """
    try:
        return bool(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        return not _without_attributes(error)


def attribute_target(folder: int, entry: bytes) -> bytes:
    """Return a path for set_attributes to an entry of an open folder, without opening it or following a link."""
    return b"/proc/self/fd/%d/%s" % (folder, entry)


def _set_target(node: Node, target: bytes) -> None:
    try:
        node.linktarget = target.decode("utf-8")
    except UnicodeDecodeError:
        node.linktarget = target.decode("utf-8", "replace")
        node.linktarget_raw = target


def set_attributes(
    node: Node,
    path: bytes,
    target: int | bytes,
    report: Report | None,
    *,
    ignore_denied: bool = False,
) -> None:
    """Add to a node the extended attributes of an open file or of an attribute_target."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if not (_without_attributes(error) or (ignore_denied and isinstance(error, PermissionError))):
            _tell(report, path, f"the extended attributes of {os.fsdecode(path)} cannot be listed", error)
        return
    if names:
        attributes = [_attribute(path, target, name, report, follow=follow) for name in names]
        node.extended_attributes = [attribute for attribute in attributes if attribute is not None] or None


def _attribute(
    path: bytes, target: int | bytes, name: str, report: Report | None, *, follow: bool
) -> ExtendedAttribute | None:
    """Read an attribute. Undecodable bytes in its name stay surrogate escapes, which encode_tree handles."""
    try:
        value: bytes | None = os.getxattr(target, name, follow_symlinks=follow)
    except OSError as error:
        if not _without_attributes(error):
            _tell(report, path, f"the extended attribute {name!r} of {os.fsdecode(path)} cannot be read", error)
            return None
        value = None
    return ExtendedAttribute(name, value)


def _without_attributes(error: OSError) -> bool:
    """Tell whether the file system has no attributes (SMB reports that with another number)."""
    return error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA)


def _tell(report: Report | None, path: bytes, message: str, error: OSError) -> None:
    if report is not None:
        report(path, LocalFileError(f"{message}: {(error.strerror or str(error)).lower()}"))
