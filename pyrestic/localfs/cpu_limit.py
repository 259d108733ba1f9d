"""Being a quiet guest on this machine: the lowest priority for processor and disk, and a limit for the CPU time.

The limit holds for the process as a whole, C code of its threads included. A thread of its own looks how much CPU time
the process took since it last looked, and where that was too much it makes everybody wait: it sleeps without giving
Python's global lock away. C code that runs without that lock comes to the end of its call, some milliseconds at most,
and then waits for it like all others. No place in the program has to know of this, and nothing is stopped that a shell
or a lock on a repository would notice. Only the derivation of a key, half a second of CPU time in one call, is beyond
it, and is paid for by a longer pause afterwards.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOOK_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.2
"""An interrupt waits for so long at most."""
_CREDIT_SECONDS: Final = 0.25
"""CPU time that was left unused earlier than so long ago is lost."""


class CpuAccount:
    """How far the CPU time of a process is ahead of its share; `share` is that of one processor, 0.25 for a quarter."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._ahead_seconds = 0.0

    def pause_seconds(self, wall_seconds: float, cpu_seconds: float) -> float:
        """Return for how long the process has to rest, having taken so much CPU time in so much time."""
        credit = -_CREDIT_SECONDS * self._share
        self._ahead_seconds = max(credit, self._ahead_seconds + cpu_seconds - wall_seconds * self._share)
        return max(0.0, self._ahead_seconds / self._share)


@contextmanager
def limited_cpu(percent: int) -> Iterator[None]:
    """Keep the CPU time of this process below that part of one processor for the time of a with block."""
    stop = threading.Event()
    thread = threading.Thread(target=_govern, args=(CpuAccount(percent / 100), stop), name="cpu limit", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _govern(account: CpuAccount, stop: threading.Event) -> None:
    # A PyDLL calls its functions without giving the global lock away.
    sleep_with_lock = ctypes.PyDLL(None).usleep
    wall, cpu = time.monotonic(), time.process_time()
    while not stop.wait(_LOOK_SECONDS):
        now, used = time.monotonic(), time.process_time()
        pause = account.pause_seconds(now - wall, used - cpu)
        wall, cpu = now, used
        if pause > 0:
            sleep_with_lock(round(min(pause, _LONGEST_PAUSE_SECONDS) * 1e6))
