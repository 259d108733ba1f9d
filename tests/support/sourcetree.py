"""A folder with everything that makes backups hard, and descriptions of folders to compare."""

import hashlib
import os
import random
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20
SECOND = 1_000_000_000

NAMES = (
    b"plain",
    b"two words",
    b" leading blank",
    b"trailing blank ",
    b"-leading-dash",
    b".hidden",
    b"line\nbreak",
    b"tab\there",
    b"carriage\rreturn",
    b"bell\x07 escape\x1b delete\x7f",
    b"\"double\" 'single' `back`",
    b"back\\slash\\",
    b"<angle> & ampersand",
    b"glob*?[abc]",
    b"$dollar {brace} %percent",
    b"a",
    b"a-b",
    b"a.b",
    b"a0",
    "ünïcödé".encode(),
    "combining e\u0301".encode(),
    "separator\u2028and\u2029".encode(),
    "zero\u200bwidth \u00a0 no-break \ufeff mark".encode(),
    "replacement\ufffd".encode(),
    "emoji \U0001f600 and \U000e0001".encode(),
    "漢字 العربية".encode(),
    b"invalid \xff\xfe utf-8 \xc3",
    b"truncated \xe2\x82",
    b"x" * 255,
)

TIMES_NS = {
    b"epoch": 0,
    b"before 1970": -14_182_940 * SECOND + 123_456_789,
    b"one ns before 1970": -1,
    b"1901": -2_147_483_649 * SECOND,
    b"after 2038": 2_200_000_000 * SECOND + 1,
    b"after 2200": 7_500_000_000 * SECOND + 999_999_999,
    b"trailing zeros": 1_700_000_000 * SECOND + 120_000_000,
    b"DST starts in Berlin": 1_711_846_800 * SECOND - 1,
    b"DST started in Berlin": 1_711_846_800 * SECOND,
    b"DST ends in Berlin": 1_729_990_800 * SECOND - 1,
    b"DST ended in Berlin": 1_729_990_800 * SECOND,
    b"half-hour zone": 1_600_000_000 * SECOND + 5,
}

LENGTHS = {
    b"empty": 0,
    b"one": 1,
    b"511 KiB": 511 * KIB,
    b"chunk minimum less 1": 512 * KIB - 1,
    b"chunk minimum": 512 * KIB,
    b"chunk minimum and 1": 512 * KIB + 1,
    b"some chunks": 5 * MIB + 17,
}


def make_source(folder: Path, *, large: bool = True) -> None:
    """Fill a folder with names, lengths, types, modes, owners, times and attributes of every awkward kind."""
    root = os.fsencode(folder)
    os.makedirs(root, exist_ok=True)
    _make_names(root)
    _make_contents(root, large=large)
    _make_types(root)
    _make_modes(root)
    _make_attributes(root)
    _make_times(root)


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _make_names(root: bytes) -> None:
    for number, kind in enumerate((b"names of files", b"names of folders")):
        os.mkdir(os.path.join(root, kind))
        for name in NAMES:
            path = os.path.join(root, kind, name)
            if number:
                os.mkdir(path)
                path = os.path.join(path, b"inside")
            _write(path, name)


def _make_contents(root: bytes, *, large: bool) -> None:
    folder = os.path.join(root, b"contents")
    os.mkdir(folder)
    source = random.Random(1)
    for name, length in LENGTHS.items():
        _write(os.path.join(folder, name), source.randbytes(length))
    _write(os.path.join(folder, b"text"), b"All work and no play makes Jack a dull boy.\n" * 30_000)
    _write(os.path.join(folder, b"same as empty"), b"")
    _write(os.path.join(folder, b"same as text"), b"All work and no play makes Jack a dull boy.\n" * 30_000)
    _write(os.path.join(folder, b"zeros"), bytes(3 * MIB + 5))
    if large:
        _write(os.path.join(folder, b"chunk maximum of zeros and 1"), bytes(8 * MIB) + b"1")
        _write(os.path.join(folder, b"several packs"), source.randbytes(20 * MIB))
    with open(os.path.join(folder, b"sparse"), "wb") as file:
        file.truncate(2 * MIB)
        file.seek(1 * MIB)
        file.write(b"in the middle")


