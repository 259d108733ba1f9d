"""Runs in the background: the lowest CPU and disk priority, and a limit for the CPU time.

The limit applies to the entire process, including the C code of its threads. A separate thread measures the CPU time of
the process, and if it was too much, it sleeps while holding the GIL. C code that runs without the GIL finishes its
call, some milliseconds at most, and then waits for the GIL like all other threads. No other code has to know about
this, and no signal stops the process, which a shell or a lock on a repository would notice. Only the derivation of a
key, half a second of CPU time in one call, exceeds the limit; a longer pause afterward compensates for it.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.2
"""Maximum delay of an interrupt."""
_CREDIT_SECONDS: Final = 0.25
"""CPU time that was unused before this number of seconds is lost."""


class CpuAccount:
    """How far the CPU time of a process exceeds its share; `share` is that of one processor, 0.25 for a quarter."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._ahead_seconds = 0.0

    def pause_seconds(self, wall_seconds: float, cpu_seconds: float) -> float:
        """Return how long the process must sleep after using this CPU time in this time."""
        credit = -_CREDIT_SECONDS * self._share
        self._ahead_seconds = max(credit, self._ahead_seconds + cpu_seconds - wall_seconds * self._share)
        return max(0.0, self._ahead_seconds / self._share)


@contextmanager
def limited_cpu(percent: int) -> Iterator[None]:
    """Limit the CPU time of this process to that share of one processor, for the duration of a with block."""
    stop = threading.Event()
    thread = threading.Thread(target=_govern, args=(CpuAccount(percent / 100), stop), name="cpu limit", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _govern(account: CpuAccount, stop: threading.Event) -> None:
    # A PyDLL calls its functions without releasing the GIL.
    sleep_with_lock = ctypes.PyDLL(None).usleep
    wall, cpu = time.monotonic(), time.process_time()
    while not stop.wait(_LOOK_SECONDS):
        now, used = time.monotonic(), time.process_time()
        pause = account.pause_seconds(now - wall, used - cpu)
        wall, cpu = now, used
        if pause > 0:
            sleep_with_lock(round(min(pause, _LONGEST_PAUSE_SECONDS) * 1e6))
