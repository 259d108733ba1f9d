"""Reads a file only if nobody but this user and root could have written it, whatever links lead to it."""

import errno
import os
import stat
from typing import NamedTuple

from pyrestic.backend.private_folder import open_private
from pyrestic.errors import PyresticError, UntrustedError, UsageError

_MAX_LINKS = 40
_MAX_BYTES = 1 << 20


class TrustedFile(NamedTuple):
    """The content of a file; `shown` means that others may read it."""

    path: str
    content: bytes
    shown: bool


def read_trusted(path: str) -> TrustedFile:
    """Return a file; raise FileNotFoundError if there is none, UsageError if it is not trusted or cannot be read."""
    try:
        return _read(path)
    except FileNotFoundError:
        raise
    except UntrustedError as error:
        reason = str(error).removeprefix("nothing is stored in ").replace(" is not used:", ":")
        raise UsageError(
            f"{path} is not read, because it names commands to run: {reason}",
            hint="Only you may write to it and to its folders; `chmod go-w` prevents that others do.",
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def list_trusted(folder: str, ending: str) -> list[str]:
    """Return the paths of the files in a folder with this ending, by name; none if there is no such folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PyresticError(f"{folder} cannot be read: {error.strerror}") from error
    return [os.path.join(folder, name) for name in sorted(names) if name.endswith(ending) and name[0] != "."]


def _read(path: str) -> TrustedFile:
    place = path
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(place)
        with open_private(folder) as opened:
            try:
                place = os.path.join(opened.path, os.readlink(name, dir_fd=opened.descriptor))
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                with open(opened.open_file(name), "rb") as file:
                    content = file.read(_MAX_BYTES + 1)
                    mode = os.fstat(file.fileno()).st_mode
                if len(content) > _MAX_BYTES:
                    raise UsageError(f"{path} is larger than {_MAX_BYTES >> 20} MiB") from None
                return TrustedFile(path, content, bool(mode & (stat.S_IRGRP | stat.S_IROTH)))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
