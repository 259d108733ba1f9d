"""The chunker's inner loop as machine code.

The function has numba's calling convention: (result pointer, exception pointer, data, low, high, out, mod) -> status.
Stored code is used only after its results agreed with the numpy engine.
"""

import ctypes

import numpy as np
from numpy.typing import NDArray

from pyrestic.format import chunker_numpy
from pyrestic.format.rabin import WINDOW, FirstCut, Tables, make_tables
from pyrestic.native.machinecode import map_code

_TEST_POLYNOMIAL = 0x3DA3358B4DC173

_Function = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def first_cut_at(address: int) -> FirstCut:
    """Return the engine for a compiled loop at a memory address; calls release the GIL."""
    call = _Function(address)

    def first_cut(data: NDArray[np.uint8], low: int, high: int, tables: Tables) -> int:
        result = ctypes.c_int64(-1)
        trouble = ctypes.c_void_p()
        status = call(
            ctypes.addressof(result),
            ctypes.addressof(trouble),
            data.ctypes.data,
            low,
            high,
            tables.out.ctypes.data,
            tables.mod.ctypes.data,
        )
        if status != 0:
            raise RuntimeError(f"the compiled chunker ended with status {status}")
        return result.value

    return first_cut


def load_code(code: bytes) -> FirstCut | None:
    """Return the engine for stored machine code; None if it cannot be used or gives wrong results."""
    address = map_code(code)
    if address is None:
        return None
    engine = first_cut_at(address)
    return engine if agrees(engine) else None


def agrees(engine: FirstCut) -> bool:
    """Tell whether an engine agrees with the numpy engine on data that covers all of its paths."""
    tables = make_tables(_TEST_POLYNOMIAL)
    data = np.frombuffer(np.random.default_rng(1).bytes(160 << 10), dtype=np.uint8).copy()
    # A window of zeros is a cut; one in each stream of the first block, and one in the remainder.
    for position in (150_000, 120_000, 90_000, 50_000, 20_000):
        data[position : position + WINDOW] = 0
        low, high = WINDOW, len(data)
        if engine(data, low, high, tables) != chunker_numpy.first_cut(data, low, high, tables):
            return False
    return engine(data, 21_000, 21_100, tables) == -1
