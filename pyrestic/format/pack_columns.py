"""The blobs of a pack as columns: like pack.py, for packs of thousands of short blobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyrestic.format import pack
from pyrestic.format.index_file import Columns
from pyrestic.format.pack import COMPRESSED_BIT, COMPRESSED_ENTRY_LENGTH, ENTRY_LENGTH, HeaderEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from pyrestic import later_numpy as np


def columns_of(entries: Iterable[HeaderEntry]) -> Columns:
    """Return entries as columns, all of pack number 0."""
    rows = list(entries)
    return Columns(
        packs=[],
        ids=np.frombuffer(b"".join([entry.id for entry in rows]), np.uint8).reshape(-1, 32),
        types=np.array([entry.type for entry in rows], np.uint8),
        pack_numbers=np.zeros(len(rows), np.uint32),
        offsets=np.array([entry.offset for entry in rows], np.uint32),
        lengths=np.array([entry.length for entry in rows], np.uint32),
        plain_lengths=np.array([entry.plain_length or 0 for entry in rows], np.uint32),
    )


def encode_header(blobs: Columns) -> bytes:
    """Return the result of pack.encode_header for the same blobs."""
    compressed = blobs.plain_lengths > 0
    entries = np.empty((len(compressed), COMPRESSED_ENTRY_LENGTH), np.uint8)
    entries[:, 0] = blobs.types + COMPRESSED_BIT * compressed
    entries[:, 1:5] = _bytes_of(blobs.lengths)
    entries[:, 5:9] = _bytes_of(blobs.plain_lengths)
    entries[:, 9:] = blobs.ids
    stored = np.ones_like(entries, bool)
    stored[:, 5 : 5 + COMPRESSED_ENTRY_LENGTH - ENTRY_LENGTH] = compressed[:, np.newaxis]
    header: bytes = entries[stored].tobytes()
    return header


def is_header_of(plain: bytes, blobs: Columns) -> bool:
    """Tell whether a parsed pack header lists exactly these blobs; raise FormatError if it is invalid."""
    found = _parse_compressed(plain)
    if found is None:
        found = columns_of(pack.parse_header(plain))
    return all(np.array_equal(one, other) for one, other in zip(_compared(found), _compared(blobs), strict=True))


def _compared(blobs: Columns) -> tuple[NDArray[Any], ...]:
    return blobs.ids, blobs.types, blobs.offsets, blobs.lengths, blobs.plain_lengths


def _parse_compressed(plain: bytes) -> Columns | None:
    """Return the blobs of a header if all are compressed."""
    if not plain or len(plain) % COMPRESSED_ENTRY_LENGTH:
        return None
    entries = np.frombuffer(plain, np.uint8).reshape(-1, COMPRESSED_ENTRY_LENGTH)
    types = entries[:, 0] - np.uint8(COMPRESSED_BIT)
    if np.any(types > 1):
        return None
    lengths = _numbers_of(entries[:, 1:5])
    return Columns(
        packs=[],
        ids=entries[:, 9:],
        types=types,
        pack_numbers=np.zeros(len(types), np.uint32),
        offsets=offsets_of(lengths),
        lengths=lengths,
        plain_lengths=_numbers_of(entries[:, 5:9]),
    )


def offsets_of(lengths: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the offsets of contiguous blobs of these lengths from the start of a pack."""
    return (np.cumsum(lengths, dtype=np.int64) - lengths).astype(np.uint32)


def _bytes_of(numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    return numbers.astype("<u4").view(np.uint8).reshape(-1, 4)


def _numbers_of(digits: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(digits).view("<u4").reshape(-1).astype(np.uint32)
