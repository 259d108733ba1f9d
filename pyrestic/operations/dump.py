"""Dump: one file, or a folder as a tar or zip archive, as a stream."""

import io
import posixpath
import struct
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pyrestic.errors import FormatError, PyresticError, UsageError
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, ExtendedAttribute, Node
from pyrestic.ids import ID, parse_id
from pyrestic.operations.archive_names import safe_zip_name
from pyrestic.operations.content import ContentReader
from pyrestic.operations.retention import zone_offset
from pyrestic.repository.repository import Repository
from pyrestic.repository.trail import check_depth
from pyrestic.repository.tree_walk import load_possible, suggest_location, walk

_SECOND = 1_000_000_000
_TAR_BLOCK = 512
_ACLS = {"system.posix_acl_access": "SCHILY.acl.access", "system.posix_acl_default": "SCHILY.acl.default"}
_ACL_TAGS = {0x01: "user:", 0x02: "user:", 0x04: "group:", 0x08: "group:", 0x10: "mask:", 0x20: "other:"}
_ACL_WITH_ID = (0x02, 0x08)
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_ZIP_UTF8 = 0x800
_ZIP_NAME_BYTES = (1 << 16) - 1
_SHOWN_BYTES = 80


def find_node(repository: Repository, tree: ID, location: bytes) -> Node | None:
    """Return the node at a location below a tree, None for the tree itself; raise UsageError if there is none."""
    names = [name for name in posixpath.normpath(b"/" + location).split(b"/") if name]
    passed = b"/"
    node: Node | None = None
    for number, name in enumerate(names):
        passed = posixpath.join(passed, name)
        nodes = load_possible(repository.load_tree, tree)
        node = next((node for node in nodes if node.raw_name == name), None)
        shown = passed.decode("utf-8", "replace")
        if node is None:
            hint = suggest_location(names[:number], name, nodes)
            raise UsageError(f"path {shown!r} not found in snapshot", hint=hint)
        if number < len(names) - 1:
            if node.type != DIRECTORY or node.subtree is None:
                raise UsageError(f"{shown!r} should be a dir, but is a {node.type!r}")
            tree = parse_id(node.subtree)
    return node


def dump_file(repository: Repository, node: Node, output: BinaryIO) -> None:
    """Write a file's content; raise PyresticError."""
    with ContentReader(repository) as reader:
        output.writelines(reader.blobs(node))


def dump_folder(repository: Repository, tree: ID, root: bytes, output: BinaryIO, archive: str) -> None:
    """Write all below a tree as a "tar" or "zip" archive; root is put before the names. Raises PyresticError."""
    with ContentReader(repository) as reader:
        entries = _entries(repository, tree, root)
        if archive == "tar":
            _write_tar(entries, reader, output)
        elif archive == "zip":
            _write_zip(entries, reader, output)
        else:
            raise UsageError(f"unknown archive format {archive!r}")


def _entries(repository: Repository, tree: ID, root: bytes) -> Iterator[tuple[bytes, Node]]:
    for visit in walk(repository, tree, root=root):
        if visit.node.type in (FILE, DIRECTORY, SYMLINK):
            yield visit.location.lstrip(b"/"), visit.node


# tar


def _write_tar(entries: Iterator[tuple[bytes, Node]], reader: ContentReader, output: BinaryIO) -> None:
    length = 0
    for name, node in entries:
        header = _tar_header(name, node).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        output.write(header)
        length += len(header)
        if node.type == FILE:
            length += _write_padded(node, reader, output)
    end = bytes(2 * _TAR_BLOCK)
    output.write(end)
    output.write(bytes(-(length + len(end)) % tarfile.RECORDSIZE))


def _write_padded(node: Node, reader: ContentReader, output: BinaryIO) -> int:
    length = 0
    for blob in reader.blobs(node):
        output.write(blob)
        length += len(blob)
    if length != node.size:
        raise PyresticError(f"the file {node.name!r} has {length} bytes, its entry says {node.size}")
    padding = -length % _TAR_BLOCK
    output.write(bytes(padding))
    return length + padding


