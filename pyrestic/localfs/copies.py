"""Copies of packs that a repair keeps in the working directory, in case the dropped data is needed after all."""

import errno
import os
from collections.abc import Iterator
from itertools import count

from typing_extensions import Buffer

from pyrestic.errors import LocalFileError


def keep_copy(name: str, data: Buffer) -> str:
    """Write data to a new file of this name in the working directory, or of a numbered one; return the name.

    An existing file with exactly this content, from a killed run, is reused. Nothing is overwritten. Raises
    LocalFileError.
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
    """Tell whether there is a file with exactly this content."""
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
    """Write a file durably; False if the path exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    return True
