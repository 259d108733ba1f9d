"""Memory arenas of the C library for the threads of a mount."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""The parameter of glibc's mallopt for this setting (malloc.h)."""
_ARENAS: Final = 2


def limit_arenas() -> bool:
    """Let threads share freed memory instead of keeping arenas of their own; tell whether they will.

    One thread loads a blob and another frees it, so each would end up with memory for several. Only glibc has arenas
    per thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_ARENA_MAX, _ARENAS) == 1
