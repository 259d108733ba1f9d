"""How much room a file system has for a folder that may not be there yet."""

import os
import stat

from pyrestic.errors import LocalFileError


def find_free_bytes(folder: bytes) -> int | None:
    """Return how many bytes this user may still write below a folder, None where the file system does not say.

    The nearest folder above that exists decides. Raises LocalFileError if something else than a folder is in the way.
    """
    path = os.path.abspath(folder)
    while True:
        try:
            kind = os.stat(path).st_mode
            break
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)
        except (OSError, ValueError):
            return None
    if not stat.S_ISDIR(kind):
        raise LocalFileError(f"{os.fsdecode(folder)} could not be made or opened: {os.fsdecode(path)} is no folder")
    try:
        room = os.statvfs(path)
    except OSError:
        return None
    # Some network file systems have no size at all.
    if room.f_blocks == 0:
        return None
    return room.f_frsize * (room.f_bfree if os.geteuid() == 0 else room.f_bavail)
