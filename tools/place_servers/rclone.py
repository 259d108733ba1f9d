"""A folder of this machine as a remote of rclone, which each client starts itself."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.place_servers.place import Place


def rclone_place(remote: str, tools: Path, *more: str) -> Place:
    """Return the place at a remote: a folder, or what rclone's configuration names; `more` are options."""
    return Place(f"rclone:{remote}/", (f"rclone.program={tools / 'rclone'}", *more), {"RCLONE_CONFIG": ""})


@contextmanager
def serve_rclone(folder: Path, tools: Path) -> Iterator[Place]:
    """Let rclone use a folder for a with block."""
    yield rclone_place(str(folder / "served"), tools)


def find_rclone(mark: str) -> list[int]:
    """Return the processes of rclone whose arguments contain something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"rclone") and any(mark.encode() in word for word in words):
            found.append(int(path.parent.name))
    return found


def kill_rclone(mark: str) -> None:
    """Kill these processes without warning."""
    for process in find_rclone(mark):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
