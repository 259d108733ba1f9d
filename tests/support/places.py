"""Where tests put their files."""

import os
import tempfile

_ROOM = 4 << 30
"""Much more than all tests need at once."""


def can_hold_tests(folder: str) -> bool:
    """Tell whether a folder has room, runs programs, and keeps extended attributes, as Linux 6.6 does in memory."""
    try:
        system = os.statvfs(folder)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            os.setxattr(file.name, "user.test", b"value")
    except OSError:
        return False
    return system.f_bavail * system.f_frsize >= _ROOM and not system.f_flag & os.ST_NOEXEC
