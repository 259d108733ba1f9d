"""This machine as locks see it: identifies processes, and decides whether the process of a lock has certainly ended.

A lock contains a host name and a PID. Both can mislead: another machine may have the same host name, a container has
PIDs of its own, and PIDs are reused. So pyrestic's locks also carry a process mark that is unique: the machine, its
boot, the PID namespace, and the start time of the process. Restic ignores that field.

Without `unlock`, a lock ends in only two cases, and a lock without a mark (restic's) never ends:
- The entire mark is ours, but the process no longer exists: at once.
- The machine ID is ours, but either the boot differs and the lock is older than ours, or the process ran in another
  container: after 30 minutes without a refresh. An earlier boot of this disk cannot be distinguished from a clone that
  runs now with the same ID, but a live clone refreshes its lock.
In every other case, and on systems without /proc, nothing is certain and the lock is respected. A virtual machine that
was resumed twice from one memory image has the same mark in both; nothing visible distinguishes them.
"""

import hashlib
import math
import os
import pwd
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pyrestic.format.lock import LockFile

STALE_SECONDS = 30 * 60.0
"""A lock without a refresh for this long is given up by its holder (restic's number)."""

_INITIAL_TIME_NAMESPACE = "time:[4026531834]"
"""Start times are counted in the namespace of time; the one in which they are the kernel's own has this fixed number
(PROC_TIME_INIT_INO in the kernel).
"""
_DEAD_STATES = ("Z", "X", "x")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It exists and belongs to another user, or its state is unknown.
        return True
    return True


class End(NamedTuple):
    """When a lock ends without `unlock`, in seconds since 1970: infinitely long ago if its process has certainly ended.

    `interrupted`: as far as this machine can tell, its process was killed.
    """

    at: float
    interrupted: bool


class _Mark(NamedTuple):
    """Identifies one process among all processes, on all machines, at all times."""

    machine: str
    boot: str
    namespace: str
    started_ticks: str

    def __str__(self) -> str:
        return "/".join(self)


class _Process(msgspec.Struct, frozen=True):
    state: str
    started_ticks: int


class Machine:
    """The current machine and process. Tests pass a different machine in the arguments."""

    def __init__(
        self,
        *,
        hostname: str | None = None,
        pid: int | None = None,
        proc: str = "/proc",
        machine_id_file: str = "/etc/machine-id",
        exists: Callable[[int], bool] = _exists,
    ) -> None:
        self.hostname = os.uname().nodename if hostname is None else hostname
        self.pid = os.getpid() if pid is None else pid
        self._proc = proc
        self._exists = exists
        self._machine_id_file = machine_id_file

    def describe_lock(self, *, exclusive: bool, time: str) -> LockFile:
        """Return the lock of this process; `time` is in the format of gojson.format_time."""
        mark = self._find_mark()
        return LockFile(
            time=time,
            exclusive=exclusive,
            hostname=self.hostname,
            username=_user_name(),
            pid=self.pid,
            uid=os.getuid(),
            gid=os.getgid(),
            pyrestic_process=str(mark) if mark else "",
        )

    def find_end(self, lock: LockFile) -> End | None:
        """Return when the lock ends without `unlock`, None for never."""
        mark, own = _parse_mark(lock.pyrestic_process), self._find_mark()
        if mark is None or own is None or not self._is_same_host(lock) or mark.machine != own.machine:
            return None
        written_at = lock.time_ns / 1e9
        if mark.boot != own.boot:
            booted_at = self._booted_at()
            if own.machine == "" or booted_at is None or written_at > booted_at:
                # Another machine without an ID, or written since this boot and therefore elsewhere.
                return None
            return End(written_at + STALE_SECONDS, True)
        if mark.namespace != own.namespace:
            # In another container, whose processes are invisible; a live one refreshes its lock.
            return End(written_at + STALE_SECONDS, False)
        return End(-math.inf, True) if self._has_ended(lock.pid, mark) else None

    def seems_dead(self, lock: LockFile, now_seconds: float) -> bool:
        """Whether `unlock` may remove the lock.

        Ours as far as can be told; others by restic's rule: the same host name, and no such process.
        """
        if not self._is_same_host(lock):
            return False
        mark = _parse_mark(lock.pyrestic_process)
        if mark is None or mark.machine == "":
            return not self._exists(lock.pid)
        end = self.find_end(lock)
        return end is not None and (end.interrupted or now_seconds > end.at)

    def _is_same_host(self, lock: LockFile) -> bool:
        # Zero and negative numbers denote process groups.
        return lock.pid > 0 and lock.hostname == self.hostname and self.hostname not in ("", "localhost")

    def _find_mark(self) -> _Mark | None:
        process = self._find_process(self.pid)
        boot = self._read("sys/kernel/random/boot_id").strip()
        namespace = self._namespace("pid")
        if process is None or not boot or not namespace:
            return None
        if self._namespace("time") not in ("", _INITIAL_TIME_NAMESPACE):
            return None
        return _Mark(self._machine_code(), boot, namespace, str(process.started_ticks))

    def _has_ended(self, pid: int, mark: _Mark) -> bool:
        """Whether the process of a mark has ended, if the rest of the mark is ours."""
        process = self._find_process(pid)
        if process is None:
            return not self._exists(pid)
        return process.state in _DEAD_STATES or str(process.started_ticks) != mark.started_ticks

    def _machine_code(self) -> str:
        """The machine ID is meant to stay secret, a hash for this purpose is not; "" if there is no ID."""
        try:
            with open(self._machine_id_file, "rb") as file:
                identifier = file.read(100).strip()
        except OSError:
            return ""
        if identifier in (b"", b"uninitialized"):
            return ""
        return hashlib.sha256(b"pyrestic lock " + identifier).hexdigest()[:16]

    def _namespace(self, kind: str) -> str:
        try:
            return os.readlink(f"{self._proc}/self/ns/{kind}")
        except OSError:
            return ""

    def _booted_at(self) -> float | None:
        """The boot time of the machine, in seconds since 1970."""
        for line in self._read("stat").splitlines():
            if line.startswith("btime "):
                return float(line[6:])
        return None

    def _find_process(self, pid: int) -> _Process | None:
        text = self._read(f"{pid}/stat")
        # The name, in parentheses, may contain anything.
        fields = text.rpartition(")")[2].split()
        # proc_pid_stat(5): the state follows the name, the start time in clock ticks after boot is field 22.
        if len(fields) < 20 or not fields[19].isdigit():
            return None
        return _Process(fields[0], int(fields[19]))

    def _read(self, path: str) -> str:
        try:
            with open(f"{self._proc}/{path}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def _parse_mark(text: str) -> _Mark | None:
    parts = text.split("/")
    return _Mark(*parts) if len(parts) == 4 and all(parts[1:]) else None


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
