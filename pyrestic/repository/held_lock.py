"""A held lock: refreshed while its holder works, and checked before each write of its holder.

Every five minutes a new file refreshes it; after 22.5 minutes without a refresh it is lost, well before others may call
it stale at 30 minutes. But a process that sleeps, or whose virtual machine is stopped, notices none of that, and
`unlock` may remove a lock that is not stale. So the lock file is checked before each save of an index, snapshot, key or
config, before each removal, and once more at the end. While the file exists, nobody holds a lock that excludes ours.
Once lost, the lock stays lost, and the fence of the repository (backend/fence.py) blocks everything.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Callable

import msgspec

from pyrestic.errors import BackendError, LockedError, NotFoundError, PyresticError, TransientError
from pyrestic.format import lock as lock_format
from pyrestic.format.lock import LockFile
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, short
from pyrestic.report import Reporter
from pyrestic.repository.lock_clock import NEVER, LockClock, Moment
from pyrestic.repository.lock_files import UnpackedStore, is_stored

_LOST_HINT = "Nothing was written after that. Run the command again."


class LockTiming(msgspec.Struct, frozen=True):
    """All durations in seconds; these are restic's numbers, tests use shorter ones."""

    second_look: float = 0.2
    refresh: float = 5 * 60.0
    give_up: float = 22.5 * 60.0
    poll: float = 1.0
    first_retry: float = 5.0
    longest_retry: float = 60.0
    unreadable_retry: float = 5.0
    unreadable_tries: int = 4
    release: float = 60.0
    forced: float = 0.1
    """How long other threads may finish their work with the lock when the process must end at once."""
    costly_look: float = 1.0
    """How long a check of our file stays valid if it costs money; otherwise there is one check per request."""


