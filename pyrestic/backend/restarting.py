"""Something that a backend starts when it first needs it, and again after it was lost: a connection, a program."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from pyrestic.errors import BackendError, TransientError

T = TypeVar("T")


class Restarting(Generic[T]):
    """The one that runs now. `start` raises BackendError, `end` must not raise. Thread-safe.

    If several threads need a new one, one of them starts it, and all of them share its error if that fails.
    """

    def __init__(self, start: Callable[[], T], is_alive: Callable[[T], bool], end: Callable[[T], None]) -> None:
        self._start = start
        self._is_alive = is_alive
        self._end = end
        self._starting = threading.Lock()
        self._attempt = 0
        self._failure: tuple[int, Callable[[], BackendError]] | None = None
        self.current: T | None = None
        """The last one, alive or not."""
        self.was_reached = False
        """Whether one has ever been started."""

    def get(self) -> T:
        """Return one that is alive; raise BackendError if none can be started."""
        current = self.current
        if current is not None and self._is_alive(current):
            return current
        attempt = self._attempt
        with self._starting:
            if self.current is not None and self._is_alive(self.current):
                return self.current
            if self._failure is not None and self._failure[0] > attempt:
                # Another thread has tried since this one began to wait.
                make_error = self._failure[1]
                raise make_error()
            self._attempt += 1
            self._drop()
            try:
                self.current = self._start()
            except BackendError as error:
                self._failure = self._attempt, _copier(error)
                raise
            self.was_reached = True
            return self.current

    def close(self) -> None:
        """End the one that runs."""
        with self._starting:
            self._drop()

    def _drop(self) -> None:
        current, self.current = self.current, None
        if current is not None:
            self._end(current)


def _copier(error: BackendError) -> Callable[[], BackendError]:
    """Return a function that makes the same error anew, for other threads to raise."""
    if isinstance(error, TransientError):
        kind, attempts = type(error), error.attempts
        return lambda: kind(str(error), hint=error.hint, attempts=attempts)
    return lambda: type(error)(str(error), hint=error.hint)
