"""Single local files: read a range, or write a file atomically.

Shared by the local backend and the cache. Every OSError becomes a BackendError here.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from typing_extensions import Buffer

from pyrestic.backend.base import range_length
from pyrestic.errors import AccessError, BackendError, NotFoundError, TransientError
from pyrestic.handle import Handle

WRITE_LENGTH = 8 << 20
"""Bytes per write call: large enough to cost nothing, small enough to let an interrupt through."""

TEMPORARY_MARK = "-tmp-"
"""Part of the names of files that are being written; restic uses the same."""

_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT}
# A network file system or a busy machine may recover from these. EIO is missing: a failing disk reports it for each bad
# file, and waiting does not help.
_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EMFILE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENFILE,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""Errors of file systems without fsync."""


def translate(error: OSError, doing: str) -> BackendError:
    """Return our error for an OSError that happened while `doing`, such as "reading <index/0123456789>"."""
    reason = error.strerror or str(error)
    message = f"{doing} failed: {reason[:1].lower()}{reason[1:]}"
    if error.errno in _MISSING:
        return NotFoundError(message)
    if error.errno in _SPACE:
        return AccessError(message, hint="Free some space on the disk of the repository, then try again.")
    if error.errno in _PERMISSION:
        return AccessError(message, hint="Check who owns the files of the repository and which user runs this.")
    if error.errno in _PASSING:
        return TransientError(message)
    return BackendError(message)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn an OSError of the block into a BackendError."""
    try:
        yield
    except OSError as error:
        raise translate(error, doing) from error


def read_range(path: str, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
    """Return `length` bytes of the file from offset, or all to the end.

    Raises NotFoundError, FormatError if the file ends earlier, BackendError (also if the path is not a file; symbolic
    links to files are followed).
    """
    with _opened(path, handle) as (descriptor, file_length):
        return _read_all(descriptor, offset, range_length(handle, file_length, offset, length), handle)


def read_open(descriptor: int, handle: Handle, offset: int, length: int | None) -> bytes:
    """Return `length` bytes of an open file from offset, or all to the end; raise OSError, FormatError."""
    file_length = os.fstat(descriptor).st_size
    return _read_all(descriptor, offset, range_length(handle, file_length, offset, length), handle)


def read_into(path: str, handle: Handle, offset: int, room: memoryview) -> None:
    """Fill the buffer with the bytes of the file from offset on; raises the errors of read_range."""
    with _opened(path, handle) as (descriptor, file_length):
        range_length(handle, file_length, offset, len(room))
        done = 0
        while done < len(room):
            count = os.preadv(descriptor, [room[done:]], offset + done)
            if not count:
                # Truncated during the read: handle it as if the file had been short from the start.
                range_length(handle, offset + done, offset, len(room))
            done += count


@contextmanager
def _opened(path: str, handle: Handle) -> Iterator[tuple[int, int]]:
    """Yield a descriptor of the file and its length in bytes; errors become BackendErrors."""
    with translated(f"reading {handle}"):
        # Without O_NONBLOCK, opening a pipe of that name would block forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            _refuse_other_types(status, handle)
            yield descriptor, status.st_size
        finally:
            os.close(descriptor)


def file_length(path: str, handle: Handle) -> int:
    """Return the length of the file in bytes; raise NotFoundError or BackendError."""
    with translated(f"looking for {handle}"):
        status = os.stat(path)
        _refuse_other_types(status, handle)
        return status.st_size


def write_whole(path: str, data: Buffer, handle: Handle, *, mode: int, durable: bool) -> None:
    """Replace the content of the file with data: all of it or, if this raises BackendError, nothing.

    The content goes to a temporary file in the same folder, which is then renamed. `mode` is the mode of the finished
    file. With `durable`, content and name survive a power loss once this returns. The folder must exist.
    """
    write_parts(path, (data,), f"writing {handle}", mode=mode, durable=durable)


def write_parts(path: str, parts: Iterable[Buffer], doing: str, *, mode: int, durable: bool) -> None:
    """Replace the content of the file with the concatenated parts; otherwise like write_whole."""
    with translated(doing):
        temporary = f"{path}{TEMPORARY_MARK}{int.from_bytes(os.urandom(5))}"
        try:
            # An interrupt may come as soon as the file exists.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                for part in parts:
                    write_all(descriptor, memoryview(part))
                _set_mode(descriptor, mode)
                if durable:
                    _sync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:
            _remove_quietly(temporary)
            raise
        if durable:
            sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make the names in a folder survive a power loss; raise OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_other_types(status: os.stat_result, handle: Handle) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BackendError(f"at the path of {handle} is something other than a file")


def _read_all(descriptor: int, offset: int, length: int, handle: Handle) -> bytes:
    if length == 0:
        return b""
    data = os.pread(descriptor, length, offset)
    if len(data) == length:
        return data
    # Some file systems, and Linux beyond 2 GiB, return fewer bytes than requested.
    parts = [data]
    done = len(data)
    while done < length:
        data = os.pread(descriptor, length - done, offset + done)
        if not data:
            # Truncated during the read: handle it as if the file had been short from the start.
            range_length(handle, offset + done, offset, length)
        parts.append(data)
        done += len(data)
    return b"".join(parts)


def write_all(descriptor: int, data: memoryview) -> None:
    """Write all bytes, however many calls it takes; raise OSError."""
    data = data.cast("B")
    done = 0
    while done < len(data):
        done += os.write(descriptor, data[done : done + WRITE_LENGTH])


def _set_mode(descriptor: int, mode: int) -> None:
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        # exFAT and some network file systems have no modes; the file works without one.
        if error.errno not in _PERMISSION | _NO_SYNC | {errno.ENOSYS}:
            raise


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _remove_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        # The first error is the one that matters, and a leftover temporary file is harmless.
        pass
