"""Rabin fingerprints of the last 64 bytes, shared by the chunker engines.

A fingerprint is the window as a polynomial over GF(2), modulo the repository's polynomial (restic design document,
"Content Defined Chunking").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pyrestic.errors import UsageError
from pyrestic.format.polynomial import DEGREE, degree, modulo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from pyrestic import later_numpy as np

WINDOW = 64
SPLIT_MASK = (1 << 20) - 1


class Tables(NamedTuple):
    """Per byte: the value that removes it from the window, and the value that reduces the top bits of a fingerprint."""

    out: NDArray[np.uint64]
    mod: NDArray[np.uint64]


class FirstCut(Protocol):
    """Finds the first possible cut."""

    def __call__(self, data: NDArray[np.uint8], low: int, high: int, tables: Tables, /) -> int:
        """Return the first position p, low <= p <= high, where the 64 bytes before p allow a cut, or -1."""


def ensure_usable(polynomial: int) -> None:
    """Raise UsageError if the degree of a polynomial is not 53."""
    if degree(polynomial) != DEGREE:
        raise UsageError(f"a chunker polynomial has degree {DEGREE}, not {degree(polynomial)}")


@lru_cache(maxsize=8)
def make_tables(polynomial: int) -> Tables:
    """Return the tables of a polynomial of degree 53."""
    ensure_usable(polynomial)
    out = _linear(lambda byte: modulo(byte << 8 * (WINDOW - 1), polynomial))
    mod = _linear(lambda byte: modulo(byte << DEGREE, polynomial) | byte << DEGREE)
    return Tables(out, mod)


def _linear(value: Callable[[int], int]) -> NDArray[np.uint64]:
    """Return the values of all bytes for a function that is linear in their bits: eight of them determine the rest."""
    table = [0] * 256
    for bit in range(8):
        one = value(1 << bit)
        for byte in range(1 << bit):
            table[1 << bit | byte] = table[byte] ^ one
    return np.array(table, dtype=np.uint64)
