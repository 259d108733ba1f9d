"""Simulated machines around one repository in memory: clocks of their own, processes that stop at every request.

The processes are real: pyrestic's operations, repository, fence and locks. So is the code that judges locks; only what
it reads of the machine (/proc, the ID, both clocks) is simulated. The other tool is modelled after the source of
restic 0.19 (internal/repository/lock.go and lock_file.go, cmd_unlock.go): its locks carry no mark, only `unlock`
removes them, and once taken, a lock is looked at again only after 22.5 minutes without a refresh.
"""

import contextlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping

from typing_extensions import Buffer

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import LockedError, NotFoundError, PyresticError
from pyrestic.format import gojson
from pyrestic.format import lock as lock_format
from pyrestic.format.lock import LockFile
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, parse_id
from pyrestic.operations.archive_snapshot import SnapshotDetails, archive_stream
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.forget import remove_snapshots
from pyrestic.operations.prune import plan_prune
from pyrestic.operations.prune_options import PruneOptions, UnusedLimit
from pyrestic.operations.salvage import salvage
from pyrestic.report import NullReporter
from pyrestic.repository.held_lock import LockTiming
from pyrestic.repository.lock_clock import LockClock
from pyrestic.repository.lock_files import list_lock_ids, load_lock, remove_stale
from pyrestic.repository.locks import Lock
from pyrestic.repository.machine import STALE_SECONDS, Machine
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshot
from tests.support.repositories import PASSWORD, make_repository

START = 1_700_000_000.0
HOUR = 3600.0
STRICT = PruneOptions(max_unused=UnusedLimit(None, 0))
_PATIENCE_SECONDS = 60.0


class Killed(BaseException):
    """Raised within a process that is killed, at its next request."""


class Place(MemoryBackend):
    """Where the repository is; it notes who changes what, and tells of locks that are removed."""

    def __init__(self) -> None:
        super().__init__(connections=2)
        self.changes: list[tuple[str, Handle]] = []
        self.on_lock_saved: Callable[[str], None] = lambda name: None
        self.on_lock_removed: Callable[[str], None] = lambda name: None

    def save(self, handle: Handle, data: Buffer) -> None:
        super().save(handle, data)
        self.changes.append(("save", handle))
        if handle.type is FileType.LOCK:
            self.on_lock_saved(handle.name)

    def remove(self, handle: Handle) -> None:
        super().remove(handle)
        self.changes.append(("remove", handle))
        if handle.type is FileType.LOCK:
            self.on_lock_removed(handle.name)

    def names(self, file_type: FileType) -> set[str]:
        return {info.name for info in self.list(file_type)}

    def files(self) -> dict[Handle, bytes]:
        return dict(self._files)

    def fill(self, files: Mapping[Handle, bytes]) -> None:
        self._files.update(files)


