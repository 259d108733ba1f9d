"""Where files are cut into chunks: Rabin fingerprints, the cuts of restic for any polynomial.

A cut may come where the low 20 bits of the fingerprint of the last 64 bytes are zero, but not before 512 KiB and at the
latest after 8 MiB (restic design document, "Content Defined Chunking"). Restic primes its window with a byte 1 at the
start of every chunk; that byte has left the window when 512 KiB are reached, so the fingerprint there depends on the
64 bytes before it alone. Hence the first 512 KiB of every chunk need no look at all, and the rest can be scanned as
several independent streams.
"""

import importlib.util
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from typing_extensions import Buffer

from pyrestic.errors import UsageError
from pyrestic.format.rabin import WINDOW, FirstCut, make_tables

MIN_LENGTH = 512 << 10
MAX_LENGTH = 8 << 20


@lru_cache(maxsize=2)
def _find_engine(name: str | None) -> FirstCut:
    if name is None:
        name = "numba" if has_numba() else "numpy"
    # Imported at the first use: numba takes half a second, and most runs never cut a file.
    if name == "numba":
        from pyrestic.native.sources.chunker import compile_engine

        return compile_engine().first_cut
    if name == "numpy":
        from pyrestic.format.chunker_numpy import first_cut

        return first_cut
    raise UsageError(f"there is no chunker engine {name!r}")


def has_numba() -> bool:
    """Tell whether the fast engine can be compiled here."""
    return importlib.util.find_spec("numba") is not None


class Chunker:
    """Cuts for one polynomial; safe to use from any thread.

    `engine` is "numba" or "numpy", or what gives an engine when the first long file comes; None takes the faster one.
    """

    def __init__(
        self,
        polynomial: int,
        *,
        engine: str | Callable[[], FirstCut] | None = None,
        min_length: int = MIN_LENGTH,
        max_length: int = MAX_LENGTH,
    ) -> None:
        if not WINDOW <= min_length <= max_length:
            raise UsageError(f"chunks from {min_length} to {max_length} bytes are not possible")
        self._tables = make_tables(polynomial)
        self._engine = engine if callable(engine) else lambda: _find_engine(engine)
        self._min = min_length
        self._max = max_length
        self._first_cut: FirstCut | None = None

    def warm_up(self) -> None:
        """Import and compile the engine now."""
        self._first_cut = self._engine()
        self._first_cut(np.zeros(2 * WINDOW, dtype=np.uint8), WINDOW, 2 * WINDOW, self._tables)

    def cuts(self, buffer: Buffer, length: int, *, final: bool) -> list[int]:
        """Return where the chunks of buffer[:length] end, ascending; the buffer starts with a chunk.

        The last chunk may go on beyond the buffer: it is left out unless `final` says that nothing follows. Callers
        fill a large buffer before they ask, as an undecided rest is scanned again.
        """
        ends: list[int] = []
        start = 0
        if length >= self._min:
            if self._first_cut is None:
                self._first_cut = self._engine()
            data = np.frombuffer(memoryview(buffer), dtype=np.uint8, count=length)
            while length - start >= self._min:
                limit = start + self._max
                cut = self._first_cut(data, start + self._min, min(limit, length), self._tables)
                if cut < 0:
                    if limit > length:
                        break
                    cut = limit
                ends.append(cut)
                start = cut
        if final and start < length:
            ends.append(length)
        return ends
