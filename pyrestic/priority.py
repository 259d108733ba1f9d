"""Sets the lowest CPU and disk priority of this process."""

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
    """Give all threads, and all that they start from now on, the lowest CPU and disk priority."""
    number = _IOPRIO_SET.get(platform.machine()) if platform.system() == "Linux" else None
    call = ctypes.CDLL(None, use_errno=True).syscall if number is not None else None
    for thread in threading.enumerate():
        # The thread has just ended.
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, thread.native_id or 0, LOWEST_NICENESS)
            if call is not None:
                # Without permission or kernel support, the disk priority does not change.
                call(number, _WHO_PROCESS, thread.native_id or 0, _IDLE_CLASS << _CLASS_SHIFT)