class World:
    """The true time, the repository, the machines, and which snapshots were reported as saved."""

    def __init__(self, *, version: int = 2, files: Mapping[Handle, bytes] | None = None) -> None:
        """Make a new repository, or take the files of another."""
        self.now = START
        self.place = Place()
        self.place.on_lock_saved = self._lock_saved
        self.place.on_lock_removed = self._lock_removed
        self.lock_times: dict[str, float] = {}
        self.unlocking = False
        self.stolen: list[str] = []
        """Young locks of commands that run, removed without unlock while all clocks were right."""
        if files is None:
            make_repository(self.place, version=version)
        else:
            self.place.fill(files)
        self.machines: list[SimMachine] = []
        self.processes: list[Process] = []
        self.reported: dict[ID, str] = {}
        self.restic_locks: dict[str, Process] = {}
        self.start = 0
        """How many changes there had been when a test began."""
        self.boots = 0
        self.pids = 1000
        self._opened: tuple[int, Repository] | None = None
        self.controller = threading.get_ident()

    def add_machine(self, hostname: str, identifier: str) -> "SimMachine":
        machine = SimMachine(self, hostname, identifier)
        self.machines.append(machine)
        return machine

    def running(self) -> "list[Process]":
        return [process for process in self.processes if process.runs]

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever is awake refreshes its lock meanwhile, as its thread does."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 240.0, end)
            for process in self.running():
                if process.machine.runs:
                    process.tick()

    def _lock_saved(self, name: str) -> None:
        self.lock_times[name] = self.now

    def _lock_removed(self, name: str) -> None:
        young = self.now - self.lock_times.pop(name, 0.0) < STALE_SECONDS
        right = all(machine.offset == 0 for machine in self.machines)
        owners = [each for each in self.running() if each.current_lock() == name and each.removing != name]
        if owners and young and right and not self.unlocking:
            self.stolen.append(name)
        process = self.restic_locks.pop(name, None)
        if process is not None:
            # Restic does not notice, and may lose what it saves: that is its own matter, so it goes no further.
            process.doomed = True

    def is_whole(self, identifier: ID) -> bool:
        """Whether every blob of a snapshot is in a pack that exists."""
        return self._is_whole(self._open(), identifier)

    def lost(self) -> list[ID]:
        """Return the snapshots that were reported as saved, not forgotten, and do not restore."""
        repository = self._open()
        return [identifier for identifier in self.reported if not self._is_whole(repository, identifier)]

    def missing_packs(self) -> set[str]:
        """Return the packs that an index names and that are not there."""
        return {pack.hex() for pack in self._open().index.packs()} - self.place.names(FileType.PACK)

    def _open(self) -> Repository:
        """Return the repository as it is now, its index loaded."""
        if self._opened is None or self._opened[0] != len(self.place.changes):
            repository = Repository.open(self.place, PASSWORD)
            repository.load_index(NullReporter())
            self._opened = len(self.place.changes), repository
        return self._opened[1]

    def _is_whole(self, repository: Repository, identifier: ID) -> bool:
        packs = self.place.names(FileType.PACK)
        try:
            todo = [BlobHandle(BlobType.TREE, load_snapshot(repository, identifier).tree_id)]
            while todo:
                handle = todo.pop()
                if not any(found.pack.hex() in packs for found in repository.index.find_all(handle)):
                    return False
                for node in repository.load_tree(handle.id) if handle.type is BlobType.TREE else ():
                    todo += [BlobHandle(BlobType.DATA, parse_id(one)) for one in node.content or ()]
                    todo += [BlobHandle(BlobType.TREE, parse_id(node.subtree))] if node.subtree else []
        except PyresticError:
            return False
        return True

    def end(self) -> None:
        """Kill what runs."""
        for process in self.running():
            process.kill()


class SimMachine:
    """A machine that boots, sleeps, is stopped by its hypervisor, and whose clock can be set."""

    def __init__(self, world: World, hostname: str, identifier: str) -> None:
        self.world = world
        self.hostname = hostname
        self.identifier = identifier
        self.offset = 0.0
        self.alive: set[int] = set()
        self.boot()

    @property
    def runs(self) -> bool:
        return not self.asleep and self.stopped_at is None

    def boot(self) -> None:
        for process in self.world.running():
            if process.machine is self:
                process.kill()
        self.world.boots += 1
        self.boot_id = f"boot-{self.world.boots}"
        self.asleep = False
        self.stopped_at: float | None = None
        self.lost_seconds = 0.0
        self.booted_at = self.world.now
        self.alive.clear()

    def sleep(self) -> None:
        self.asleep = True

    def wake(self) -> None:
        """Go on, after a sleep or a stop."""
        self.asleep = False
        if self.stopped_at is not None:
            gap = self.world.now - self.stopped_at
            self.lost_seconds += gap
            self.offset -= gap
            self.stopped_at = None
        for process in self.world.running():
            process.notify()

    def stop(self) -> None:
        """Stop the virtual machine: neither clock goes on."""
        if self.stopped_at is None:
            self.stopped_at = self.world.now

    def wall(self) -> float:
        return (self.world.now if self.stopped_at is None else self.stopped_at) + self.offset

    def elapsed(self) -> float:
        now = self.world.now if self.stopped_at is None else self.stopped_at
        return now - self.booted_at - self.lost_seconds

    def clock(self) -> LockClock:
        def sleep(seconds: float) -> None:
            self.world.now += seconds

        return LockClock(wall=self.wall, elapsed=self.elapsed, sleep=sleep)


