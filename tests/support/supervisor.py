"""Ends or fails a program at an exact system call on a folder, by the kernel's own means (seccomp user notification).

The kernel stops the program before each call that changes files (and, if asked, that reads them) and lets us say what
happens: the call goes ahead, it fails with an error, or the program is killed there. Nothing of the program is changed
for it, so it works with compiled code, threads and the real restic alike.
"""

import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pytest

_LAUNCH = Path(__file__).with_name("supervised_launch.py")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_REQUEST = struct.Struct("=QII iIQ 6Q")  # struct seccomp_notif
_ANSWER = struct.Struct("=Qq iI")  # struct seccomp_notif_resp
_CONTINUE = 1
_PAGE = 4096
_AT_FDCWD = -100
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

Where = Literal["path", "at", "fd"]
"""How a call names its file: by a path in the first argument, by folder and path in the first two, or a descriptor."""


class _Kind(NamedTuple):
    name: str
    where: Where
    changes: bool


# name: (x86-64, aarch64, how it names its file, whether it changes something)
_CALLS: dict[str, tuple[int | None, int | None, Where, bool]] = {
    "open": (2, None, "path", True),
    "openat": (257, 56, "at", True),
    "write": (1, 64, "fd", True),
    "pwrite64": (18, 68, "fd", True),
    "writev": (20, 66, "fd", True),
    "pwritev": (296, 70, "fd", True),
    "ftruncate": (77, 46, "fd", True),
    "fallocate": (285, 47, "fd", True),
    "fsync": (74, 82, "fd", True),
    "fdatasync": (75, 83, "fd", True),
    "fchmod": (91, 52, "fd", True),
    "chmod": (90, None, "path", True),
    "rename": (82, None, "path", True),
    "renameat": (264, 38, "at", True),
    "renameat2": (316, 276, "at", True),
    "unlink": (87, None, "path", True),
    "unlinkat": (263, 35, "at", True),
    "mkdir": (83, None, "path", True),
    "mkdirat": (258, 34, "at", True),
    "rmdir": (84, None, "path", True),
    "link": (86, None, "path", True),
    "linkat": (265, 37, "at", True),
    "symlink": (88, None, "path", True),
    "read": (0, 63, "fd", False),
    "pread64": (17, 67, "fd", False),
    "preadv": (295, 69, "fd", False),
    "getdents64": (217, 61, "fd", False),
    "newfstatat": (262, 79, "at", False),
    "stat": (4, None, "path", False),
}
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


class Call(NamedTuple):
    """A system call on the folder: its name, and the path below the folder."""

    name: str
    path: str

    @property
    def changes(self) -> bool:
        """Whether it changes something, or opens a file for that."""
        return self.name.endswith(" to write") or (self.name in _CALLS and _CALLS[self.name][-1])


KILL: Final = "kill"
Action = int | Literal["kill"] | None
"""Go on (None), fail with an errno, or KILL the program before the call is made; a signal is sent, and it goes on."""


@dataclass
class Supervised:
    """What became of the program: exit code (negative for a signal), output, and the calls on the folder in order."""

    code: int = 0
    out: str = ""
    err: str = ""
    calls: list[Call] = field(default_factory=list)


def is_possible() -> bool:
    """Whether this kernel and processor can do it (Linux 5.5 and newer, not within every container)."""
    if platform.machine() not in _ARCHITECTURES or sys.platform != "linux":
        return False
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text()
    except OSError:
        return False
    return "user_notif" in actions.split()


def require() -> None:
    """Skip the test where it is not possible; in CI it fails."""
    if is_possible():
        return
    message = "the kernel offers no seccomp user notification"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def run_supervised(
    command: Sequence[str | Path],
    folder: Path,
    decide: Callable[[int, Call], Action] = lambda _number, _call: None,
    *,
    environment: Mapping[str, str],
    cwd: Path,
    reads: bool = False,
    seconds: float = 120,
) -> Supervised:
    """Run a command; before its n-th call on the folder (from 0) do what `decide` says.

    Calls that change files count; with `reads` those that read as well. The program is killed after `seconds`, which
    fails the test.
    """
    ours, theirs = socket.socketpair()
    out, err = cwd / f".out-{os.getpid()}", cwd / f".err-{os.getpid()}"
    architecture, column = _ARCHITECTURES[platform.machine()]
    kinds = _kinds(column, reads=reads)
    launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(theirs.fileno()), str(architecture)]
    numbers = ",".join(map(str, kinds))
    with ours, theirs, out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*launch, numbers, *map(str, command)],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    assert descriptors, err.read_text()
    done = Supervised()
    ended = os.pidfd_open(process.pid)
    try:
        _answer_all(descriptors[0], ended, process, kinds, os.path.realpath(folder), decide, done, seconds, reads=reads)
    finally:
        os.close(descriptors[0])
        os.close(ended)
        if process.poll() is None:
            _kill(process)
        done.code = process.wait()
    done.out, done.err = out.read_text(errors="replace"), err.read_text(errors="replace")
    out.unlink()
    err.unlink()
    return done


