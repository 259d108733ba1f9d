"""Backends on the real rclone, one of each kind for each process that runs the tests: starting it takes time."""

import atexit
import functools
import os
import tempfile

from pyrestic.backend.location import Access
from pyrestic.backend.rclone.backend import RcloneBackend
from pyrestic.backend.rclone.launchers import ARGUMENTS, find_launcher
from tests.support.backends import emptied
from tests.support.servers import find_tool


class _SharedRclone(RcloneBackend):
    """A backend that outlives single tests."""

    def close(self) -> None:
        """Stay as it is."""


@functools.cache
def _shared(arguments: str) -> RcloneBackend:
    remote = tempfile.mkdtemp(prefix="rclone-")
    access = Access({**os.environ, "RCLONE_CONFIG": ""})
    backend = _SharedRclone(find_launcher(remote, str(find_tool("rclone")), arguments, 5, access, 60), 5)
    atexit.register(RcloneBackend.close, backend)
    return backend


def open_rclone() -> RcloneBackend:
    """Return a backend on rclone as a server on a socket; it is empty."""
    return emptied(_shared(""))


def open_rclone_pipes() -> RcloneBackend:
    """Return a backend on rclone as a server on its standard input and output; it is empty."""
    return emptied(_shared(f"{ARGUMENTS} --cache-objects"))
