"""Shared by all operations of an opened repository: its lock, and the repository as one operation sees it."""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pyrestic.api.cancelling import cancellable
from pyrestic.api.content import Content
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.dryrun import DryRunBackend
from pyrestic.errors import UsageError
from pyrestic.report import Reporter
from pyrestic.repository.anew import begin_anew
from pyrestic.repository.locking import LockMode, locked
from pyrestic.repository.locks import Lock
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import (
    SnapshotFilter,
    StoredSnapshot,
    find_snapshot,
    load_all_snapshots,
    oldest_first,
)

SnapshotName: TypeAlias = OpenSnapshot | str
"""A snapshot, or a name for `OpenRepository.snapshot`: an ID or a prefix, `latest`, `latest~3` …"""


@dataclass(frozen=True, slots=True)
class Work:
    """The repository for one operation, with its own index and saver; it ends when the operation is cancelled."""

    repository: Repository
    report: Reporter
    lock: Lock | None
    ensure_wanted: Callable[[], None]
    """Raises CancelledError after cancellation, UsageError once the repository is closed."""

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
            return oldest_first(every)
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
        past: bool,
    ) -> None:
        self._report = report
        self._environment = environment
        self._cache_folder = cache_folder
        self._retry_lock_seconds = retry_lock_seconds
        self._content = Content(repository, report, environment)
        self._writing = threading.RLock()
        self._is_writing = False
        self._is_past = past
        self._lock_readers = lock
        self._lock: Lock | None = None
        self._unused: weakref.finalize[[], Content] | None = None

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
        try:
            self._release_lock()
        finally:
            self._repository.close()

    def _take_lock(self) -> None:
        """Take the lock of a reader, if there is to be one.

        It is released at the latest when neither the repository nor anything of it is in use anymore.
        """
        if self._settle(LockMode.READ) is LockMode.NONE:
            return
        lock = Lock(self._repository, self._report, exclusive=False, retry_seconds=self._retry_lock_seconds)
        self._unused = weakref.finalize(self._content, lock.held.release_forgotten)
        # The lock itself knows when the process ends.
        self._unused.atexit = False
        try:
            lock.acquire()
            self._lock = lock
        except BaseException:
            lock.held.release(confirm=False)
            raise

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._unused is not None:
            self._unused.detach()

    def _settle(self, mode: LockMode) -> LockMode:
        return mode.settle(past=self._is_past, lock_readers=self._lock_readers)

    @contextlib.contextmanager
    def _working(
        self,
        mode: LockMode,
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
        with (
            self._content.unless_closed(),
            contextlib.nullcontext() if mode is LockMode.READ else self._alone(),
            cancellable(backend, cancel) as gate,
            self._locked(mode) as lock,
            contextlib.ExitStack() as stack,
        ):
            shared = load_index and self._lock is not None and mode in (LockMode.READ, LockMode.APPEND)
            if mode is LockMode.APPEND and not shared:
                # Without a lock, others may have removed packs.
                self._content.renew()
            known = self._content.load_index() if shared else self._repository
            repository = begin_anew(known, gate, keep_index=shared)
            stack.callback(repository.end_saving)
            if shared and mode is LockMode.APPEND:
                stack.enter_context(self._content.extended_by(repository))
            if load_index and not shared:
                repository.load_index(reporter, anew=mode is LockMode.EXCLUSIVE)

            def ensure_wanted() -> None:
                self._content.check_open()
                gate.ensure_wanted()

            ensure_wanted()
            yield Work(repository, reporter, lock, ensure_wanted)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Make other writing threads wait; raise UsageError for calls from a stream or reporter of the writing call."""
        with self._writing:
            if self._is_writing:
                raise UsageError(
                    "another call that writes to the repository is running; this call comes from within it"
                )
            try:
                self._is_writing = True
                yield
            finally:
                self._is_writing = False

    @contextlib.contextmanager
    def _locked(self, mode: LockMode) -> Iterator[Lock | None]:
        """Hold the lock of an operation during a with block: the own one, if that is enough."""
        mode = self._settle(mode)
        held = self._lock
        if held is not None and mode in (LockMode.READ, LockMode.APPEND):
            yield held
            held.confirm()
            return
        with self._lock_given_back() if mode.exclusive else contextlib.nullcontext():
            lock = locked(self._repository, self._report, mode, retry_seconds=self._retry_lock_seconds)
            with lock as taken:
                yield taken

    @contextlib.contextmanager
    def _lock_given_back(self) -> Iterator[None]:
        """Release our lock during a with block, because it would block the one that is needed.

        If it cannot be taken again, the repository is closed.
        """
        had_lock = self._lock is not None
        usable = not had_lock
        try:
            self._release_lock()
            try:
                yield
            finally:
                # Packs may have been removed meanwhile, by others or by us.
                self._content.renew()
                if had_lock:
                    self._take_lock()
                usable = True
        finally:
            if not usable:
                self.close()
