"""Files and other objects below an open folder: opened in place, resized, written, created."""

import errno
import os
import stat
from contextlib import suppress

from pyrestic.engines import WRITE_FLAGS
from pyrestic.format import node as nodes
from pyrestic.format.node import Node

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_BLOCK = 4096
_NO_BLOCK = bytes(_BLOCK)


def take_over(folder: int, name: bytes) -> int | None:
    """Open an existing file for writing; None if it must be replaced: other type, several links, running program."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return None
    try:
        descriptor = os.open(name, WRITE_FLAGS, dir_fd=folder)
    except PermissionError:
        _allow_writing(folder, name)
        descriptor = os.open(name, WRITE_FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ETXTBSY, errno.ELOOP):
            raise
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    return None


def _allow_writing(folder: int, name: bytes) -> None:
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(b"/proc/self/fd/%d" % descriptor, PRIVATE_FILE)
    finally:
        os.close(descriptor)


def set_length(descriptor: int, length: int, *, is_new: bool, sparse: bool) -> None:
    """Set the length of a file in bytes; a sparse one loses its content."""
    if sparse:
        if not is_new:
            os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, length)
    elif not is_new and os.fstat(descriptor).st_size > length:
        os.ftruncate(descriptor, length)


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of data at an offset, in as many calls as necessary."""
    written = os.pwrite(descriptor, data, offset)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            offset += written
            written = os.pwrite(descriptor, rest, offset)
            rest = rest[written:]


def write_sparse(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write only the blocks, aligned to the file, that are not all zeros."""
    start = position = 0
    while position < len(data):
        end = min(len(data), position + _BLOCK - (offset + position) % _BLOCK)
        if data[position:end] == _NO_BLOCK[: end - position]:
            if start < position:
                write_all(descriptor, data[start:position], offset + start)
            start = end
        position = end
    if start < len(data):
        write_all(descriptor, data[start:], offset + start)


def make_node(folder: int, name: bytes, node: Node) -> None:
    """Create a symbolic link, pipe or device, private until its metadata is restored; raise OSError."""
    if node.type == nodes.SYMLINK:
        os.symlink(node.raw_linktarget, name, dir_fd=folder)
    elif node.type == nodes.FIFO:
        os.mkfifo(name, PRIVATE_FILE, dir_fd=folder)
    elif node.type in (nodes.DEVICE, nodes.CHARACTER_DEVICE):
        kind = stat.S_IFBLK if node.type == nodes.DEVICE else stat.S_IFCHR
        try:
            os.mknod(name, kind | PRIVATE_FILE, node.device, dir_fd=folder)
        except OverflowError:
            raise OSError(errno.EINVAL, f"no device has the number {node.device}") from None
    else:
        raise OSError(errno.EINVAL, f"a file of type {node.type!r} cannot be restored")


def make_private_folders(path: bytes) -> None:
    """Make a folder and those above it where they are missing, none of them open to others; links are followed.

    Raises OSError; for a path that is too long nothing is made.
    """
    missing = []
    while not _leads_somewhere(path):
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(path, PRIVATE_FOLDER)


def _leads_somewhere(path: bytes) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
