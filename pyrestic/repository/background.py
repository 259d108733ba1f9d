"""A function on its own thread, for which an interrupt does not wait."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Starts a function at once on a thread that does not outlive the process.

    Unlike the threads of an executor, it is not joined when the caller is interrupted, because a long computation, such
    as deriving a key, cannot be stopped.
    """

    def __init__(self, function: Callable[[], T], name: str) -> None:
        self._function = function
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def result(self) -> T:
        """Wait for the function, and return its result or raise its exception."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]