def _make_types(root: bytes) -> None:
    folder = os.path.join(root, b"types")
    os.mkdir(folder)
    os.mkdir(os.path.join(folder, b"empty folder"))
    deep = os.path.join(folder, *[b"deep"] * 40)
    os.makedirs(deep)
    _write(os.path.join(deep, b"bottom"), b"far down")
    links = {
        b"relative": b"../contents/text",
        b"dangling": b"nowhere/to be found",
        b"to a folder": b"empty folder",
        b"to itself": b"to itself",
        b"invalid target": b"bad \xff\xfe \xe2\x80\xa8 <&>",
        b"control target": b"a\x01\x08\x0c\x1f\x7f\n\tb",
        b"long": b"y" * 4000,
    }
    for name, target in links.items():
        os.symlink(target, os.path.join(folder, b"link " + name))
    os.mkfifo(os.path.join(folder, b"pipe"))
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as sock:
        # The name of a socket has at most 108 bytes, with the way to it.
        os.chdir(folder)
        try:
            sock.bind(b"socket")
        finally:
            os.chdir(here)
    first = os.path.join(folder, b"hard link 1")
    _write(first, b"one content, three names")
    os.link(first, os.path.join(folder, b"hard link 2"))
    os.link(first, os.path.join(folder, b"empty folder", b"hard link 3"))
    if os.geteuid() == 0:
        for name, kind in ((b"null device", stat.S_IFCHR), (b"loop device", stat.S_IFBLK)):
            try:
                os.mknod(os.path.join(folder, name), kind | 0o640, os.makedev(7, 300))
            except PermissionError:
                pass  # in a container without the right to make devices


def _make_modes(root: bytes) -> None:
    folder = os.path.join(root, b"modes")
    os.mkdir(folder)
    modes = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o1777, 0o7777, 0o640]
    if os.geteuid() == 0:
        modes.append(0o000)
    for mode in modes:
        path = os.path.join(folder, b"%04o" % mode)
        _write(path, b"%o" % mode)
        if os.geteuid() == 0:
            os.chown(path, 1000 + mode % 7, 54_321)
        os.chmod(path, mode)
    sticky = os.path.join(folder, b"sticky folder")
    os.mkdir(sticky)
    os.chmod(sticky, 0o3775)


def _make_attributes(root: bytes) -> None:
    folder = os.path.join(root, b"attributes")
    os.mkdir(folder)
    path = os.path.join(folder, b"file")
    _write(path, b"has attributes")
    try:
        for target in (path, folder):
            os.setxattr(target, b"user.text", b"some text")
            os.setxattr(target, b"user.empty", b"")
            os.setxattr(target, b"user.binary", bytes(range(256)))
        # An access list: owner rw-, user 1000 rwx, group r--, mask rwx, others ---.
        entries = (
            (0x01, 6, 0xFFFFFFFF),
            (0x02, 7, 1000),
            (0x04, 4, 0xFFFFFFFF),
            (0x10, 7, 0xFFFFFFFF),
            (0x20, 0, 0xFFFFFFFF),
        )
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        os.setxattr(path, b"system.posix_acl_access", acl)
    except OSError:
        pass  # the file system has no attributes


def _make_times(root: bytes) -> None:
    folder = os.path.join(root, b"times")
    os.mkdir(folder)
    for name, ns in TIMES_NS.items():
        path = os.path.join(folder, name)
        _write(path, name)
        os.utime(path, ns=(ns, ns))
    link = os.path.join(folder, b"link")
    os.symlink(b"epoch", link)
    os.utime(link, ns=(5, 1_234_567_890_123_456_789), follow_symlinks=False)
    # Folders last: making entries changes them.
    os.utime(folder, ns=(1_500_000_000 * SECOND, 1_500_000_000 * SECOND + 42))


def describe(folder: Path | bytes) -> dict[bytes, dict[str, object]]:
    """Return all that a backup has to keep of everything below a folder, by relative path; sockets are left out."""
    root = os.fsencode(folder)
    links: dict[tuple[int, int], bytes] = {}
    found = {}
    for path in sorted(_walk(root)):
        status = os.lstat(path)
        if not stat.S_ISSOCK(status.st_mode):
            relative = os.path.relpath(path, root)
            found[relative] = _describe_one(path, relative, status, links)
    return found


def _walk(folder: bytes) -> Iterator[bytes]:
    for entry in os.scandir(folder):
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)


def _describe_one(
    path: bytes, relative: bytes, status: os.stat_result, links: dict[tuple[int, int], bytes]
) -> dict[str, object]:
    kind = stat.S_IFMT(status.st_mode)
    entry: dict[str, object] = {
        "mode": oct(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "mtime": status.st_mtime_ns,
        "attributes": _attributes(path),
    }
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            entry["content"] = hashlib.file_digest(file, "sha256").hexdigest()
        if status.st_nlink > 1:
            entry["same file as"] = links.setdefault((status.st_dev, status.st_ino), relative)
    elif kind == stat.S_IFLNK:
        entry["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry["device"] = status.st_rdev
    return entry


def _attributes(path: bytes) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError:
        return {}


def difference(expected: dict[bytes, dict[str, object]], actual: dict[bytes, dict[str, object]]) -> list[str]:
    """Return what differs between two descriptions, a readable line each."""
    lines = [f"missing: {path!r}" for path in sorted(expected.keys() - actual.keys())]
    lines += [f"unexpected: {path!r}" for path in sorted(actual.keys() - expected.keys())]
    for path in sorted(expected.keys() & actual.keys()):
        for key in sorted(expected[path].keys() | actual[path].keys()):
            one, other = expected[path].get(key), actual[path].get(key)
            if one != other:
                lines.append(f"{path!r}: {key} is {other!r} instead of {one!r}")
    return lines
