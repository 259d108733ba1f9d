"""Which lock an operation needs, and how it holds it: the same for the command line and for programs."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, NamedTuple

from pyrestic.errors import LockedError, UsageError
from pyrestic.report import Reporter
from pyrestic.repository.locks import Lock, ignore_loss
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository


class LockMode(Enum):
    """What an operation needs: nothing, to read, to read alone, to add, or to change alone."""

    NONE = "none"
    READ = "read"
    READ_ALONE = "read alone"
    APPEND = "append"
    EXCLUSIVE = "exclusive"

    @property
    def exclusive(self) -> bool:
        """Whether its lock excludes all others."""
        return self in (LockMode.READ_ALONE, LockMode.EXCLUSIVE)

    @property
    def writes(self) -> bool:
        """Whether anything is stored or removed."""
        return self in (LockMode.APPEND, LockMode.EXCLUSIVE)

    def settle(self, *, past: bool, lock_readers: bool = True) -> "LockMode":
        """Return the mode that applies: readers need no lock if the user says so, and a past state takes none.

        Raises UsageError for a change of a past state.
        """
        if past and self.writes:
            raise UsageError("a past state of a repository cannot be changed", hint="Leave out the option b2.as-of.")
        return LockMode.NONE if past or not (self.writes or lock_readers) else self


def _keep_running(_: Callable[[], None]) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


class Ending(NamedTuple):
    """How the process may end while a lock is held."""

    on_lost: Callable[[LockedError], None] = ignore_loss
    """Is called when the lock was lost; see Lock."""
    when_forced: Callable[[Callable[[], None]], AbstractContextManager[None]] = _keep_running
    """Returns a context in which a step is called if the process ends without unwinding the stack."""


NO_ENDING = Ending()
"""For programs: they handle signals themselves, and learn of a lost lock from the operation."""


@contextlib.contextmanager
def locked(
    repository: Repository,
    report: Reporter,
    mode: LockMode,
    *,
    retry_seconds: float = 0.0,
    overlap: Overlap[Any] | None = None,
    ending: Ending = NO_ENDING,
) -> Iterator[Lock | None]:
    """Hold the lock of a settled mode during a with block, None if it takes none; raise as Lock does.

    No lock is left after any exception, including an interrupt at any time.
    """
    if mode is LockMode.NONE:
        if overlap is not None:
            overlap.read_rest()
        yield None
        return
    lock = Lock(
        repository,
        report,
        exclusive=mode.exclusive,
        retry_seconds=retry_seconds,
        on_lost=ending.on_lost,
        overlap=overlap,
    )
    with ending.when_forced(lock.held.release_at_once):
        try:
            lock.acquire()
            yield lock
            lock.release()
        finally:
            # Repeat whatever an interrupt prevented.
            lock.held.release(confirm=False)
