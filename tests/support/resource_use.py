"""Runs a program with few descriptors and tells what it took: bytes read, peak memory, what it wrote to a folder.

The program is started by a small process of its own, this module: what a process is said to have used at most counts
the memory that it had before the program took its place, which is that of whoever started it.
"""

import ctypes
import json
import os
import resource
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_EVENT = struct.Struct("iIII")
_MODIFY, _CLOSED_AFTER_WRITING, _OPEN, _MOVED_TO, _CREATE, _FOLDER = 0x2, 0x8, 0x20, 0x80, 0x100, 0x40000000


@dataclass(frozen=True)
class Measured:
    """What a run took."""

    code: int
    stdout: bytes
    stderr: bytes
    bytes_read: int
    """All that read calls returned: of the repository, and of the program's own modules."""
    peak_kib: int
    files: list[str]
    """What was made, opened or written in the watched folder; a file without a name has its inode for one."""


def run_measured(
    command: list[str], environment: dict[str, str], *, descriptors: int, watched: Path, cwd: Path
) -> Measured:
    """Run a command with that many descriptors at most, and look at all that it does in a folder."""
    reader, writer = os.pipe()
    try:
        helper = [sys.executable, "-S", str(Path(__file__)), str(writer), str(descriptors), str(watched), *command]
        done = subprocess.run(
            helper, env=environment, stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd, pass_fds=[writer]
        )
        os.close(writer)
        writer = -1
        with open(reader, "rb", closefd=False) as file:
            told = json.loads(file.read() or b"{}")
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)
    assert told, done.stderr
    return Measured(stdout=done.stdout, stderr=done.stderr, **told)


class FolderWatch:
    """Notes what happens to the files of a folder; inotify misses nothing that is over before one looks."""

    def __init__(self, folder: str) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        mask = _MODIFY | _CLOSED_AFTER_WRITING | _OPEN | _MOVED_TO | _CREATE
        if self._descriptor < 0 or library.inotify_add_watch(self._descriptor, os.fsencode(folder), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify does not work")

    def names(self) -> list[str]:
        """Return the files that something happened to since; reading the folder itself does not count."""
        found: set[str] = set()
        while True:
            try:
                events = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return sorted(found)
            while events:
                _, mask, _, length = _EVENT.unpack_from(events)
                name = events[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
                if not (mask & _FOLDER and mask & _OPEN):
                    found.add(os.fsdecode(name))
                events = events[_EVENT.size + length :]


def _main() -> None:
    writer, descriptors = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(writer, False)
    watch = FolderWatch(sys.argv[3])
    process = subprocess.Popen(
        sys.argv[4:],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)),  # noqa: PLW1509 - no threads
    )
    # The process has ended then but is still there to be asked.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with open(f"/proc/{process.pid}/io") as file:
        counts = dict(line.split(": ") for line in file.read().splitlines())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    told = {
        "code": process.returncode,
        "bytes_read": int(counts["rchar"]),
        "peak_kib": usage.ru_maxrss,
        "files": watch.names(),
    }
    os.write(writer, json.dumps(told).encode())


if __name__ == "__main__":
    _main()
