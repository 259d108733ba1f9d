"""Where tests put their files."""

import contextlib
import os
import zlib
from pathlib import Path

_ROOM = 4 << 30
"""Much more than all tests need at once."""


def can_hold_tests(folder: str) -> bool:
    """Tell whether a folder in memory has room, runs programs, and keeps extended attributes, as in Linux 6.6."""
    if not os.access(folder, os.W_OK) or not _memory_keeps_attributes():
        return False
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize >= _ROOM and not system.f_flag & os.ST_NOEXEC


def make_own_folder(parent: str, checkout: Path) -> str:
    """Return the folder of a checkout below `parent`, where every other run of tests changes the parent.

    Its name is short because a socket's path is. If it is another user's, return the parent.
    """
    folder = f"{parent}/p{zlib.crc32(bytes(checkout)) & 0xFFFF:04x}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    return folder if os.lstat(folder).st_uid == os.geteuid() else parent


def _memory_keeps_attributes() -> bool:
    descriptor = os.memfd_create("attributes")
    try:
        os.setxattr(descriptor, "user.test", b"value")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
