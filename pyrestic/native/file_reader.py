"""Reads many small files in one call that releases the GIL (see sources.file_reader).

Each file is opened, examined, checked for extended attributes, read and closed, as Python code would do it. openat2
(Linux 5.6) opens it, starting at an open folder and following no link on the path. Unusual files are not handled here:
the caller reads them again individually, which reports their errors.
"""

import ctypes
import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrestic.engine_types import FileRecords
from pyrestic.engines import READ_FLAGS
from pyrestic.native.machinecode import function_at, map_code

_FUNCTIONS = ("syscall", "statx", "flistxattr", "read", "close", "__errno_location")
_STATUS_BYTES = 264
"""Length of struct statx and of the zeros after it."""
_OPENAT2 = 437
_NO_MAGIC_LINKS, _NO_LINKS = 2, 4
_PARAMETERS = 7


_SIGNED = [number for number, name in enumerate(FileRecords._fields) if name not in ("inodes", "devices")]
_COLUMNS = 16


class ManyReader:
    """Reads up to `count` files of up to `limit` bytes at a time into one buffer; not thread-safe."""

    def __init__(self, read: Callable[..., int], table: NDArray[np.int64], count: int, limit: int, room: int) -> None:
        self.buffer = memoryview(bytearray(room))
        self._read = read
        self._table = table.copy()
        ways = [(flags, 0, _NO_MAGIC_LINKS | _NO_LINKS) for flags in (READ_FLAGS | os.O_NOATIME, READ_FLAGS)]
        self._scratch = np.concatenate((np.zeros(_STATUS_BYTES // 8, np.uint64), np.array(ways, np.uint64).ravel()))
        self._table[-1] = self._scratch.ctypes.data
        self._records = np.zeros((count, _COLUMNS), np.uint64)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer.obj))
        self._limit = limit

    def read(self, folders: Sequence[int], paths: Sequence[bytes]) -> FileRecords:
        """Read files into the buffer, from its start on; a file that does not fit gets the length -1.

        Each path is relative to the open folder of the same number, and no link on it is followed.
        """
        count = len(paths)
        names = ctypes.create_string_buffer(b"\0".join(paths))
        records = self._records[:count]
        records.view(np.int64)[:, 0] = folders
        self._read(
            self._table.ctypes.data,
            ctypes.addressof(names),
            count,
            self._address,
            len(self.buffer),
            self._limit,
            records.ctypes.data,
        )
        columns = records.T
        signed = columns.view(np.int64)
        return FileRecords(
            *[(signed if number in _SIGNED else columns)[number].tolist() for number in range(len(FileRecords._fields))]
        )


class ManyReaderMaker(NamedTuple):
    """Makes a reader for each thread."""

    function: Callable[..., int]
    table: NDArray[np.int64]

    def make(self, count: int, limit: int, room: int) -> ManyReader:
        """Return a reader of up to `count` files of up to `limit` bytes, with a buffer of `room` bytes."""
        return ManyReader(self.function, self.table, count, limit, room)


def load_code(code: bytes) -> ManyReaderMaker | None:
    """Return a maker of readers from stored machine code; None if it cannot be used or gives wrong results."""
    address = map_code(code)
    table = _make_table()
    if address is None or table is None:
        return None
    maker = ManyReaderMaker(function_at(address, _PARAMETERS), table)
    return maker if agrees(maker) else None


def agrees(maker: ManyReaderMaker) -> bool:
    """Tell whether the results agree with Python's: for a file, a folder, a missing file, and one behind a link."""
    here = os.fsencode(__file__)
    above, name = os.path.split(here)
    found = maker.make(5, 1 << 20, 1 << 20)
    folder, root = os.open(above, os.O_PATH), os.open("/", os.O_PATH)
    try:
        paths = [name, b".", name, name + b"/", b"proc/self/comm"]
        records = found.read([folder, folder, folder, folder, root], paths)
    finally:
        os.close(folder)
        os.close(root)
    status = os.stat(here)
    expected = (
        status.st_size,
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        status.st_ino,
        status.st_dev,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    for number, start in ((0, 0), (2, status.st_size)):
        mtime = records.mtimes[number] * 1_000_000_000 + records.mtime_ns[number]
        ctime = records.ctimes[number] * 1_000_000_000 + records.ctime_ns[number]
        described = (column[number] for column in (records.lengths, *records[2:8]))
        if (*described, mtime, ctime) != expected or records.starts[number] != start:
            return False
    with open(here, "rb") as file:
        content = file.read()
    return [records.lengths[number] for number in (1, 3, 4)] == [-1, -1, -1] and found.buffer[
        : 2 * len(content)
    ] == 2 * content


def _make_table() -> NDArray[np.int64] | None:
    """Return the arguments of the compiled function: addresses of C functions, system constants, a scratch area."""
    libc = ctypes.CDLL(None)
    try:
        functions = [ctypes.cast(getattr(libc, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    except AttributeError:
        return None
    return np.array([*functions, _OPENAT2, errno.EPERM, errno.ENOTSUP, 0], np.int64)
