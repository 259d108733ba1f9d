"""This machine as locks see it: who runs here, and is the process that left a lock dead beyond doubt?

A lock names a host and a process number. Both can mislead: another machine may have the same host name, a container
counts its processes on its own, and numbers are used again. So our locks also carry a process mark that settles it: the
machine, its boot, the namespace of process numbers, and when the process started. Restic ignores that field.

A lock without a mark (restic's own) of a host with our name counts as left behind only if both hold:
- Every process is visible from here (not so within a container), or it has not been refreshed for 30 minutes.
- No process with this number, here or inside any container, can be its holder: each started after the lock was last
  written, and is not called like a backup program or Python. After a boot this is true of every process.
In every other case, and on systems without /proc, nothing is certain and the lock is respected. What cannot be told
is another machine with the same name on the same repository; restic's unlock takes it for this one just the same.
"""

import hashlib
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.format.lock import LockFile

STALE_SECONDS = 30 * 60.0
"""A lock that has not been refreshed for so long is given up by its holder (restic's number)."""

_SLACK_SECONDS = 5.0
"""The kernel tells boot and start times to about a second."""
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""The namespace that sees all processes has this fixed number (PROC_PID_INIT_INO in the kernel)."""
_HOLDER_NAMES = ("restic", "rustic", "python")
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
    pid: int
    name: str
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

    def is_certainly_dead(self, lock: LockFile, now_seconds: float) -> bool:
        """Whether the process that holds the lock ran on this machine and cannot be alive."""
        if not self._is_same_host(lock):
            return False
        written_at = lock.time_ns / 1e9
        forgotten = now_seconds - written_at > STALE_SECONDS
        mark = _parse_mark(lock.pyrestic_process)
        if mark is not None:
            return self._is_mark_dead(mark, lock.pid, forgotten=forgotten)
        booted_at = self._booted_at()
        if booted_at is None or not (self._sees_all() or forgotten):
            return False
        candidates = list(self._candidates(lock.pid))
        if not candidates and lock.pid != self.pid and self._exists(lock.pid):
            # There, but hidden from us.
            return False
        return not any(self._may_hold(process, written_at, booted_at) for process in candidates)

    def seems_dead(self, lock: LockFile, now_seconds: float) -> bool:
        """Whether the holder is dead as far as restic's unlock is concerned: same host name, and no such process."""
        if not self._is_same_host(lock):
            return False
        if _parse_mark(lock.pyrestic_process) is not None:
            return self.is_certainly_dead(lock, now_seconds)
        return not self._exists(lock.pid) or self.is_certainly_dead(lock, now_seconds)

    def _is_same_host(self, lock: LockFile) -> bool:
        # Zero and negative numbers stand for groups of processes.
        return lock.pid > 0 and lock.hostname == self.hostname and self.hostname not in ("", "localhost")

    def _find_mark(self) -> _Mark | None:
        process = self._find_process(self.pid)
        boot = self._read("sys/kernel/random/boot_id").strip()
        namespace = self._namespace()
        if process is None or not boot or not namespace:
            return None
        return _Mark(self._machine_code(), boot, namespace, str(process.started_ticks))

    def _is_mark_dead(self, mark: _Mark, pid: int, *, forgotten: bool) -> bool:
        own = self._find_mark()
        if own is None:
            return False
        if mark.boot != own.boot:
            # Another boot: dead if it was this machine, which only the machine's ID can tell.
            return mark.machine == own.machine != ""
        if mark.namespace != own.namespace:
            # In another container, whose processes we do not see; a live one would have refreshed its lock.
            return forgotten
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
        return hashlib.sha256(b"pyrestic lock " + identifier).hexdigest()[:16] if identifier else ""

    def _namespace(self) -> str:
        try:
            return os.readlink(f"{self._proc}/self/ns/pid")
        except OSError:
            return ""

    def _sees_all(self) -> bool:
        # Process 1 is hidden from us if processes of others are.
        return self._namespace() == _INITIAL_PID_NAMESPACE and bool(self._read("1/stat"))

    def _booted_at(self) -> float | None:
        """When the machine booted, in seconds since 1970."""
        for line in self._read("stat").splitlines():
            if line.startswith("btime "):
                return float(line[6:])
        return None

    def _candidates(self, pid: int) -> Iterator[_Process]:
        """Iterate the other processes that have this number, here or in the container they run in."""
        for name in os.listdir(self._proc):
            if not (name.isascii() and name.isdigit()) or int(name) == self.pid:
                continue
            if str(pid) in self._numbers(name) and (process := self._find_process(int(name))) is not None:
                yield process

    def _numbers(self, pid: str) -> list[str]:
        for line in self._read(f"{pid}/status").splitlines():
            if line.startswith("NSpid:"):
                return line.split()[1:]
        return [pid]

    def _may_hold(self, process: _Process, written_at: float, booted_at: float) -> bool:
        if process.state in _DEAD_STATES:
            return False
        started_at = booted_at + process.started_ticks / os.sysconf("SC_CLK_TCK")
        # A clock that was set while the holder ran makes times misleading, so its name counts as well.
        return started_at <= written_at + _SLACK_SECONDS or any(name in process.name for name in _HOLDER_NAMES)

    def _find_process(self, pid: int) -> _Process | None:
        text = self._read(f"{pid}/stat")
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        # proc_pid_stat(5): the state follows the name, the start time in clock ticks after boot is field 22.
        if len(fields) < 20 or not fields[19].isdigit():
            return None
        return _Process(pid, name.lower(), fields[0], int(fields[19]))

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
