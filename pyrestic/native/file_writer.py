"""Writes many small new files in one call that releases the GIL (see sources.file_writer).

Each file is created at a free path, written, given its owner, times and mode, examined and closed, in the order and
with the system calls of TargetWriter.write_small_file. Unusual files are not handled here: the caller writes them again
individually, which succeeds or reports their errors.
"""

import ctypes
import os
import tempfile
from array import array
from collections.abc import Callable, Sequence

import numpy as np

from pyrestic.engine_types import NewFile, PlainMetadata, Stamp, Written
from pyrestic.engines import CREATE_FLAGS
from pyrestic.native.machinecode import function_at, map_code

_FUNCTIONS = ("openat", "write", "fchown", "flistxattr", "futimens", "fchmod", "statx", "close", "__errno_location")
_PARAMETERS = 7
_STATUS_BYTES = 257
"""Length of struct statx, and of a zero after it."""
_OTHER_PLACES = frozenset((b"", b".", b".."))
_SECOND = 1_000_000_000
_TEST_TIMES = (987_654_321, 600_000_000, 1_234_567_890, 123_456_789)
_OTHER_OWNER, _UNUSUAL = 1, 2
"""Results: a file is finished except for its owner, or must be written individually; 0 means finished."""


class ManyWriter:
    """Writes new files; thread-safe."""

    def __init__(self, function: Callable[..., int], table: "array[int]") -> None:
        self._function = function
        self._table = table

    def write(self, files: Sequence[NewFile], data: memoryview, *, need_owner: bool) -> Written:
        """Make files in one go; `data` lies in one piece. Without `need_owner` a file is finished if nothing else than
        its owner is wrong.
        """
        names = [file.name for file in files]
        joined = b"\0".join(names) + b"\0"
        if joined.count(b"\0") != len(names) or not _OTHER_PLACES.isdisjoint(names):
            # A zero would end the name early.
            return Written([None] * len(files), 0)
        numbers: list[int] = []
        place = 0
        for folder, name, start, length, metadata in files:
            numbers += (folder, place, start, length)
            numbers += metadata
            place += len(name) + 1
        requests = array("q", numbers)
        status = bytearray(_STATUS_BYTES)
        answers = np.zeros((len(files), 4), np.int64)
        self._function(
            self._table.buffer_info()[0],
            requests.buffer_info()[0],
            len(files),
            np.frombuffer(joined, np.uint8).ctypes.data,
            np.frombuffer(data, np.uint8).ctypes.data if data.nbytes else 0,
            ctypes.addressof(ctypes.c_char.from_buffer(status)),
            answers.ctypes.data,
        )
        results, inodes, seconds, fractions = answers.T
        moments = zip(
            results.tolist(), inodes.view(np.uint64).tolist(), (seconds * _SECOND + fractions).tolist(), strict=True
        )
        bad = _OTHER_OWNER if need_owner else _UNUSUAL
        return Written(
            [Stamp(inode, ctime_ns) if result < bad else None for result, inode, ctime_ns in moments],
            0 if need_owner else int((results == _OTHER_OWNER).sum()),
        )


def load_code(code: bytes) -> ManyWriter | None:
    """Return a writer from stored machine code; None if it cannot be used or gives wrong results."""
    address = map_code(code)
    table = _make_table()
    if address is None or table is None:
        return None
    writer = ManyWriter(function_at(address, _PARAMETERS), table)
    return writer if agrees(writer) else None


def agrees(writer: ManyWriter) -> bool:
    """Tell whether files are written correctly: two new ones, and one whose path exists."""
    metadata = PlainMetadata(os.geteuid(), os.getegid(), 0o640, *_TEST_TIMES)
    try:
        with tempfile.TemporaryDirectory(prefix="pyrestic-") as path:
            folder = os.open(path, os.O_PATH | os.O_DIRECTORY)
            try:
                files = [NewFile(folder, name, start, 3, metadata) for name, start in ((b"a", 0), (b"b", 3), (b"a", 6))]
                first, second, third = writer.write(files, memoryview(b"onetwosix"), need_owner=True).stamps
                return third is None and _is_whole(path, "a", b"one", first) and _is_whole(path, "b", b"two", second)
            finally:
                os.close(folder)
    except OSError:
        return False


def _is_whole(folder: str, name: str, content: bytes, stamp: Stamp | None) -> bool:
    path = os.path.join(folder, name)
    status = os.stat(path)
    times = (*divmod(status.st_atime_ns, _SECOND), *divmod(status.st_mtime_ns, _SECOND))
    with open(path, "rb") as file:
        found = (file.read(), *times, status.st_mode & 0o7777, (status.st_ino, status.st_ctime_ns))
    return found == (content, *_TEST_TIMES, 0o640, stamp)


def _make_table() -> "array[int] | None":
    """Return the arguments of the compiled function: addresses of C functions, and flags for opening a file."""
    libc = ctypes.CDLL(None)
    try:
        functions = [ctypes.cast(getattr(libc, name), ctypes.c_void_p).value or 0 for name in _FUNCTIONS]
    except AttributeError:
        return None
    return array("q", [*functions, CREATE_FLAGS])
