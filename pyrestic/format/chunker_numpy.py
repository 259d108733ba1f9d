"""The chunker's inner loop in numpy: thousands of short lanes of one block advance together."""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from pyrestic.format.rabin import SPLIT_MASK, WINDOW, Tables

_LANE = 256
_LANES = 1024
_EIGHT = np.uint64(8)
_SHIFT = np.uint64(45)
_MASK = np.uint64(SPLIT_MASK)


def first_cut(data: NDArray[np.uint8], low: int, high: int, tables: Tables) -> int:
    """Return the first position from low to high whose last 64 bytes allow a cut, or -1."""
    position = low
    while position <= high:
        count = high - position + 1
        lanes = min(_LANES, -(-count // _LANE))
        found = _scan(data, position, min(high, position + lanes * _LANE - 1), lanes, tables)
        if found >= 0:
            return found
        position += lanes * _LANE
    return -1


def _scan(data: NDArray[np.uint8], low: int, high: int, lanes: int, tables: Tables) -> int:
    """Scan lanes * 256 positions from low; only those up to high count."""
    steps = WINDOW + _LANE - 1
    block = data[low - WINDOW : high]
    needed = (lanes - 1) * _LANE + steps
    if len(block) < needed:
        block = np.concatenate([block, np.zeros(needed - len(block), dtype=np.uint8)])
    # Row t holds the byte that every lane consumes at step t.
    rows = np.ascontiguousarray(as_strided(block, (steps, lanes), (1, _LANE)))
    digest = np.zeros(lanes, dtype=np.uint64)
    best = -1
    for step in range(steps):
        if step >= WINDOW:
            digest ^= tables.out[rows[step - WINDOW]]
        top = digest >> _SHIFT
        digest <<= _EIGHT
        digest |= rows[step]
        digest ^= tables.mod[top]
        if step >= WINDOW - 1:
            hits = np.flatnonzero((digest & _MASK) == 0)
            if len(hits):
                found = low + int(hits[0]) * _LANE + step - (WINDOW - 1)
                if found <= high and (best < 0 or found < best):
                    best = found
    return best
