"""Locks: files in the repository that say who uses it, and whether alone (restic design document, "Locks").

Many processes may hold a shared lock at once; an exclusive one excludes all others. Who wants a lock looks for others,
writes its own, waits a moment and looks again, so that of two who come at the same time at least one sees the other.
A lock is refreshed every five minutes by a new file; 22.5 minutes without a refresh mean that it is lost, well before
others may call it stale at 30 minutes.

Only `unlock` removes locks, with one exception: a lock whose process ran on this machine and is dead beyond doubt (see
machine.py) is removed by whoever meets it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from pyrestic.errors import BackendError, DamageError, LockedError, NotFoundError, PyresticError
from pyrestic.format import gojson
from pyrestic.format import lock as lock_format
from pyrestic.format.lock import LockFile
from pyrestic.handle import FileType
from pyrestic.ids import ID, short
from pyrestic.report import Reporter
from pyrestic.repository.lockfiles import (
    UnpackedStore,
    describe_lock,
    format_duration,
    list_lock_ids,
    load_lock,
    show_time,
)
from pyrestic.repository.machine import Machine

_INVALID_HINT = (
    "If no other process uses the repository, the unlock command with --remove-all removes locks that cannot be read."
)


@dataclass(frozen=True, slots=True)
class LockTiming:
    """How long everything takes, in seconds; these are restic's numbers, tests take shorter ones."""

    second_look: float = 0.2
    refresh: float = 5 * 60.0
    give_up: float = 22.5 * 60.0
    poll: float = 1.0
    first_retry: float = 5.0
    longest_retry: float = 60.0
    unreadable_retry: float = 5.0
    unreadable_tries: int = 4
    release: float = 60.0


def _ignore_loss(error: LockedError) -> None:
    """The holder asks ensure_held instead."""


