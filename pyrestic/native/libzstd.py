"""The system's zstd, for compiled code that compresses and decompresses without Python; names are from zstd.h.

The module `zstandard` has its own zstd, which no other code can call.
"""

import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any, Final

import zstandard

_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_PROTOTYPES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "ZSTD_createCCtx": (_POINTER, []),
    "ZSTD_freeCCtx": (_SIZE, [_POINTER]),
    "ZSTD_createDCtx": (_POINTER, []),
    "ZSTD_freeDCtx": (_SIZE, [_POINTER]),
    "ZSTD_CCtx_setParameter": (_SIZE, [_POINTER, _INT, _INT]),
    "ZSTD_isError": (ctypes.c_uint, [_SIZE]),
    "ZSTD_compress2": (_SIZE, [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE]),
    "ZSTD_decompressDCtx": (_SIZE, [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE]),
    "ZSTD_findFrameCompressedSize": (_SIZE, [_POINTER, _SIZE]),
}
# The numbers of ZSTD_cParameter.
_PARAMETERS: Final = {
    100: "compression_level",
    101: "window_log",
    102: "hash_log",
    103: "chain_log",
    104: "search_log",
    105: "min_match",
    106: "target_length",
    107: "strategy",
    200: "write_content_size",
    201: "write_checksum",
}
_SYSTEM_NAME: Final = "libzstd.so.1"


@functools.cache
def find_library() -> ctypes.CDLL | None:
    """Return the system's zstd, None if it is missing or lacks a function."""
    try:
        library = ctypes.CDLL(_SYSTEM_NAME)
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library


def new_compressor(library: ctypes.CDLL, owner: object, parameters: zstandard.ZstdCompressionParameters) -> int:
    """Return a compression context with these parameters, valid while its owner lives; raise OSError."""
    context = _new(owner, library.ZSTD_createCCtx, library.ZSTD_freeCCtx)
    for number, name in _PARAMETERS.items():
        status = library.ZSTD_CCtx_setParameter(context, number, int(getattr(parameters, name)))
        if library.ZSTD_isError(status):
            raise OSError(f"the system's zstd refused the parameter {name}")
    return context


def new_decompressor(library: ctypes.CDLL, owner: object) -> int:
    """Return a decompression context, valid while its owner lives; raise OSError."""
    return _new(owner, library.ZSTD_createDCtx, library.ZSTD_freeDCtx)


def _new(owner: object, make: Callable[[], int | None], free: Callable[[int], int]) -> int:
    context = make()
    if not context:
        raise OSError("the system's zstd has no memory")
    # Not at the end of the program: a thread may still be using it, and all memory is freed anyway.
    weakref.finalize(owner, free, context).atexit = False
    return context