class HeldLock:
    """The files of one of our locks, from the first check for others until its release.

    `describe` creates the lock file for a time. `on_lost` is called once, on the thread that detects the loss.
    """

    def __init__(
        self,
        store: UnpackedStore,
        report: Reporter,
        describe: Callable[[str], LockFile],
        timing: LockTiming,
        clock: LockClock,
        on_lost: Callable[[LockedError], None],
    ) -> None:
        self._store = store
        self._report = report
        self._describe = describe
        self._timing = timing
        self._clock = clock
        self._on_lost = on_lost
        self._own: list[ID] = []
        """Our files, from before they are stored until they are removed; the current one is the last."""
        self._unsure: set[ID] = set()
        """Those that may not exist: storing them has not ended, or ended with an interrupt or an error."""
        self._refreshed = self._tried = self._seen = NEVER
        self._looks = self._good_look = 0
        """The number of checks started, and the last one that saw our file."""
        self._lost: LockedError | None = None
        self._wrote = False
        """Whether something was written since the last confirmation of the lock."""
        self._mutex = threading.Lock()
        self._ending = threading.Lock()
        """So that the lock is either lost, which is reported, or released."""
        self._released = threading.Event()
        self._gone = threading.Event()
        self._process = os.getpid()
        self.thread: threading.Thread | None = None

    @property
    def id(self) -> ID:
        """The ID of the current lock file."""
        return self._own[-1]

    def save_first(self) -> None:
        """Write the first file; raise BackendError. Call `drop` to remove the file, whatever the outcome."""
        started = self._clock.now()
        try:
            self._save(started)
        except TransientError:
            # The backend has not responded for long, and a retry would take as long again.
            self._forget(self.id)
            raise
        self._refreshed = self._tried = started

    def drop(self) -> None:
        """Remove the files: the lock was not taken, or is no longer needed."""
        try:
            self._remove_own()
        except BaseException:
            # There is only one interrupt: the aborted removal is retried.
            self._remove_own()
            raise

    def start(self) -> None:
        """Keep the lock fresh from now on, and guard writes; raise PyresticError if no thread can be started."""
        atexit.register(self.release_forgotten)
        self.thread = threading.Thread(target=self._keep_fresh, name="lock refresh", daemon=True)
        try:
            self.thread.start()
        except RuntimeError as error:
            self.thread = None
            raise PyresticError(f"the lock cannot be refreshed: {error}") from error
        self._store.fence.guard(self)

    def release(self, *, confirm: bool) -> None:
        """Remove the lock. A failure to remove it is noted, not raised, because the work is done. No error if not held.

        Pass `confirm` after work that succeeded: LockedError is raised if something was written and the lock had been
        lost by then. In a forked process, the lock stays with the parent.
        """
        if self._gone.is_set():
            return
        if os.getpid() != self._process:
            self._store.fence.close()
            self._gone.set()
            return
        wrote = False
        try:
            with self._ending:
                self._released.set()
            if self.thread is not None and self.thread.is_alive() and self.thread is not threading.current_thread():
                # A refresh that hangs must not block the program; the thread removes its file when it returns.
                self.thread.join(self._timing.release)
            wrote = confirm and self._wrote
            if wrote and self._lost is None:
                self._look()
        finally:
            self._store.fence.close()
            self.drop()
            self._gone.set()
            atexit.unregister(self.release_forgotten)
        if wrote:
            self._raise_if_lost()

    def release_forgotten(self) -> None:
        """Remove a lock that nobody will release anymore, such as after an interrupt; raise nothing.

        For the end of the process, and for finalizers.
        """
        with contextlib.suppress(Exception):
            self.release(confirm=False)

    def release_at_once(self) -> None:
        """Remove the lock from a thread other than its holder's, whose process ends right afterward."""
        if self._released.is_set() and self._gone.wait(self._timing.forced):
            return
        self._released.set()
        self._store.fence.close()
        # A running refresh could store a file after this removal.
        refreshed = self._mutex.acquire(timeout=self._timing.forced)
        try:
            self.drop()
        finally:
            if refreshed:
                self._mutex.release()

    def permit(self, handle: Handle, *, removes: bool) -> None:
        """Raise LockedError if the file must not be saved, or removed; see backend.fence.Keeper."""
        if handle.type is FileType.PACK and not removes:
            # Nobody relies on a pack before an index lists it.
            self.ensure_held()
        else:
            self.prove()
        self._wrote = True

    def ensure_held(self) -> None:
        """Raise LockedError if the lock is known to be lost.

        After a long sleep of the machine, this first checks that the lock still exists, and refreshes it.
        """
        if self._lost is None and self._is_overdue():
            with self._mutex:
                self._renew_overdue()
        self._raise_if_lost()

    def prove(self) -> None:
        """Raise LockedError unless the lock exists now."""
        asked = self._looks
        with self._mutex:
            self._renew_overdue()
            # One of many waiting threads checks; the others rely on the result if the check began after they came.
            if self._lost is None and self._good_look <= asked and not self._was_just_seen():
                self._look()
        self._raise_if_lost()

    def confirm(self) -> None:
        """Raise LockedError if something was written and the lock is gone: others may not have respected it."""
        if not self._wrote:
            return
        with self._mutex:
            if self._lost is None:
                self._look()
        self._raise_if_lost()
        self._wrote = False

    def refresh(self) -> None:
        """Write a new file and remove the old one.

        Raises BackendError if the new one could not be written, LockedError if the old one was gone, which means that
        the lock is lost.
        """
        with self._mutex:
            self._replace(late=False)

    def refresh_if_due(self) -> None:
        """Do the work that is due; any error is noted, and leads to a retry or to the loss of the lock."""
        with self._mutex:
            if self._lost is not None or self._renew_overdue():
                return
            if self._clock.since(self._tried) < self._timing.refresh and not self._clock.was_set_back(self._tried):
                return
            self._tried = self._clock.now()
            try:
                self._replace(late=False)
            except Exception as error:
                if self._lost is None:
                    self._note(f"the lock could not be refreshed: {_say(error)}")

    def _keep_fresh(self) -> None:
        try:
            while not self._released.wait(self._timing.poll):
                self.refresh_if_due()
                if self._lost is not None:
                    break
        except BaseException as error:
            self._lose(f"it is not refreshed any more: {_say(error)}")

    def _is_overdue(self) -> bool:
        return self._clock.since(self._refreshed) >= self._timing.give_up

    def _renew_overdue(self) -> bool:
        """Refresh a lock that others may call stale by now, unless somebody has removed it; then it is lost."""
        if self._lost is not None or not self._is_overdue():
            return False
        try:
            self._replace(late=True)
        except Exception as error:
            self._lose(f"it could not be refreshed in time: {_say(error)}")
        return True

    def _replace(self, *, late: bool) -> None:
        """Write a new file, check that the old one existed until then, and remove it."""
        if late:
            self._look()
            self._raise_if_lost()
        started = self._clock.now()
        new = self._save(started)
        try:
            if late:
                # A process that removes the old lock as stale may have listed the locks before the new one existed.
                self._clock.sleep(self._timing.second_look)
            if not self._released.is_set():
                self._look()
                self._raise_if_lost()
        except BaseException:
            self._discard(new)
            raise
        if self._released.is_set():
            self._discard(new)
            return
        self._forget(new)
        self._own.append(new)
        self._refreshed = self._tried = started
        for identifier in self._own[:-1]:
            self._discard(identifier)

    def _was_just_seen(self) -> bool:
        return self._store.fence.costly and self._clock.since(self._seen) < self._timing.costly_look

    def _look(self) -> None:
        """Check the current file; without it, the lock is lost. Raise LockedError if the check fails."""
        started = self._clock.now()
        self._looks += 1
        look = self._looks
        try:
            there = is_stored(self._store, self.id)
        except PyresticError as error:
            raise LockedError(
                f"cannot determine whether the lock is still held: {error}", hint="Run the command again."
            ) from error
        if there:
            self._seen, self._good_look = started, look
        else:
            self._lose("another process has removed it")

    def _lose(self, why: str) -> None:
        with self._ending:
            if self._lost is not None:
                return
            self._lost = LockedError(f"the lock was lost, {why}", hint=_LOST_HINT)
            if not self._released.is_set():
                self._on_lost(self._lost)

    def _raise_if_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _save(self, when: Moment) -> ID:
        """Write a file, which is recorded as ours before it is stored."""
        new = self._store.save_unpacked(FileType.LOCK, lock_format.encode(self._describe(when.text())), self._remember)
        self._unsure.discard(new)
        return new

    def _remember(self, new: ID) -> None:
        self._unsure.add(new)
        self._own.insert(0, new)

    def _forget(self, identifier: ID) -> None:
        self._unsure.discard(identifier)
        with contextlib.suppress(ValueError):
            self._own.remove(identifier)

    def _remove_own(self) -> None:
        failed = False
        for identifier in reversed(list(self._own)):
            unsure = identifier in self._unsure
            removed = None if failed and unsure else self._remove(identifier)
            failed = failed or removed is None
            if removed is not False or not unsure:
                self._forget(identifier)
        if self._own:
            # An aborted request may still arrive.
            self._clock.sleep(self._timing.second_look)
        for identifier in list(self._own):
            self._remove(identifier)
            self._forget(identifier)

    def _discard(self, identifier: ID) -> None:
        """Remove a file that is no longer needed; if that fails, it is removed at the end."""
        if self._remove(identifier) is not None or self._released.is_set():
            self._forget(identifier)

    def _remove(self, identifier: ID) -> bool | None:
        """Remove one of our files; return False if the backend reports that it is missing, None on failure."""
        try:
            self._store.remove(FileType.LOCK, identifier)
        except NotFoundError:
            return False
        except BackendError as error:
            if identifier not in self._unsure:
                self._note(f"the lock {short(identifier)} could not be removed: {error}")
            return None
        return True

    def _note(self, message: str) -> None:
        # The lock is refreshed even if printing fails.
        with contextlib.suppress(Exception):
            self._report.note(message, 0)


def _say(error: BaseException) -> str:
    return str(error) or type(error).__name__