class Lock:
    """A lock on a repository, held within `with Lock(...)` or between acquire and release.

    It waits up to `retry_seconds` for others. While it is held, a thread refreshes it; if that fails for too long,
    `on_lost` is called once, on that thread, and ensure_held raises from then on. Who deletes or makes something
    visible calls ensure_held before. `clock` returns seconds since 1970: a monotonic clock may stand still while the
    machine sleeps, and the locks of sleepers get stale. `meanwhile` is done between the two looks for others, each time
    the lock is tried for, or after the second one if that is not safe: it may read, and what it read counts once the
    lock is taken. `prepare` is done before it, between the two looks in any case: it does not read the repository.
    """

    def __init__(
        self,
        store: UnpackedStore,
        report: Reporter,
        *,
        exclusive: bool,
        retry_seconds: float = 0.0,
        on_lost: Callable[[LockedError], None] = _ignore_loss,
        meanwhile: Callable[[], None] | None = None,
        prepare: Callable[[], None] | None = None,
        machine: Machine | None = None,
        timing: LockTiming | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._store = store
        self._report = report
        self._exclusive = exclusive
        self._retry_seconds = retry_seconds
        self._on_lost = on_lost
        self._meanwhile = meanwhile
        self._prepare = prepare
        self._machine = machine or Machine()
        self._timing = timing or LockTiming()
        self._clock = clock
        self._sleep = sleep
        self.removed_dead = 0
        """Locks of killed processes that were in the way: such a run may have left packs without an index."""
        self._own: list[ID] = []
        """Our files: the current one is the last, earlier ones could not be removed yet."""
        self._refreshed_at = 0.0
        self._tried_at = 0.0
        self._lost: LockedError | None = None
        self._mutex = threading.Lock()
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def id(self) -> ID:
        """The ID of the current lock file."""
        return self._own[-1]

    def acquire(self) -> None:
        """Take the lock. Raises LockedError, DamageError if another lock cannot be read, BackendError."""
        deadline = self._clock() + self._retry_seconds
        delay = self._timing.first_retry
        waited = False
        while True:
            try:
                self._try_to_acquire()
                break
            except LockedError:
                remaining = deadline - self._clock()
                if remaining <= 0:
                    raise
            if not waited:
                waited = True
                self._report.note(
                    f"repo already locked, waiting up to {format_duration(self._retry_seconds)} for the lock"
                )
            self._sleep(min(delay, remaining))
            delay = min(delay * 2, self._timing.longest_retry)
        self._thread = threading.Thread(target=self._keep_fresh, name="lock refresh", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Remove the lock; what cannot be removed is noted, not raised, as the work is done. Fine if not held."""
        self._released.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            # A refresh that hangs must not keep the program; its file is removed by the thread when it comes back.
            self._thread.join(self._timing.release)
        own, self._own = self._own, []
        for identifier in own:
            self._remove_own(identifier)

    def ensure_held(self) -> None:
        """Raise LockedError if the lock was lost; to be called before a step that needs its protection.

        After a long sleep of the machine this first makes sure that the lock is still there, and refreshes it.
        """
        if self._lost is None and not self._is_overdue():
            return
        with self._mutex:
            if self._lost is None and self._is_overdue():
                self._refresh_overdue()
        if self._lost is not None:
            raise self._lost

    def refresh(self) -> None:
        """Write a new file and remove the old one; raise BackendError if the new one could not be written."""
        with self._mutex:
            self._replace()

    def _try_to_acquire(self) -> None:
        known: set[ID] = set()
        looked, asked = time.monotonic(), self._clock()
        self._look_for_others(known)
        started = self._clock()
        self._own = [self._save()]
        # Who came after our first look takes its own second one no sooner than this time after it. Was our lock there
        # by then, it gave way, and nothing that is read from now on changes. Else it may end its work, and take its
        # lock away, before our second look: what was read before that could be outdated.
        passed = max(time.monotonic() - looked, self._clock() - asked)
        seen_by_all = passed < self._timing.second_look
        try:
            self._wait_for_second_look(self._prepare, self._meanwhile if seen_by_all else None)
            self._look_for_others(known | {self.id})
            if self._meanwhile is not None and not seen_by_all:
                self._meanwhile()
        except BaseException:
            self._remove_own(self._own.pop())
            raise
        self._refreshed_at = self._tried_at = started

    def _wait_for_second_look(self, *meanwhile: Callable[[], None] | None) -> None:
        seconds = self._timing.second_look
        for work in meanwhile:
            if work is not None:
                started = time.monotonic()
                work()
                seconds -= time.monotonic() - started
        if seconds > 0:
            self._sleep(seconds)

    def _look_for_others(self, known: set[ID]) -> None:
        """Raise LockedError if a lock excludes this one; add locks that do not to known."""
        failure: DamageError | None = None
        for attempt in range(self._timing.unreadable_tries):
            if attempt:
                # Some places show a new file before its content can be read.
                self._sleep(self._timing.unreadable_retry * 2 ** (attempt - 1))
            failure = self._look_once(known)
            if failure is None:
                return
        assert failure is not None  # noqa: S101 - there is at least one attempt
        raise DamageError(f"invalid lock file: {failure}", hint=_INVALID_HINT) from failure

    def _look_once(self, known: set[ID]) -> DamageError | None:
        """Return the error of a lock that could not be read, if there was one."""
        failure = None
        for identifier in list_lock_ids(self._store):
            if identifier in known:
                continue
            try:
                other = load_lock(self._store, identifier)
            except NotFoundError:
                continue
            except DamageError as error:
                failure = error
                continue
            if self._machine.is_certainly_dead(other, self._clock()):
                self._remove_dead(identifier, other)
            elif self._exclusive or other.exclusive:
                raise LockedError(describe_lock(identifier, other, self._clock()))
            known.add(identifier)
        return failure

    def _remove_dead(self, identifier: ID, other: LockFile) -> None:
        whose = f"of process {other.pid} on {other.hostname} (since {show_time(other)}), which no longer runs"
        try:
            self._store.remove(FileType.LOCK, identifier)
        except NotFoundError:
            return
        except BackendError as error:
            self._report.note(f"ignored the lock {short(identifier)} {whose}; it could not be removed: {error}", 0)
        else:
            self.removed_dead += 1
            self._report.note(f"removed the lock {short(identifier)} {whose}", 0)

    def _save(self) -> ID:
        lock = self._machine.describe_lock(exclusive=self._exclusive, time=_format_time(self._clock()))
        return self._store.save_unpacked(FileType.LOCK, lock_format.encode(lock))

    def _replace(self) -> None:
        started = self._clock()
        new = self._save()
        if self._released.is_set():
            self._remove_own(new)
            return
        old, self._own = self._own, [*self._own, new]
        self._refreshed_at = self._tried_at = started
        self._own = [identifier for identifier in old if not self._remove_own(identifier)] + [new]

    def _remove_own(self, identifier: ID) -> bool:
        """Remove a file of ours; return whether it is gone."""
        try:
            self._store.remove(FileType.LOCK, identifier)
        except NotFoundError:
            return True
        except BackendError as error:
            self._report.note(f"the lock {short(identifier)} could not be removed: {error}", 0)
            return False
        return True

    def _is_overdue(self) -> bool:
        return self._clock() - self._refreshed_at >= self._timing.give_up

    def _keep_fresh(self) -> None:
        while not self._released.wait(self._timing.poll):
            with self._mutex:
                self._refresh_if_due()
            if self._lost is not None:
                self._on_lost(self._lost)
                return

    def _refresh_if_due(self) -> None:
        now = self._clock()
        if self._is_overdue():
            self._refresh_overdue()
        elif not 0 <= now - self._tried_at < self._timing.refresh:
            # Also when the clock was set back, or the next refresh would be far away.
            self._tried_at = now
            try:
                self._replace()
            except PyresticError as error:
                self._report.note(f"the lock could not be refreshed: {error}", 0)

    def _refresh_overdue(self) -> None:
        """Refresh a lock that others may call stale by now, if nobody has removed it; else it is lost."""
        try:
            self._replace_if_untouched()
        except PyresticError as error:
            self._lost = LockedError(
                f"the lock was lost, it could not be refreshed in time: {error}",
                hint="Run the command again; what it has saved so far is kept.",
            )

    def _replace_if_untouched(self) -> None:
        started = self._clock()
        self._ensure_listed()
        new = self._save()
        try:
            # Whoever removed the old lock as stale may have looked before the new one was there.
            self._sleep(self._timing.second_look)
            self._ensure_listed()
        except BaseException:
            self._remove_own(new)
            raise
        old, self._own = self._own, [*self._own, new]
        self._refreshed_at = self._tried_at = started
        self._own = [identifier for identifier in old if not self._remove_own(identifier)] + [new]

    def _ensure_listed(self) -> None:
        if self.id not in set(list_lock_ids(self._store)):
            raise LockedError("another process has removed it as stale")


def _format_time(seconds: float) -> str:
    return gojson.format_time(int(seconds * 1e9), time.localtime(seconds).tm_gmtoff)