def _tar_header(name: bytes, node: Node) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.mode = node.st_mode & 0o7777
    info.uid, info.gid = node.uid, node.gid
    info.uname, info.gname = node.user, node.group
    info.mtime = (node.mtime_ns + _SECOND // 2) // _SECOND
    info.pax_headers = _attribute_records(node.extended_attributes or [])
    if node.type == DIRECTORY:
        info.type = tarfile.DIRTYPE
        info.name += "/"
    elif node.type == SYMLINK:
        info.type = tarfile.SYMTYPE
        info.linkname = node.raw_linktarget.decode("utf-8", "surrogateescape")
    else:
        info.size = node.size
    return info


def _attribute_records(attributes: list[ExtendedAttribute]) -> dict[str, str]:
    """Return the PAX records of extended attributes; access control lists become text as in star."""
    records = {}
    for attribute in attributes:
        value = attribute.value or b""
        if attribute.name in _ACLS:
            text = format_acl(value)
            if text is not None:
                records[_ACLS[attribute.name]] = text
        else:
            records[f"SCHILY.xattr.{attribute.name}"] = value.decode("utf-8", "surrogateescape")
    return records


def format_acl(value: bytes) -> str | None:
    """Return a POSIX access control list as text, None if it is invalid (layout: linux/posix_acl_xattr.h)."""
    if len(value) < 4 or (len(value) - 4) % 8 or struct.unpack_from("<I", value)[0] != 2:
        return None
    lines = []
    for tag, permissions, identifier in struct.iter_unpack("<HHI", value[4:]):
        if tag not in _ACL_TAGS:
            return None
        who = f"{identifier}:" if tag in _ACL_WITH_ID else ":"
        rights = "".join(letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        lines.append(f"{_ACL_TAGS[tag]}{who}{rights}\n")
    return "".join(lines)


# zip


def _write_zip(entries: Iterator[tuple[bytes, Node]], reader: ContentReader, output: BinaryIO) -> None:
    stream = _Unseekable(output)
    with zipfile.ZipFile(stream, "w", allowZip64=True) as archive, stream.ended_by_errors():
        for name, node in entries:
            if node.type == DIRECTORY:
                # The end of an archive lists all names, so all of them are kept.
                check_depth(b"/" + name, "written to a zip archive")
            info = _zip_header(name, node)
            if node.type == FILE:
                with archive.open(info, "w", force_zip64=node.size >= zipfile.ZIP64_LIMIT) as member:
                    for blob in reader.blobs(node):
                        member.write(blob)
            else:
                archive.writestr(info, node.raw_linktarget if node.type == SYMLINK else b"")


def _zip_header(name: bytes, node: Node) -> zipfile.ZipInfo:
    seconds = node.mtime_ns // _SECOND
    try:
        # Archives have no zone: as in restic, this is the wall-clock time on the machine of the backup.
        date = max(_ZIP_EPOCH, time.gmtime(seconds + zone_offset(node.mtime))[:6])
    except (OverflowError, ValueError, OSError):
        date = _ZIP_EPOCH
    if date[0] > 2107:
        date = (2107, 12, 31, 23, 59, 58)
    safe = safe_zip_name(name) + (b"/" if node.type == DIRECTORY else b"")
    if len(safe) > _ZIP_NAME_BYTES:
        shown = safe[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise FormatError(f"a path of {len(safe)} bytes is too long for a zip archive: {shown}...")
    info = _ZipEntry(safe, date)
    info.create_system = 3
    info.external_attr = node.st_mode << 16 | (0x10 if node.type == DIRECTORY else 0)
    info.compress_type = zipfile.ZIP_DEFLATED if node.type == FILE else zipfile.ZIP_STORED
    if -(1 << 31) <= seconds < 1 << 31:
        info.extra = struct.pack("<HHBi", 0x5455, 5, 1, seconds)
    return info


class _ZipEntry(zipfile.ZipInfo):
    """An entry whose name may not be UTF-8, and is marked as UTF-8 only if it is and that matters."""

    def __init__(self, name: bytes, date: tuple[int, int, int, int, int, int]) -> None:
        super().__init__(name.decode("utf-8", "surrogateescape"), date)

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's name
        """Return the name as it is stored, and the flags."""
        letters = set(self.filename)
        is_utf8 = not any("\udc80" <= letter <= "\udcff" for letter in letters)
        # The older code page assigns other letters to these, and to a backslash.
        differs = any(not " " <= letter <= "}" or letter == "\\" for letter in letters)
        flags = self.flag_bits | (_ZIP_UTF8 if is_utf8 and differs else 0)
        return self.filename.encode("utf-8", "surrogateescape"), flags


class _Unseekable(io.RawIOBase):
    """A stream that zipfile writes front to back, with lengths after the content."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._ended = False

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """Write nothing after an error: zipfile always closes an archive, and then half of it looks complete."""
        try:
            yield
        except BaseException:
            self._ended = True
            raise

    def writable(self) -> bool:
        """Whether it is writable: yes."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write all of data."""
        if not self._ended:
            self._output.write(data)
        return len(data)

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._output.flush()
