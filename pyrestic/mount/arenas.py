"""How the C library hands memory to the threads of a mount."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""The parameter of glibc's mallopt by which this is set (malloc.h)."""
_ARENAS: Final = 2


def limit_arenas() -> bool:
    """Let new threads share memory that was given back, instead of keeping some of it each; tell whether they will.

    A blob is loaded by the thread that wants it and dropped by another, so each would end up with the room of several.
    Only glibc gives threads memory of their own.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_ARENA_MAX, _ARENAS) == 1
