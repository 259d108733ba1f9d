"""This machine as locks see it: who runs here, and has the process that left a lock ended beyond doubt?

A lock names a host and a process number. Both can mislead: another machine may have the same host name, a container
counts its processes on its own, and numbers are used again. So our locks also carry a process mark that settles it: the
machine, its boot, the namespace of process numbers, and when the process started. Restic ignores that field.

Without `unlock` a lock ends in two cases only, and one without a mark (restic's own) never:
- All of the mark is ours, but there is no such process any more: at once.
- The machine's ID is ours, but either the boot is another one and the lock is older than ours, or the process ran in
  another container: when the lock has not been refreshed for 30 minutes. Nothing tells this disk, an earlier boot, from
  a clone that runs now with the same ID; a clone that lives refreshes its lock.
In every other case, and on systems without /proc, nothing is certain and the lock is respected. A virtual machine that
runs twice from one picture of its memory has one mark in both; nothing visible tells these apart.
"""

import hashlib
import math
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.format.lock import LockFile

STALE_SECONDS = 30 * 60.0
"""A lock that has not been refreshed for so long is given up by its holder (restic's number)."""

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
        # It exists and belongs to somebody else, or nobody knows.
        return True
    return True


class End(NamedTuple):
    """When a lock ends without `unlock`, in seconds since 1970: infinitely long ago if its process has certainly ended.

    `interrupted`: as far as can be told here, its process did not end by itself.
    """

    at: float
    interrupted: bool


class _Mark(NamedTuple):
    """What tells one process from all others, on all machines, for all times."""

    machine: str
    boot: str
    namespace: str
    started_ticks: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclass(frozen=True, slots=True)
class _Process:
    state: str
    started_ticks: int


class Machine:
    """The machine and process this runs on. The arguments are for tests, which bring a machine of their own."""

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
        """Return the lock that this process writes; `time` is as gojson.format_time writes it."""
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
                # Some other machine without an ID, or written while this boot runs, so elsewhere.
                return None
            return End(written_at + STALE_SECONDS, True)
        if mark.namespace != own.namespace:
            # In another container, whose processes we do not see; a live one refreshes its lock.
            return End(written_at + STALE_SECONDS, False)
        return End(-math.inf, True) if self._has_ended(lock.pid, mark) else None

    def seems_dead(self, lock: LockFile, now_seconds: float) -> bool:
        """Whether `unlock` may remove the lock: of ours as far as can be told, of others by restic's rule, which is the
        same host name, and no such process.
        """
        if not self._is_same_host(lock):
            return False
        mark = _parse_mark(lock.pyrestic_process)
        if mark is None or mark.machine == "":
            return not self._exists(lock.pid)
        end = self.find_end(lock)
        return end is not None and (end.interrupted or now_seconds > end.at)

    def _is_same_host(self, lock: LockFile) -> bool:
        # Zero and negative numbers stand for groups of processes.
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
        """Whether the process of a mark that is ours but for it has ended."""
        process = self._find_process(pid)
        if process is None:
            return not self._exists(pid)
        return process.state in _DEAD_STATES or str(process.started_ticks) != mark.started_ticks

    def _machine_code(self) -> str:
        """The machine's ID is meant to stay secret, a hash for this one purpose is not; "" if there is no ID."""
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
        """When the machine booted, in seconds since 1970."""
        for line in self._read("stat").splitlines():
            if line.startswith("btime "):
                return float(line[6:])
        return None

    def _find_process(self, pid: int) -> _Process | None:
        text = self._read(f"{pid}/stat")
        # The name, in parentheses, may hold anything.
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
