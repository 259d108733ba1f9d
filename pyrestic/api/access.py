"""Shared by all operations of an opened repository: its lock, and the repository as one operation sees it."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pyrestic.api.content import Content
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cancel import make_cancellable
from pyrestic.backend.wrap.dryrun import DryRunBackend
from pyrestic.errors import CancelledError, PyresticError, UsageError
from pyrestic.report import Reporter
from pyrestic.repository.anew import begin_anew
from pyrestic.repository.locks import Lock
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot, find_snapshot, load_all_snapshots

SnapshotName: TypeAlias = OpenSnapshot | str
"""A snapshot, or a name for `OpenRepository.snapshot`: an ID or a prefix, `latest`, `latest~3` …"""


class Need(Enum):
    """The lock of an operation: to read, to read exclusively, to add, or to change exclusively."""

    READ = "read"
    READ_ALONE = "read alone"
    APPEND = "append"
    EXCLUSIVE = "exclusive"


@dataclass(frozen=True, slots=True)
class Work:
    """The repository for one operation, with its own index and saver; it ends when the operation is cancelled."""

    repository: Repository
    report: Reporter
    lock: Lock | None
    ensure_wanted: Callable[[], None]
    """Raises CancelledError after cancellation."""

    @property
    def locked(self) -> bool:
        """A lock is held."""
        return self.lock is not None

    def ensure_locked(self) -> None:
        """Raise LockedError if the lock was lost; call it before anything becomes visible or is removed."""
        if self.lock is not None:
            self.lock.ensure_held()

    def select(self, snapshots: Sequence[SnapshotName] | None) -> list[StoredSnapshot]:
        """Return the named snapshots as stored now, or all, oldest first.

        Raises UsageError for an unknown name, DamageError or BackendError if one cannot be read.
        """
        if snapshots is None:
            every = load_all_snapshots(self.repository, self.report, what="which snapshots are meant")
            return sorted(every, key=lambda stored: (stored.snapshot.time_ns, stored.id))
        if isinstance(snapshots, str):
            raise UsageError("snapshots are given as a list")
        found = [find_whole(self, each) for each in snapshots]
        return list({stored.id: stored for stored in found}.values())


def find_named(work: Work, snapshot: SnapshotName) -> tuple[StoredSnapshot, str]:
    """Return a snapshot as stored now, and the folder in its name, or ""; raise PyresticError."""
    name = snapshot if isinstance(snapshot, str) else snapshot.id
    return find_snapshot(work.repository, name, SnapshotFilter(), work.report)


def find_whole(work: Work, snapshot: SnapshotName) -> StoredSnapshot:
    """Do the same for a name without a folder; raise UsageError for one with a folder."""
    stored, folder = find_named(work, snapshot)
    if folder:
        raise UsageError(f"{snapshot!r} names a folder in a snapshot, not a snapshot")
    return stored


class RepositoryAccess:
    """An opened repository, locked if its opener requested it; the base of OpenRepository."""

    def __init__(
        self,
        repository: Repository,
        report: Reporter,
        *,
        environment: Mapping[str, str],
        cache_folder: str,
        lock: bool,
        retry_lock_seconds: float,
    ) -> None:
        self._report = report
        self._environment = environment
        self._cache_folder = cache_folder
        self._retry_lock_seconds = retry_lock_seconds
        self._content = Content(repository, report, environment)
        self._writing = threading.RLock()
        self._is_writing = False
        self._is_past = bool(getattr(repository.backend, "read_only", False))
        self._lock: Lock | None = None
        self._has_lock = lock
        if lock:
            self._lock = self._make_lock(exclusive=False)
            self._lock.acquire()

    @property
    def id(self) -> str:
        """The ID of the repository, 64 hex digits."""
        return self._repository.config.id

    @property
    def version(self) -> int:
        """The version of the repository format, 1 or 2."""
        return self._repository.config.version

    @property
    def _repository(self) -> Repository:
        return self._content.repository

    def close(self) -> None:
        """End all threads and connections and release the lock; streams of its files can no longer be read."""
        self._content.close()
        held, self._lock = self._lock, None
        try:
            if held is not None:
                held.release()
        finally:
            self._repository.close()

    def _make_lock(self, *, exclusive: bool) -> Lock:
        return Lock(self._repository, self._report, exclusive=exclusive, retry_seconds=self._retry_lock_seconds)

    @contextlib.contextmanager
    def _working(
        self,
        need: Need,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
        *,
        load_index: bool = False,
        past_cache: bool = False,
        dry_run: bool = False,
    ) -> Iterator[Work]:
        """Hold the lock of an operation during a with block; raise CancelledError if it was cancelled.

        With `load_index` the index is loaded, only from index files if something may be removed. `past_cache` bypasses
        the cache. A `dry_run` changes nothing.
        """
        self._content.check_open()
        reporter = self._report if report is None else report
        backend = self._repository.backend
        if past_cache and isinstance(backend, CacheBackend):
            backend = backend.place
        if dry_run:
            backend = DryRunBackend(backend)
        gate = make_cancellable(backend, cancel or threading.Event())
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(self._content.unless_closed())
                if need is not Need.READ:
                    stack.enter_context(self._alone())
                if cancel is not None:
                    stack.enter_context(gate.watched())
                lock = stack.enter_context(self._locked(need))
                shared = need is Need.READ and self._lock is not None
                known = self._content.load_index() if load_index and shared else self._repository
                repository = begin_anew(known, gate, keep_index=load_index and shared)
                stack.callback(repository.end_saving)
                if load_index and not shared:
                    repository.load_index(reporter, anew=need is Need.EXCLUSIVE)
                gate.ensure_wanted()
                yield Work(repository, reporter, lock, gate.ensure_wanted)
        except PyresticError as error:
            if gate.refused and not isinstance(error, CancelledError):
                raise CancelledError(f"the program asked for the end: {error}") from error
            raise
        if gate.refused:
            # The rejected request became part of a result, as an unreadable file.
            gate.ensure_wanted()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Make other writing threads wait; raise UsageError for calls from a stream or reporter of the writing call."""
        with self._writing:
            if self._is_writing:
                raise UsageError(
                    "another call that writes to the repository is not finished, and this one comes from within it"
                )
            self._is_writing = True
            try:
                yield
            finally:
                self._is_writing = False

    @contextlib.contextmanager
    def _locked(self, need: Need) -> Iterator[Lock | None]:
        if self._is_past and need in (Need.APPEND, Need.EXCLUSIVE):
            raise UsageError("a repository of the past cannot be changed", hint="Open it without b2.as-of for that.")
        if self._is_past or (need in (Need.READ, Need.READ_ALONE) and not self._has_lock):
            yield None
        elif need in (Need.READ, Need.APPEND) and (held := self._lock) is not None:
            yield held
            held.confirm()
        elif need in (Need.READ, Need.APPEND):
            with self._make_lock(exclusive=False) as lock:
                yield lock
        else:
            with self._lock_given_back(), self._make_lock(exclusive=True) as lock:
                yield lock

    @contextlib.contextmanager
    def _lock_given_back(self) -> Iterator[None]:
        """Release our lock during a with block, because it would block the one that is needed.

        If it cannot be taken again, the repository is closed.
        """
        held, self._lock = self._lock, None
        try:
            if held is not None:
                held.release()
            try:
                yield
            finally:
                # Packs may have been removed meanwhile, by others or by us.
                self._content.renew()
                if held is not None:
                    lock = self._make_lock(exclusive=False)
                    lock.acquire()
                    self._lock = lock
        finally:
            if held is not None and self._lock is None:
                self.close()
