"""Writes many new small files: the numba source of native/file_writer.py. Importing this module imports numba."""

from pyrestic.native.intrinsics import call, call_int, compile_function, inline, load32, load64, store64

# Offsets in the table, in a request and in a result: numbers of 8 bytes. They are constants for the function.
_OPEN, _WRITE, _OWNER, _LISTXATTR, _TIMES, _MODE, _STATX, _CLOSE, _ERRNO, _FLAGS = range(0, 80, 8)
_FOLDER, _NAME, _START, _LENGTH, _UID, _GID, _PERMISSIONS, _MOMENTS = range(0, 64, 8)
_REQUEST_BYTES, _ANSWER_BYTES = 88, 32
_STATUS_INODE, _STATUS_CTIME = 32, 96
_EMPTY_PATH, _INODE_AND_CTIME = 0x1000, 0x180
_PRIVATE_FILE = 0o600
_NOT_PERMITTED, _NO_ACCESS, _NO_ATTRIBUTES, _NOT_SUPPORTED = 1, 13, 61, 95
_WRITTEN, _OTHER_OWNER, _UNUSUAL = 0, 1, 2


def compile_code() -> bytes | None:
    """Return the machine code of the writer for this processor, None if there is none."""
    return compile_function(_write_many, 7)


@inline
def _error(table: int) -> int:
    """The last errno."""
    return load32(call(load64(table + _ERRNO), (0,)))


@inline
def _write_all(table: int, descriptor: int, data: int, length: int) -> int:
    """Write all bytes, in as many calls as necessary; return whether that succeeded."""
    done = 0
    while done < length:
        written = call(load64(table + _WRITE), (descriptor, data + done, length - done))
        if written <= 0:
            return 0
        done += written
    return 1


@inline
def _has_attributes(table: int, descriptor: int) -> int:
    """Tell whether a new file has extended attributes, for example from its folder, or whether that is unknown."""
    length = call(load64(table + _LISTXATTR), (descriptor, 0, 0))
    if length >= 0:
        return 1 if length > 0 else 0
    error = _error(table)
    return 0 if error in (_NOT_SUPPORTED, _NO_ATTRIBUTES) else 1


@inline
def _fill(table: int, descriptor: int, request: int, data: int, status: int, answer: int) -> int:
    """Set content, owner, times and mode of an open new file, and examine it."""
    if not _write_all(table, descriptor, data + load64(request + _START), load64(request + _LENGTH)):
        return _UNUSUAL
    result = _WRITTEN
    if call_int(load64(table + _OWNER), (descriptor, load64(request + _UID), load64(request + _GID))) != 0:
        error = _error(table)
        if error not in (_NOT_PERMITTED, _NO_ACCESS):
            return _UNUSUAL
        result = _OTHER_OWNER
    if _has_attributes(table, descriptor):
        return _UNUSUAL
    if call_int(load64(table + _TIMES), (descriptor, request + _MOMENTS)) != 0:
        return _UNUSUAL
    if call_int(load64(table + _MODE), (descriptor, load64(request + _PERMISSIONS))) != 0:
        return _UNUSUAL
    # After the result of statx there is a zero: the empty path, which means the descriptor itself.
    passed = (descriptor, status + 256, _EMPTY_PATH, _INODE_AND_CTIME, status)
    if call_int(load64(table + _STATX), passed) != 0:
        return _UNUSUAL
    store64(answer + 8, load64(status + _STATUS_INODE))
    store64(answer + 16, load64(status + _STATUS_CTIME))
    store64(answer + 24, load32(status + _STATUS_CTIME + 8))
    return result


def _write_many(table: int, requests: int, count: int, names: int, data: int, status: int, answers: int) -> int:
    finished = 0
    for number in range(count):
        request = requests + _REQUEST_BYTES * number
        answer = answers + _ANSWER_BYTES * number
        result = _UNUSUAL
        passed = (load64(request + _FOLDER), names + load64(request + _NAME), load64(table + _FLAGS), _PRIVATE_FILE)
        descriptor = call_int(load64(table + _OPEN), passed)
        if descriptor >= 0:
            result = _fill(table, descriptor, request, data, status, answer)
            if call_int(load64(table + _CLOSE), (descriptor,)) != 0:
                result = _UNUSUAL
        store64(answer, result)
        finished += result != _UNUSUAL
    return finished
