"""Signals that end the program: cleanly if that is fast, and within two seconds in any case.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread. But no exception reaches the main
thread while it derives a key, queries a name server, or waits for a thread. So another thread receives each signal,
too: if the program still runs after a while, this thread removes the locks and ends the process. A repository is
consistent at any time, so no other cleanup is needed. A second signal ends the process at once.

An error in another thread, such as the loss of the lock, also ends the program by a signal, because a signal ends any
system call, server or libfuse of the main thread. That error is then reported, whatever signals come.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from pyrestic.errors import PyresticError

INTERRUPTED = 130
_GRACE_SECONDS = 1.2
"""Time limit of a clean end."""
_LAST_SECONDS = 0.5
"""Time limit of the last steps otherwise."""
_PATIENCE_SECONDS = 1.0
_WORDS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated", signal.SIGHUP: "hangup"}
"""Go's names of the signals."""
_callbacks: list[Callable[[], None]] = []
_last_steps: list[Callable[[], None]] = []
_main_thread: list[int] = []
"""The thread that signals end; none if they are not handled, as in tests."""
_reasons: list[int | PyresticError] = []
"""The reasons to end, in order: numbers of signals, and the errors of `end_for`."""


@contextlib.contextmanager
def when_interrupted(callback: Callable[[], None]) -> Iterator[None]:
    """Call callback if a signal ends the program during a with block."""
    with _listed(callback, _callbacks):
        yield


@contextlib.contextmanager
def when_forced(step: Callable[[], None]) -> Iterator[None]:
    """Call step if the process is ended during a with block because a clean end takes too long."""
    with _listed(step, _last_steps):
        yield


@contextlib.contextmanager
def _listed(callback: Callable[[], None], callbacks: list[Callable[[], None]]) -> Iterator[None]:
    callbacks.append(callback)
    try:
        yield
    finally:
        callbacks.remove(callback)


def tell_interrupted() -> None:
    """Call all callbacks; for the signal handler.

    A thread does it: the handler may have interrupted code that holds a lock that a callback needs.
    """
    _call_all(_callbacks, _PATIENCE_SECONDS)


def _call_all(callbacks: list[Callable[[], None]], patience_seconds: float) -> None:
    threads = [threading.Thread(target=callback, daemon=True) for callback in list(callbacks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience_seconds)


def end_for(error: PyresticError) -> None:
    """End the program because of an error; thread-safe."""
    if not _main_thread:
        return
    _reasons.append(error)
    if _reasons[0] is error:
        signal.pthread_kill(_main_thread[0], signal.SIGTERM)


def is_ending() -> bool:
    """Whether a signal or an error ends the program."""
    return bool(_reasons)


def find_error() -> PyresticError | None:
    """Return the error that ends the program, None if there is none."""
    return next((reason for reason in _reasons if isinstance(reason, PyresticError)), None)


def handle_signals(tell: Callable[[], int]) -> None:
    """Handle signals from now on; if the end is forced, `tell` prints the reason and returns the exit code."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader, tell), name="signals", daemon=True).start()
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _WORDS:
        # A program started with nohup should survive the end of the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    _main_thread.append(threading.get_ident())


def ignore_signals() -> None:
    """Ignore signals during the last steps of the program."""
    for number in _WORDS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _: FrameType | None) -> None:
    """End the program cleanly; the next signal ends it at once. There is one exception, for an undisturbed cleanup."""
    _reasons.append(number)
    heard = sum(isinstance(reason, int) for reason in _reasons)
    if heard >= _count_expected():
        for other in _WORDS:
            if signal.getsignal(other) == _interrupt:
                signal.signal(other, signal.SIG_DFL)
    if heard > 1:
        return
    if find_error() is None:
        with contextlib.suppress(OSError):
            # Not through sys.stderr: the signal may have interrupted a write to it.
            os.write(2, f"\rsignal {_WORDS[signal.Signals(number)]} received, cleaning up \n".encode())
    tell_interrupted()
    raise KeyboardInterrupt


def _count_expected() -> int:
    """Return the number of signals for a clean end: that of `end_for` and an external one may come together."""
    return 2 if _reasons and isinstance(_reasons[0], PyresticError) else 1


def _watch(reader: int, tell: Callable[[], int]) -> None:
    """Wait for the first signal that ends the program, and enforce the end."""
    while True:
        if any(number in _WORDS for number in os.read(reader, 1)):
            break
    # A second signal may come before the main thread has noticed the first.
    threading.Thread(target=_end_at_second, args=(reader,), name="second signal", daemon=True).start()
    time.sleep(_GRACE_SECONDS)
    _call_all(_last_steps, _LAST_SECONDS)
    os._exit(tell())


def _end_at_second(reader: int) -> None:
    heard = 1
    while heard <= _count_expected():
        heard += sum(number in _WORDS for number in os.read(reader, 1))
    error = find_error()
    os._exit(INTERRUPTED if error is None else error.exit_code)