def _kinds(column: int, *, reads: bool) -> dict[int, _Kind]:
    found = {}
    for name, (*numbers, where, changes) in _CALLS.items():
        number = numbers[column]
        if number is not None and (changes or reads):
            found[number] = _Kind(name, where, changes)
    return found


def _answer_all(
    listener: int,
    ended: int,
    process: "subprocess.Popen[bytes]",
    kinds: dict[int, _Kind],
    folder: str,
    decide: Callable[[int, Call], Action],
    done: Supervised,
    seconds: float,
    *,
    reads: bool,
) -> None:
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while time.monotonic() < deadline:
        events = dict(poll.poll(1000))
        if ended in events or events.get(listener, 0) & select.POLLHUP:
            # Children of its own may still run; the command has ended.
            return
        if not events:
            continue
        request = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, request)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue
            raise
        identifier, pid, _, number, _, _, *arguments = _REQUEST.unpack(request)
        action: Action = None
        call = _describe(kinds[number], pid, arguments, folder, reads=reads)
        if call is not None:
            action = decide(len(done.calls), call)
            done.calls.append(call)
        if action == KILL:
            _kill(process)
            return
        if isinstance(action, signal.Signals):
            os.kill(process.pid, action)
            action = None
        failure = 0 if action is None else -int(action)
        answer = bytearray(_ANSWER.pack(identifier, 0, failure, 0 if failure else _CONTINUE))
        try:
            fcntl.ioctl(listener, _SEND, answer)
        except OSError as error:
            # The thread was interrupted, and asks again, or is gone.
            if error.errno != errno.ENOENT:
                raise
    _kill(process)
    pytest.fail(f"the program hangs after {len(done.calls)} calls, the last: {done.calls[-3:]}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _describe(kind: _Kind, pid: int, arguments: list[int], folder: str, *, reads: bool) -> Call | None:
    """Return the call if it concerns the folder and changes or, if asked, reads something."""
    try:
        path = _find_path(kind, pid, arguments)
    except OSError:
        # The thread is gone, or the descriptor is none.
        return None
    if path is None or not (path == folder or path.startswith(folder + "/")):
        return None
    if kind.name in ("open", "openat"):
        flags = arguments[1 if kind.name == "open" else 2]
        writes = bool(flags & _WRITING)
        if not (writes or reads):
            return None
        return Call(f"{kind.name} to {'write' if writes else 'read'}", os.path.relpath(path, folder))
    return Call(kind.name, os.path.relpath(path, folder))


def _find_path(kind: _Kind, pid: int, arguments: list[int]) -> str | None:
    if kind.where == "fd":
        return os.readlink(f"/proc/{pid}/fd/{arguments[0] & 0xFFFFFFFF}")
    if kind.where == "path":
        base, address = f"/proc/{pid}/cwd", arguments[0]
    else:
        number = arguments[0] & 0xFFFFFFFF
        at = number - (1 << 32) if number >= 1 << 31 else number
        base, address = f"/proc/{pid}/cwd" if at == _AT_FDCWD else f"/proc/{pid}/fd/{at}", arguments[1]
    path = _read_text(pid, address)
    if not path:
        return None
    return os.path.normpath(path if path.startswith("/") else os.path.join(os.readlink(base), path))


def _read_text(pid: int, address: int) -> str:
    """Return the text that ends with NUL at an address of another process."""
    found = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        while len(found) <= _PAGE:
            memory.seek(address + len(found))
            piece = memory.read(_PAGE - (address + len(found)) % _PAGE)
            end = piece.find(b"\0")
            found += piece if end < 0 else piece[:end]
            if end >= 0 or not piece:
                break
    return os.fsdecode(found)
