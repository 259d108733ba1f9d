"""Locks: files in the repository that name its users, shared or exclusive (restic design document, "Locks").

Many processes may hold a shared lock at once; an exclusive one excludes all others. A process that wants a lock checks
for others, writes its own, waits a moment and checks again, so that of two simultaneous processes at least one sees the
other. held_lock.py continues from there.

Only `unlock` removes locks of others, with one exception: any process that finds a lock of pyrestic whose process has
certainly ended (see machine.py) removes it.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from pyrestic.errors import BackendError, DamageError, LockedError, NotFoundError
from pyrestic.format.lock import LockFile
from pyrestic.handle import FileType
from pyrestic.ids import ID, short
from pyrestic.report import Reporter
from pyrestic.repository.held_lock import HeldLock, LockTiming
from pyrestic.repository.lock_clock import LockClock
from pyrestic.repository.lock_files import (
    UnpackedStore,
    describe_lock,
    format_duration,
    list_lock_ids,
    load_lock,
    show_time,
)
from pyrestic.repository.machine import Machine
from pyrestic.repository.overlap import Overlap

_INVALID_HINT = (
    "If no other process uses the repository, the unlock command with --remove-all removes locks that cannot be read."
)


def ignore_loss(error: LockedError) -> None:
    """The holder calls ensure_held instead."""


class Lock:
    """A lock on a repository, held within `with Lock(...)` or between acquire and release.

    It waits up to `retry_seconds` for others. While it is held, a thread refreshes it; if it is lost, `on_lost` is
    called once, on the thread that finds out, and the fence of the repository lets nothing be written from then on.
    `overlap` has what is imported between the two looks for others, each time the lock is tried for, and what is read
    there, or after the second look where that would not be safe: what was read counts once the lock is taken.
    """

    def __init__(
        self,
        store: UnpackedStore,
        report: Reporter,
        *,
        exclusive: bool,
        retry_seconds: float = 0.0,
        on_lost: Callable[[LockedError], None] = ignore_loss,
        overlap: Overlap[Any] | None = None,
        machine: Machine | None = None,
        timing: LockTiming | None = None,
        clock: LockClock | None = None,
    ) -> None:
        self._store = store
        self._report = report
        self._exclusive = exclusive
        self._retry_seconds = retry_seconds
        self._overlap = overlap
        self._machine = machine or Machine()
        self._timing = timing or LockTiming()
        self._clock = clock or LockClock()
        self.met_interrupted = False
        """Whether a run on this machine had left its lock: it may have left packs without an index."""
        self.held = HeldLock(store, report, self._describe, self._timing, self._clock, on_lost)

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.held.release(confirm=kind is None)

    @property
    def id(self) -> ID:
        """The ID of the current lock file."""
        return self.held.id

    def acquire(self) -> None:
        """Take the lock. Raises LockedError, DamageError if another lock cannot be read, BackendError.

        After any exception, including an interrupt, no lock is left.
        """
        try:
            self._wait_and_take()
            self.held.start()
        except BaseException:
            if self.held.thread is None:
                self.held.drop()
            else:
                self.held.release(confirm=False)
            raise

    def _wait_and_take(self) -> None:
        started = self._clock.now()
        delay = self._timing.first_retry
        waited = False
        while True:
            try:
                self._try_to_acquire()
                break
            except LockedError as error:
                remaining = self._retry_seconds - self._clock.since(started)
                if remaining <= 0:
                    raise
                until = error.hint if error.hint != LockedError.hint else ""
            if not waited:
                waited = True
                self._report.note(
                    f"repo already locked, waiting up to {format_duration(self._retry_seconds)} for the lock"
                )
                if until:
                    self._report.note(until)
            self._clock.sleep(min(delay, remaining))
            delay = min(delay * 2, self._timing.longest_retry)

    def release(self) -> None:
        """Remove the lock after work that succeeded. No error if it is not held.

        Raises LockedError if something was written and the lock had been lost by then.
        """
        self.held.release(confirm=True)

    def ensure_held(self) -> None:
        """Raise LockedError if the lock is known to be lost; each write checks further by itself."""
        self.held.ensure_held()

    def confirm(self) -> None:
        """Raise LockedError if something was written and the lock does not exist now."""
        self.held.confirm()

    def _describe(self, when: str) -> LockFile:
        return self._machine.describe_lock(exclusive=self._exclusive, time=when)

    def _try_to_acquire(self) -> None:
        known: set[ID] = set()
        looked = time.monotonic(), self._clock.now()
        self._look_for_others(known)
        self.held.save_first()
        # A process that came after our first check makes its own second check no sooner than this time after it. If our
        # lock existed by then, that process gave way, and nothing that is read from now on changes. Otherwise it may
        # finish its work and remove its lock before our second check: data read before that could be outdated.
        passed = max(time.monotonic() - looked[0], self._clock.since(looked[1]))
        seen_by_all = passed < self._timing.second_look
        try:
            self._wait_for_second_look(may_read=seen_by_all)
            self._look_for_others(known | {self.id})
            if self._overlap is not None:
                self._overlap.read_rest()
        except BaseException:
            self.held.drop()
            raise

    def _wait_for_second_look(self, *, may_read: bool) -> None:
        seconds = self._timing.second_look
        if self._overlap is not None:
            started = time.monotonic()
            self._overlap.while_lock_waits(may_read=may_read)
            seconds -= time.monotonic() - started
        if seconds > 0:
            self._clock.sleep(seconds)

    def _look_for_others(self, known: set[ID]) -> None:
        """Raise LockedError if a lock excludes this one; add locks that do not to known."""
        failure: DamageError | None = None
        for attempt in range(self._timing.unreadable_tries):
            if attempt:
                # Some backends list a new file before its content can be read.
                self._clock.sleep(self._timing.unreadable_retry * 2 ** (attempt - 1))
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
            self._judge(identifier, other)
            known.add(identifier)
        return failure

    def _judge(self, identifier: ID, other: LockFile) -> None:
        """Raise LockedError if this lock excludes ours; remove it if its process has certainly ended."""
        now = self._clock.now().wall
        end = self._machine.find_end(other)
        if end is not None and (end.interrupted or now > end.at):
            self.met_interrupted = True
        if end is not None and now > end.at:
            self._remove_dead(identifier, other)
        elif self._exclusive or other.exclusive:
            hint = "" if end is None else _describe_end(end.at, now)
            raise LockedError(*describe_lock(identifier, other, now), hint=hint)

    def _remove_dead(self, identifier: ID, other: LockFile) -> None:
        whose = f"of process {other.pid} on {other.hostname} (since {show_time(other)}), which no longer runs"
        try:
            self._store.remove(FileType.LOCK, identifier)
        except NotFoundError:
            return
        except BackendError as error:
            self._report.note(f"ignored the lock {short(identifier)} {whose}; it could not be removed: {error}", 0)
        else:
            self._report.note(f"removed the lock {short(identifier)} {whose}", 0)


def _describe_end(end: float, now: float) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(end))
    return (
        f"Its process does not run on this machine as it is now: unless it is refreshed, the lock ends at {when} "
        f"(in {format_duration(end - now + 1)}), and --retry-lock waits for that."
    )
