"""The chunker's inner loop, compiled by numba: four interleaved streams keep the processor's pipelines busy.

Importing numba takes half a second and 100 MB, compiling another half second. The machine code itself is small and can
be moved, so `compile_code` also returns it as bytes to be stored (see native.chunker).
"""

from typing import Any, NamedTuple

import numba as _numba
import numpy as np

from pyrestic.format.rabin import SPLIT_MASK, FirstCut
from pyrestic.native.chunker import first_cut_at
from pyrestic.native.machinecode import extract

numba: Any = _numba
"""Its types are of little use here: compiled code is no longer typed as Python."""

_STREAM = 32 << 10
_WINDOW = 64
_SHIFT = np.uint64(45)
_EIGHT = np.uint64(8)
_MASK = np.uint64(SPLIT_MASK)


class Compiled(NamedTuple):
    """The compiled loop, its code if that can be moved, and references that must live as long as it is used."""

    first_cut: FirstCut
    code: bytes | None
    owner: Any


@numba.njit(inline="always")
def _fingerprint(data, position, mod):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fingerprint of the 64 bytes before position."""
    digest = np.uint64(0)
    for index in range(position - _WINDOW, position):
        digest = ((digest << _EIGHT) | np.uint64(data[index])) ^ mod[digest >> _SHIFT]
    return digest


def _scan(data, low, high, out, mod):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    position = low
    # Blocks of four streams; the first hit of the first stream that has one is the first of the block.
    while position + 4 * _STREAM <= high:
        p0 = position
        p1 = p0 + _STREAM
        p2 = p1 + _STREAM
        p3 = p2 + _STREAM
        d0 = _fingerprint(data, p0, mod)
        d1 = _fingerprint(data, p1, mod)
        d2 = _fingerprint(data, p2, mod)
        d3 = _fingerprint(data, p3, mod)
        hit1 = hit2 = hit3 = np.int64(-1)
        for step in range(_STREAM):
            if d0 & _MASK == 0:
                return p0 + step
            if d1 & _MASK == 0 and hit1 < 0:
                hit1 = p1 + step
            if d2 & _MASK == 0 and hit2 < 0:
                hit2 = p2 + step
            if d3 & _MASK == 0 and hit3 < 0:
                hit3 = p3 + step
            q0 = p0 + step
            q1 = p1 + step
            q2 = p2 + step
            q3 = p3 + step
            d0 ^= out[data[q0 - _WINDOW]]
            d1 ^= out[data[q1 - _WINDOW]]
            d2 ^= out[data[q2 - _WINDOW]]
            d3 ^= out[data[q3 - _WINDOW]]
            d0 = ((d0 << _EIGHT) | np.uint64(data[q0])) ^ mod[d0 >> _SHIFT]
            d1 = ((d1 << _EIGHT) | np.uint64(data[q1])) ^ mod[d1 >> _SHIFT]
            d2 = ((d2 << _EIGHT) | np.uint64(data[q2])) ^ mod[d2 >> _SHIFT]
            d3 = ((d3 << _EIGHT) | np.uint64(data[q3])) ^ mod[d3 >> _SHIFT]
        if hit1 >= 0:
            return hit1
        if hit2 >= 0:
            return hit2
        if hit3 >= 0:
            return hit3
        position += 4 * _STREAM
    if position <= high:
        digest = _fingerprint(data, position, mod)
        while True:
            if digest & _MASK == 0:
                return position
            if position == high:
                break
            digest ^= out[data[position - _WINDOW]]
            digest = ((digest << _EIGHT) | np.uint64(data[position])) ^ mod[digest >> _SHIFT]
            position += 1
    return -1


def compile_engine() -> Compiled:
    """Compile the loop for this processor."""
    types = numba.types
    table = types.CPointer(types.uint64)
    signature = types.int64(types.CPointer(types.uint8), types.int64, types.int64, table, table)
    compiled = numba.cfunc(signature)(_scan)
    library = compiled._library
    name = compiled.native_name.removeprefix("cfunc.")
    address = library.get_pointer_to_function(name)
    return Compiled(first_cut_at(address), extract(library._get_compiled_object(), name), compiled)


def compile_code() -> bytes | None:
    """Return the machine code of the loop for this processor, None if it cannot be moved."""
    return compile_engine().code
