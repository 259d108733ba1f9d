"""Who has to know at once that the program was interrupted: those whose work others wait for."""

import contextlib
import threading
from collections.abc import Callable, Iterator

_PATIENCE_SECONDS = 1.0
_callbacks: list[Callable[[], None]] = []


@contextlib.contextmanager
def when_interrupted(callback: Callable[[], None]) -> Iterator[None]:
    """Let callback be called if a signal ends the program during a with block."""
    _callbacks.append(callback)
    try:
        yield
    finally:
        _callbacks.remove(callback)


def tell_interrupted() -> None:
    """Call all callbacks; to be called by the handler of a signal.

    A thread does it: the handler may have come in the middle of whatever holds a lock that a callback needs.
    """
    callbacks = list(_callbacks)

    def call() -> None:
        for callback in callbacks:
            callback()

    if callbacks:
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(_PATIENCE_SECONDS)
