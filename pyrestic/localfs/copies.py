"""Copies of packs that a repair keeps in the working folder, in case that what it leaves out is wanted after all."""

import errno
import os
from collections.abc import Iterator
from itertools import count

from typing_extensions import Buffer

from pyrestic.errors import LocalFileError


def keep_copy(name: str, data: Buffer) -> str:
    """Write data to a new file of this name in the working folder, or of a numbered one; return the name.

    A file of that name with just this content, which a run has left that was killed, will do. Nothing is overwritten.
    Raises LocalFileError.
    """
    for candidate in _names(name):
        try:
            if _holds(candidate, data) or _write_new(candidate, data):
                return candidate
        except OSError as error:
            raise LocalFileError(f"{candidate}: {error.strerror}") from error
    raise AssertionError("there is always another name")


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{number}" for number in count(2))


def _holds(path: str, data: Buffer) -> bool:
    """Tell whether there is a file with just this content."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO):
            return False
        raise
    with open(descriptor, "rb") as file:
        wanted = memoryview(data)
        return os.fstat(descriptor).st_size == len(wanted) and file.read() == wanted


def _write_new(path: str, data: Buffer) -> bool:
    """Write a file durably; False if something is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    return True
