"""The lowest priority of this process, for processor and disk."""

import ctypes
import os
import platform
import threading
from contextlib import suppress
from typing import Final

LOWEST_NICENESS: Final = 19
_IDLE_CLASS: Final = 3
_CLASS_SHIFT: Final = 13
_WHO_PROCESS: Final = 1
_IOPRIO_SET: Final = {
    "x86_64": 251,
    "aarch64": 30,
    "riscv64": 30,
    "loongarch64": 30,
    "i686": 289,
    "armv7l": 314,
    "ppc64le": 273,
    "s390x": 282,
}
"""Numbers of the system call, for which the C library has no function."""


def lower_priority() -> None:
    """Give all threads, and all that they start from now on, the lowest priority for processor and disk."""
    number = _IOPRIO_SET.get(platform.machine()) if platform.system() == "Linux" else None
    call = ctypes.CDLL(None, use_errno=True).syscall if number is not None else None
    for thread in threading.enumerate():
        # One that has just ended needs nothing.
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, thread.native_id or 0, LOWEST_NICENESS)
            if call is not None:
                # Where it is not allowed or not known, the disk is shared as ever.
                call(number, _WHO_PROCESS, thread.native_id or 0, _IDLE_CLASS << _CLASS_SHIFT)
