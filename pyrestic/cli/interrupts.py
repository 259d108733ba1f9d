"""Signals that end the program: cleanly if that is fast, and within two seconds in any case.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread. But no exception reaches the main
thread while it derives a key, queries a name server, or waits for a thread. So another thread receives each signal,
too: if the program still runs after a while, this thread removes the locks and ends the process. A repository is
consistent at any time, so no other cleanup is needed. A second signal ends the process at once.

During `ending_early`, the first signal only asks for an early end, and SIGUSR2 always does. The program then has 90
seconds; after that it ends as if the signal had come then.

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
from typing import TypeVar

from pyrestic.errors import PyresticError

T = TypeVar("T")
INTERRUPTED = 130
_GRACE_SECONDS = 1.2
"""Time limit of a clean end."""
_LAST_SECONDS = 0.5
"""Time limit of the last steps otherwise."""
_EARLY_SECONDS = 90.0
"""Time limit of an early end."""
_PATIENCE_SECONDS = 1.0
_WORDS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated", signal.SIGHUP: "hangup"}
"""Go's names of the signals."""
_callbacks: list[Callable[[], None]] = []
_last_steps: list[Callable[[], None]] = []
_early: list[Callable[[int], None]] = []
"""What asks for an early end."""
_asked: list[int] = []
"""The signals that asked for one."""
_overdue = threading.Event()
"""Set when an early end took too long."""
_tell: list[Callable[[], int]] = []
"""Prints the reason of a forced end, and returns the exit code."""
_main_thread: list[int] = []
"""The thread that signals end; none if they are not handled, as in tests."""
_reasons: list[int | PyresticError] = []
"""The reasons to end, in order: numbers of signals, and the errors of `end_for`."""
_unwatched: list[int] = []
"""The descriptor on which signals arrive, until the thread starts that reads it."""


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
def ending_early(ask: Callable[[int], None]) -> Iterator[None]:
    """Call ask with the first signal during a with block, instead of ending the program, and with SIGUSR2."""
    with _listed(ask, _early):
        if _asked:
            # SIGUSR2 came before there was anything to end.
            ask(_asked[0])
        yield


def ask_to_end_early() -> bool:
    """Ask for an early end as a signal does, with the number 0; return whether anything here can end early."""
    for ask in _early:
        ask(0)
    return bool(_early)


def limit_early_end() -> None:
    """End the program if the early end that begins now takes too long."""
    if _main_thread:
        threading.Thread(target=_end_overdue, name="early end", daemon=True).start()


@contextlib.contextmanager
def _listed(callback: T, callbacks: list[T]) -> Iterator[None]:
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
    """Handle signals from now on; if the end is forced, `tell` prints the reason and returns the exit code.

    The end is forced once `watch_signals` was called. A forked process may call this again.
    """
    _tell[:] = [tell]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _unwatched[:] = [reader]
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _WORDS:
        # A program started with nohup should survive the end of the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGUSR2, _hear)
    _main_thread[:] = [threading.get_ident()]


def watch_signals() -> None:
    """Start the thread that ends the program if the main thread does not; a program that forks must not have it."""
    while _unwatched:
        threading.Thread(target=_watch, args=(_unwatched.pop(),), name="signals", daemon=True).start()


def ignore_signals() -> None:
    """Ignore signals during the last steps of the program."""
    for number in (*_WORDS, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _hear(number: int, _: FrameType | None) -> None:
    """Ask for an early end, or end the program if that took too long. Commands that cannot end early go on."""
    if _overdue.is_set():
        _reasons.append(number)
        tell_interrupted()
        raise KeyboardInterrupt
    _asked.append(number)
    for ask in _early:
        ask(number)


def _interrupt(number: int, _: FrameType | None) -> None:
    """End the program cleanly; the next signal ends it at once. There is one exception, for an undisturbed cleanup."""
    if not _reasons:
        if _asked and _asked[0] in _WORDS:
            os._exit(INTERRUPTED)
        if _early:
            _asked.insert(0, number)
            _say(f"signal {_WORDS[signal.Signals(number)]} received, storing what is complete; another ends at once")
            _early[0](number)
            return
    _reasons.append(number)
    heard = sum(isinstance(reason, int) for reason in _reasons)
    if heard >= _count_expected():
        for other in _WORDS:
            if signal.getsignal(other) == _interrupt:
                signal.signal(other, signal.SIG_DFL)
    if heard > 1:
        return
    if find_error() is None:
        _say(f"signal {_WORDS[signal.Signals(number)]} received, cleaning up ")
    tell_interrupted()
    raise KeyboardInterrupt


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        # Not through sys.stderr: the signal may have interrupted a write to it.
        os.write(2, f"\r{text}\n".encode())


def _count_expected() -> int:
    """Return the number of signals for a clean end: that of `end_for` and an external one may come together."""
    return 2 if _reasons and isinstance(_reasons[0], PyresticError) else 1


def _watch(reader: int) -> None:
    """Wait for the first signal that ends the program, and enforce the end."""
    while True:
        if any(number in _WORDS for number in os.read(reader, 1)):
            break
    # A second signal may come before the main thread has noticed the first.
    threading.Thread(target=_end_at_second, args=(reader,), name="second signal", daemon=True).start()
    if _early:
        _end_overdue()
    _end()


def _end_overdue() -> None:
    """End the program after the time limit of an early end, or soon when an error ends it."""
    deadline = time.monotonic() + _EARLY_SECONDS
    while time.monotonic() < deadline and not _reasons:
        time.sleep(_LAST_SECONDS)
    if not _reasons:
        _overdue.set()
        signal.pthread_kill(_main_thread[0], signal.SIGUSR2)
    _end()


def _end() -> None:
    time.sleep(_GRACE_SECONDS)
    _call_all(_last_steps, _LAST_SECONDS)
    os._exit(_tell[0]())


def _end_at_second(reader: int) -> None:
    heard = 1
    while heard <= _count_expected():
        heard += sum(number in _WORDS for number in os.read(reader, 1))
    error = find_error()
    os._exit(INTERRUPTED if error is None else error.exit_code)
