"""Where files are cut into chunks: Rabin fingerprints, the cuts of restic for any polynomial.

A cut may come where the low 20 bits of the fingerprint of the last 64 bytes are zero, but not before 512 KiB and at the
latest after 8 MiB (restic design document, "Content Defined Chunking"). Restic primes its window with a byte 1 at the
start of every chunk; that byte has left the window when 512 KiB are reached, so the fingerprint there depends on the
64 bytes before it alone. Hence the first 512 KiB of every chunk need no look at all, and the rest can be scanned as
several independent streams.
"""

import numpy as np
from typing_extensions import Buffer

from pyrestic.errors import UsageError
from pyrestic.format.rabin import WINDOW, FirstCut, make_tables

MIN_LENGTH = 512 << 10
MAX_LENGTH = 8 << 20


class Chunker:
    """Cuts for one polynomial; safe to use from any thread."""

    def __init__(self, polynomial: int, *, min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH) -> None:
        if not WINDOW <= min_length <= max_length:
            raise UsageError(f"chunks from {min_length} to {max_length} bytes are not possible")
        self._tables = make_tables(polynomial)
        self._min = min_length
        self._max = max_length

    def cuts(self, buffer: Buffer, length: int, *, final: bool, engine: FirstCut | None = None) -> list[int]:
        """Return where the chunks of buffer[:length] end, ascending; the buffer starts with a chunk.

        The last chunk may go on beyond the buffer: it is left out unless `final` says that nothing follows. Callers
        fill a large buffer before they ask, as an undecided rest is scanned again. Without `engine` numpy looks for the
        cuts; all engines find the same.
        """
        ends: list[int] = []
        start = 0
        if length >= self._min:
            if engine is None:
                # With compiled code nobody needs it.
                from pyrestic.format import chunker_numpy

                engine = chunker_numpy.first_cut
            data = np.frombuffer(memoryview(buffer), dtype=np.uint8, count=length)
            while length - start >= self._min:
                limit = start + self._max
                cut = engine(data, start + self._min, min(limit, length), self._tables)
                if cut < 0:
                    if limit > length:
                        break
                    cut = limit
                ends.append(cut)
                start = cut
        if final and start < length:
            ends.append(length)
        return ends
