"""Cuts files into chunks by Rabin fingerprints, at restic's positions for any polynomial.

A cut is possible if the low 20 bits of the fingerprint of the last 64 bytes are zero, but not before 512 KiB and at the
latest after 8 MiB (restic design document, "Content Defined Chunking"). Restic primes its window with a byte 1 at the
start of every chunk; that byte has left the window at 512 KiB, so the fingerprint there depends only on the 64 bytes
before it. Hence the first 512 KiB of every chunk can be skipped, and the rest can be scanned as several independent
streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Buffer

from pyrestic.errors import UsageError
from pyrestic.format.rabin import WINDOW, FirstCut, ensure_usable, make_tables

if TYPE_CHECKING:
    import numpy as np
else:
    from pyrestic import later_numpy as np

MIN_LENGTH = 512 << 10
MAX_LENGTH = 8 << 20


class Chunker:
    """Cuts for one polynomial; thread-safe."""

    def __init__(self, polynomial: int, *, min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH) -> None:
        if not WINDOW <= min_length <= max_length:
            raise UsageError(f"chunks from {min_length} to {max_length} bytes are not possible")
        ensure_usable(polynomial)
        self._polynomial = polynomial
        self._min = min_length
        self._max = max_length

    def cuts(self, buffer: Buffer, length: int, *, final: bool, engine: FirstCut | None = None) -> list[int]:
        """Return the ends of the chunks of buffer[:length], ascending; the buffer starts with a chunk.

        The last chunk may continue beyond the buffer: it is omitted unless `final` says that nothing follows. Fill a
        large buffer before each call, because an undecided rest is scanned again. Without `engine`, numpy finds the
        cuts; all engines find the same ones.
        """
        ends: list[int] = []
        start = 0
        if length >= self._min:
            if engine is None:
                # Not needed with compiled code.
                from pyrestic.format import chunker_numpy

                engine = chunker_numpy.first_cut
            tables = make_tables(self._polynomial)
            data = np.frombuffer(memoryview(buffer), dtype=np.uint8, count=length)
            while length - start >= self._min:
                limit = start + self._max
                cut = engine(data, start + self._min, min(limit, length), tables)
                if cut < 0:
                    if limit > length:
                        break
                    cut = limit
                ends.append(cut)
                start = cut
        if final and start < length:
            ends.append(length)
        return ends
