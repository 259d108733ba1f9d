"""Where tests put their files."""

import os

_ROOM = 4 << 30
"""Much more than all tests need at once."""


def can_hold_tests(folder: str) -> bool:
    """Tell whether a folder in memory has room, runs programs, and keeps extended attributes, as in Linux 6.6."""
    if not os.access(folder, os.W_OK) or not _memory_keeps_attributes():
        return False
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize >= _ROOM and not system.f_flag & os.ST_NOEXEC


def _memory_keeps_attributes() -> bool:
    descriptor = os.memfd_create("attributes")
    try:
        os.setxattr(descriptor, "user.test", b"value")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
