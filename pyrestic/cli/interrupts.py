"""Signals that end the program: in order if that is quick, and within two seconds in any case.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt in the main thread. But the main thread may wait for
something that no exception can reach, such as the derivation of a key, a name server, or a thread. So another thread
hears of each signal, too: if the program is still there after a while it takes the locks away and ends the process. A
repository is consistent at every moment, and nothing else needs care. A second signal ends the process at once.

An error that another thread meets, such as the loss of the lock, ends the program by a signal, too: whatever the main
thread does, be it a system call, a server or libfuse, ends by one. That error is then told, whatever signals come.
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
"""How long the program may take to end in order."""
_LAST_SECONDS = 0.5
"""How long the last steps may take where it does not."""
_PATIENCE_SECONDS = 1.0
_WORDS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated", signal.SIGHUP: "hangup"}
"""What Go calls the signals."""
_callbacks: list[Callable[[], None]] = []
_last_steps: list[Callable[[], None]] = []
_main_thread: list[int] = []
"""The thread that signals end; none where they are not handled, as in tests."""
_reasons: list[int | PyresticError] = []
"""Why the program ends, in the order of coming: numbers of signals, and the errors of `end_for`."""


@contextlib.contextmanager
def when_interrupted(callback: Callable[[], None]) -> Iterator[None]:
    """Let callback be called if a signal ends the program during a with block."""
    with _listed(callback, _callbacks):
        yield


@contextlib.contextmanager
def when_forced(step: Callable[[], None]) -> Iterator[None]:
    """Let step be called if the process is ended during a with block because its end in order takes too long."""
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
    """Call all callbacks; to be called by the handler of a signal.

    A thread does it: the handler may have come in the middle of whatever holds a lock that a callback needs.
    """
    _call_all(_callbacks, _PATIENCE_SECONDS)


def _call_all(callbacks: list[Callable[[], None]], patience_seconds: float) -> None:
    threads = [threading.Thread(target=callback, daemon=True) for callback in list(callbacks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience_seconds)


def end_for(error: PyresticError) -> None:
    """End the program for an error, from any thread."""
    if not _main_thread:
        return
    _reasons.append(error)
    if _reasons[0] is error:
        signal.pthread_kill(_main_thread[0], signal.SIGTERM)


def is_ending() -> bool:
    """Whether a signal or an error ends the program."""
    return bool(_reasons)


def find_error() -> PyresticError | None:
    """Return the error that the program ends for, None if there is none."""
    return next((reason for reason in _reasons if isinstance(reason, PyresticError)), None)


def handle_signals(tell: Callable[[], int]) -> None:
    """Let signals end the program from now on; where that is forced, `tell` says why and returns the exit code."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_watch, args=(reader, tell), name="signals", daemon=True).start()
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _WORDS:
        # Who starts a program with nohup wants it to survive the end of the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    _main_thread.append(threading.get_ident())


def ignore_signals() -> None:
    """Let no signal disturb the last steps of a program that is about to end."""
    for number in _WORDS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _: FrameType | None) -> None:
    """End the program in order; at the next signal it ends at once. There is one exception: it cleans up in peace."""
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
            # Not through sys.stderr: the signal may have come while that was being written to.
            os.write(2, f"\rsignal {_WORDS[signal.Signals(number)]} received, cleaning up \n".encode())
    tell_interrupted()
    raise KeyboardInterrupt


def _count_expected() -> int:
    """Return how many signals end the program in order: that of `end_for` and one from outside may come together."""
    return 2 if _reasons and isinstance(_reasons[0], PyresticError) else 1


def _watch(reader: int, tell: Callable[[], int]) -> None:
    """Wait for the first signal that ends the program, and see to it that it does."""
    while True:
        if any(number in _WORDS for number in os.read(reader, 1)):
            break
    # A second signal may come while the main thread has not even heard of the first.
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
