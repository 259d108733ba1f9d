"""Reads many small files: the numba source of native/file_reader.py. Importing this module imports numba."""

from pyrestic.native.intrinsics import (
    call,
    call_int,
    compile_function,
    inline,
    load8,
    load32,
    load64,
    store64,
)

# Constants for the function; struct statx has the same layout on every processor (statx(2)).
_SYSCALL, _STATX, _LISTXATTR, _READ, _CLOSE, _ERRNO = 0, 8, 16, 24, 32, 40
_OPENAT2, _NOT_PERMITTED, _NOT_SUPPORTED, _SCRATCH = 48, 56, 64, 72
# After struct statx and its zeros come two copies of struct open_how, without and with access time updates.
_WITHOUT_ATIME, _WITH_ATIME, _HOW_BYTES = 264, 288, 24
_EMPTY_PATH, _BASIC_STATS = 0x1000, 0x7FF
_REGULAR, _TYPE_MASK = 0o100000, 0o170000
_LINKS, _UID, _GID, _MODE, _INODE, _SIZE, _ATIME, _CTIME, _MTIME, _DEVICE = 16, 20, 24, 28, 32, 40, 64, 96, 112, 136


def compile_code() -> bytes | None:
    """Return the machine code of the reader for this processor, None if there is none."""
    return compile_function(_read_many, 7)


@inline
def _error(table: int) -> int:
    """The last errno."""
    return load32(call(load64(table + _ERRNO), (0,)))


@inline
def _open_with(table: int, folder: int, path: int, how: int) -> int:
    passed = (load64(table + _OPENAT2), folder, path, load64(table + _SCRATCH) + how, _HOW_BYTES)
    return call(load64(table + _SYSCALL), passed)


@inline
def _open(table: int, folder: int, path: int) -> int:
    """Open a file without updating its access time if permitted."""
    descriptor = _open_with(table, folder, path, _WITHOUT_ATIME)
    if descriptor < 0 and _error(table) == load64(table + _NOT_PERMITTED):
        descriptor = _open_with(table, folder, path, _WITH_ATIME)
    return descriptor


@inline
def _number_of_device(status: int) -> int:
    """The device number in stat's form, from its two parts."""
    major, minor = load32(status + _DEVICE), load32(status + _DEVICE + 4)
    return ((major & 0xFFF) << 8) | ((major & 0xFFFFF000) << 32) | (minor & 0xFF) | ((minor & 0xFFFFFF00) << 12)


@inline
def _describe(status: int, record: int) -> None:
    store64(record + 16, load32(status + _MODE) & 0xFFFF)
    store64(record + 24, load32(status + _LINKS))
    store64(record + 32, load32(status + _UID))
    store64(record + 40, load32(status + _GID))
    store64(record + 48, load64(status + _INODE))
    store64(record + 56, _number_of_device(status))
    store64(record + 64, load64(status + _MTIME))
    store64(record + 72, load32(status + _MTIME + 8))
    store64(record + 80, load64(status + _CTIME))
    store64(record + 88, load32(status + _CTIME + 8))
    store64(record + 96, load64(status + _ATIME))
    store64(record + 104, load32(status + _ATIME + 8))


@inline
def _read_opened(table: int, descriptor: int, data: int, room: int, limit: int, record: int) -> int:
    """Examine and read an opened file; return its length, -1 if it is unusual."""
    status = load64(table + _SCRATCH)
    empty = status + 256
    if call_int(load64(table + _STATX), (descriptor, empty, _EMPTY_PATH, _BASIC_STATS, status)) != 0:
        return -1
    size = load64(status + _SIZE)
    if load32(status + _MODE) & _TYPE_MASK != _REGULAR or size < 0 or size > limit or size >= room:
        return -1
    attributes = call(load64(table + _LISTXATTR), (descriptor, 0, 0))
    if attributes < 0 and _error(table) == load64(table + _NOT_SUPPORTED):
        attributes = 0
    # One extra byte shows whether it grew.
    length = call(load64(table + _READ), (descriptor, data, size + 1))
    if length != size:
        # Some file systems return less than available and continue on the next read.
        return -1
    _describe(status, record)
    store64(record + 112, attributes)
    return length


def _read_many(table: int, paths: int, count: int, data: int, room: int, limit: int, records: int) -> int:
    used = 0
    path = paths
    for number in range(count):
        record = records + 128 * number
        length = -1
        descriptor = _open(table, load64(record), path)
        if descriptor >= 0:
            length = _read_opened(table, descriptor, data + used, room - used, limit, record)
            call_int(load64(table + _CLOSE), (descriptor,))
        store64(record, length)
        store64(record + 8, used)
        if length > 0:
            used += length
        while load8(path) != 0:
            path += 1
        path += 1
    return used