class SeenMachine(Machine):
    """A simulated machine as one of its processes sees it."""

    def __init__(self, sim: SimMachine, pid: int) -> None:
        super().__init__(hostname=sim.hostname, pid=pid, exists=lambda number: number in sim.alive)
        self._sim = sim

    def _read(self, path: str) -> str:
        if path == "sys/kernel/random/boot_id":
            return self._sim.boot_id
        if path == "stat":
            return f"btime {int(self._sim.wall() - self._sim.elapsed())}\n"
        pid = int(path.partition("/")[0])
        return f"{pid} (python3) S {' '.join(['0'] * 18)} {pid * 100} 0" if pid in self._sim.alive else ""

    def _namespace(self, kind: str) -> str:
        return "pid:[1]" if kind == "pid" else ""

    def _machine_code(self) -> str:
        return self._sim.identifier


class Gate:
    """The backend of a process, which stops before each request until it is let on."""

    def __init__(self, process: "Process", inner: Backend) -> None:
        self._process = process
        self._inner = inner
        self.connections = inner.connections

    def create(self) -> None:
        """Nothing needs to be prepared."""

    def save(self, handle: Handle, data: Buffer) -> None:
        with self._process.passing(handle.type):
            self._inner.save(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        with self._process.passing(handle.type):
            return self._inner.load(handle, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        with self._process.passing(handle.type):
            return self._inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        with self._process.passing(file_type):
            found = list(self._inner.list(file_type))
        return iter(found)

    def remove(self, handle: Handle) -> None:
        with self._process.passing(handle.type):
            self._process.removing = handle.name
            try:
                self._inner.remove(handle)
            finally:
                self._process.removing = ""

    def close(self) -> None:
        self._inner.close()


class Process:
    """A command that runs on a machine, one request for each step.

    With `in_flight` it stops when the lock has been asked already, at the very moment a request leaves.
    """

    def __init__(
        self, machine: SimMachine, work: "Callable[[Process, Repository], ID | None]", *, in_flight: bool = False
    ) -> None:
        self.machine = machine
        self._in_flight = in_flight
        self._opened = False
        self.world = machine.world
        self.world.pids += 1
        self.pid = self.world.pids
        self.error: BaseException | None = None
        self.saved: ID | None = None
        self.doomed = False
        self.removing = ""
        """The file that it is removing: a process may remove its own lock."""
        self.refresh: Callable[[], None] = lambda: None
        """What the process does about its lock while time passes."""
        self.holds_lock: Callable[[], bool] = lambda: False
        self.current_lock: Callable[[], str] = lambda: ""
        self._killed = False
        self._finished = False
        self._waiting = self._permits = self._inside = 0
        self._changed = threading.Condition()
        self._work = work
        machine.alive.add(self.pid)
        self.world.processes.append(self)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._settle()

    @property
    def runs(self) -> bool:
        return not self._finished

    def step(self, count: int = 1) -> None:
        """Let so many requests pass, while the machine runs."""
        for _ in range(count):
            if self._finished or not self.machine.runs:
                return
            if self.doomed:
                self.kill()
                return
            with self._changed:
                self._permits += 1
                self._changed.notify_all()
            self._settle()

    def finish(self) -> None:
        """Run to the end, while the machine runs."""
        while self.runs and self.machine.runs:
            self.step()

    def kill(self) -> None:
        """End it as kill -9 does, or a power cut."""
        self._killed = True
        self.notify()
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        self.machine.alive.discard(self.pid)

    def notify(self) -> None:
        """Let its threads see what has become of it or its machine."""
        with self._changed:
            self._changed.notify_all()

    def tick(self) -> None:
        """Refresh the lock if that is due."""
        if self.holds_lock() and not self._killed:
            self.refresh()

    @contextlib.contextmanager
    def passing(self, file_type: FileType) -> Iterator[None]:
        """Wait to be let on before a request; those about a lock that is held are made by its own thread as well."""
        by_itself = file_type is FileType.LOCK and self.holds_lock()
        if not self._opened or threading.get_ident() == self.world.controller or by_itself:
            with self._changed:
                self._changed.wait_for(lambda: self.machine.runs or self._killed, _PATIENCE_SECONDS)
            if self._killed:
                raise Killed
            yield
            return
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._permits > 0 or self._killed, _PATIENCE_SECONDS)
            self._waiting -= 1
            if self._killed or self._permits == 0:
                raise Killed
            self._permits -= 1
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _settle(self) -> None:
        """Wait until the process stands before a request again, or has ended."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._finished or (self._permits == 0 and self._inside == 0 and self._waiting > 0),
                _PATIENCE_SECONDS,
            )
        assert arrived, "the process hangs"

    def _run(self) -> None:
        try:
            place = Gate(self, self.world.place) if self._in_flight else self.world.place
            repository = Repository.open(
                RetryBackend(place),
                PASSWORD,
                wrap=lambda backend, _: backend if self._in_flight else Gate(self, backend),
            )
            self._opened = True
            self.saved = self._work(self, repository)
            if self.saved is not None and not self._killed:
                self.world.reported[self.saved] = repr(self)
        except BaseException as error:
            self.error = error
        finally:
            if not self._killed:
                self.machine.alive.discard(self.pid)
            with self._changed:
                self._finished = True
                self._changed.notify_all()


class ResticLock:
    """A lock as restic 0.19 takes, refreshes and drops it."""

    def __init__(self, process: Process, repository: Repository, *, exclusive: bool) -> None:
        self._process = process
        self._repository = repository
        self._exclusive = exclusive
        self._own: ID | None = None
        self._refreshed = 0.0

    def __enter__(self) -> "ResticLock":
        self._check_others()
        self._own = self._save()
        self._process.world.now += 0.2
        try:
            self._check_others()
        except LockedError:
            self._remove(self._own)
            raise
        self._process.refresh = self._refresh
        self._process.current_lock = lambda: self._own.hex() if self._own is not None else ""
        self._process.holds_lock = lambda: True
        return self

    def __exit__(self, *_: object) -> None:
        self._process.holds_lock = lambda: False
        own, self._own = self._own, None
        if own is not None:
            self._remove(own)

    def ensure_held(self) -> None:
        """What the thread that looks at the clock each second does."""
        self._refresh()

    def _check_others(self) -> None:
        for identifier in list_lock_ids(self._repository):
            if identifier == self._own:
                continue
            try:
                other = load_lock(self._repository, identifier)
            except NotFoundError:
                continue
            if self._exclusive or other.exclusive:
                raise LockedError("repository is already locked")

    def _save(self) -> ID:
        self._refreshed = self._process.machine.wall()
        lock = LockFile(
            time=gojson.format_time(int(self._refreshed * 1e9), 0),
            exclusive=self._exclusive,
            hostname=self._process.machine.hostname,
            pid=self._process.pid,
        )
        identifier = self._repository.save_unpacked(FileType.LOCK, lock_format.encode(lock))
        self._process.world.restic_locks[identifier.hex()] = self._process
        return identifier

    def _remove(self, identifier: ID) -> None:
        self._process.world.restic_locks.pop(identifier.hex(), None)
        with contextlib.suppress(NotFoundError):
            self._repository.remove(FileType.LOCK, identifier)

    def _refresh(self) -> None:
        age = self._process.machine.wall() - self._refreshed
        if age < 5 * 60 or self._own is None:
            return
        if age >= 22.5 * 60 and self._own not in set(list_lock_ids(self._repository)):
            self._process.doomed = True
            return
        old, self._own = self._own, self._save()
        self._remove(old)


def take_lock(process: Process, repository: Repository, *, exclusive: bool) -> Lock:
    """Return a lock of pyrestic as a process on a simulated machine takes it."""
    machine = process.machine
    lock = Lock(
        repository,
        NullReporter(),
        exclusive=exclusive,
        machine=SeenMachine(machine, process.pid),
        # The thread sleeps; refresh_if_due is called as time passes.
        timing=LockTiming(poll=1000.0),
        clock=machine.clock(),
    )
    process.refresh = lock.held.refresh_if_due
    process.current_lock = lambda: b"".join(lock.held._own[-1:]).hex()
    process.holds_lock = lambda: lock.held.thread is not None
    return lock


def save_content(repository: Repository, content: bytes, time_ns: int) -> ID:
    """Save a snapshot of a file with this content."""
    stream = io.BytesIO(content)
    result = archive_stream(
        repository,
        [b"folder", b"file"],
        stream.readinto,
        SnapshotDetails(time_ns=time_ns, targets=["/folder/file"], hostname="host"),
        NullReporter(),
        BackupProgress("backup", "B"),
    )
    assert result.id is not None
    return result.id


Command = Callable[[Process, Repository], ID | None]


def backup_command(content: bytes, *, restic: bool = False) -> Command:
    def work(process: Process, repository: Repository) -> ID:
        with _locked(process, repository, exclusive=False, restic=restic) as lock:
            repository.load_index(NullReporter())
            if isinstance(lock, Lock) and lock.met_interrupted:
                salvage(repository, NullReporter())
            saved = save_content(repository, content, int(process.world.now * 1e9))
        repository.close()
        return saved

    return work


def prune_command(*, restic: bool = False) -> Command:
    def work(process: Process, repository: Repository) -> None:
        with _locked(process, repository, exclusive=True, restic=restic) as lock:
            plan_prune(repository, STRICT, NullReporter()).execute(NullReporter(), lock.ensure_held)
        repository.close()

    return work


def forget_command(snapshots: set[ID], *, restic: bool = False) -> Command:
    def work(process: Process, repository: Repository) -> None:
        with _locked(process, repository, exclusive=True, restic=restic) as lock:
            for identifier in snapshots:
                process.world.reported.pop(identifier, None)
            remove_snapshots(repository, snapshots, NullReporter(), lock.ensure_held)
        repository.close()

    return work


def unlock_command(*, restic: bool = False, everything: bool = False) -> Command:
    def work(process: Process, repository: Repository) -> None:
        machine = process.machine
        process.world.unlocking = True
        if everything:
            for info in list(repository.list_files(FileType.LOCK)):
                repository.remove(FileType.LOCK, bytes.fromhex(info.name))
        elif not restic:
            remove_stale(repository, machine=SeenMachine(machine, process.pid), clock=machine.wall)
        else:
            for identifier in list(list_lock_ids(repository)):
                lock = load_lock(repository, identifier)
                here = lock.hostname == machine.hostname and lock.pid not in machine.alive
                if machine.wall() - lock.time_ns / 1e9 > STALE_SECONDS or here:
                    repository.remove(FileType.LOCK, identifier)
        process.world.unlocking = False
        repository.close()

    return work


def _locked(process: Process, repository: Repository, *, exclusive: bool, restic: bool) -> "Lock | ResticLock":
    if restic:
        return ResticLock(process, repository, exclusive=exclusive)
    return take_lock(process, repository, exclusive=exclusive)
