"""Index rows: the locations of blobs as columns, sorted by ID.

Memory determines the design. A blob is not an object but a row: 32 bytes of ID, 1 of type, 4 each of pack number,
offset, stored length and plain length, 49 bytes in total, plus 1 to 2 bytes of a table that maps the first bits of an
ID to the few rows that share them. A lookup is one table step and two or three comparisons. Rows are sorted column by
column, so that there are never much more than two copies of them.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrestic.format.index_file import Columns
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType
from pyrestic.ids import ID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from pyrestic import later_numpy as np

BLOB_TYPES = (BlobType.DATA, BlobType.TREE)
"""The types by their numbers in a column."""
_WORTH_DETACHING = 1 << 15


class Rows(NamedTuple):
    """The columns of a segment, sorted by ID."""

    first: NDArray[np.uint64]
    """The first 8 bytes of the ID as a number."""
    rest: NDArray[np.uint8]
    """The other 24 bytes, shape (n, 24)."""
    types: NDArray[np.uint8]
    pack_numbers: NDArray[np.uint32]
    offsets: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    plain_lengths: NDArray[np.uint32]


def detach(columns: Columns) -> Columns:
    """Return equal columns in memory of their own, which returns to the system as soon as a column is freed.

    Ordinary allocations, in pieces of a megabyte by several threads, largely stay with the process. Small columns are
    not moved, because the system also limits the number of mappings.
    """
    arrays: tuple[NDArray[Any], ...] = columns[1:]
    return Columns(columns.packs, *map(_detached, arrays))


def _detached(column: NDArray[Any]) -> NDArray[Any]:
    if column.nbytes < _WORTH_DETACHING:
        return column
    own = np.frombuffer(mmap.mmap(-1, column.nbytes), column.dtype).reshape(column.shape)
    own[:] = column
    return own


def sort_rows(parts: list[Columns]) -> Rows:
    """Return the rows of all parts, sorted. `parts` is emptied, which frees memory as early as possible."""
    count = sum(len(part.ids) for part in parts)
    ids = [part.ids for part in parts]
    others: list[list[NDArray[Any]]] = [[getattr(part, name) for part in parts] for name in Columns._fields[2:]]
    parts.clear()
    whole = _join(ids, count)
    first = np.ascontiguousarray(whole[:, :8]).view(">u8").reshape(count).astype(np.uint64)
    order = np.argsort(first, kind="stable")
    first = first[order]
    rest = whole[order, 8:]
    del whole
    return Rows(first, rest, *(_join(column, count)[order] for column in others))


def _join(parts: list[NDArray[Any]], count: int) -> NDArray[Any]:
    """Return the concatenated parts; each is freed as soon as it was copied."""
    if len(parts) == 1:
        return parts.pop()
    whole = np.empty((count, *parts[0].shape[1:]), parts[0].dtype)
    end = count
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def entries_of(columns: Columns) -> list[HeaderEntry]:
    """Return the blobs of some rows as objects."""
    ids = columns.ids.tobytes()
    return [
        HeaderEntry(BLOB_TYPES[kind], ids[32 * row : 32 * row + 32], offset, length, plain_length or None)
        for row, (kind, offset, length, plain_length) in enumerate(
            zip(
                columns.types.tolist(),
                columns.offsets.tolist(),
                columns.lengths.tolist(),
                columns.plain_lengths.tolist(),
                strict=True,
            )
        )
    ]


class Segment:
    """Rows sorted by ID, immutable once built."""

    def __init__(self, rows: Rows) -> None:
        self.first, self.rest, self.types, self.pack_numbers, self.offsets, self.lengths, self.plain_lengths = rows
        count = len(self.first)
        bits = max(1, count.bit_length() - 2)
        self._shift = 64 - bits
        edges = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(self._shift)
        starts = np.zeros((1 << bits) + 1, dtype=np.uint32)
        starts[1:-1] = np.searchsorted(self.first, edges)
        starts[-1] = count
        # Plain Python reads single items of a memoryview several times faster than those of an array.
        self._starts = starts.data
        self._first = self.first.data
        self._types = self.types.data
        self._rest = self.rest.reshape(-1).data

    def __len__(self) -> int:
        return len(self.first)

    def find_rows(self, blob_type: int, identifier: ID) -> list[int]:
        """Return the rows that hold this blob."""
        key = int.from_bytes(identifier[:8], "big")
        bucket = key >> self._shift
        low, high = self._starts[bucket], self._starts[bucket + 1]
        if low == high:
            return []
        first = self._first
        row = bisect_left(first, key, low, high)
        found = []
        tail = identifier[8:]
        while row < high and first[row] == key:
            if self._types[row] == blob_type and self._rest[row * 24 : row * 24 + 24] == tail:
                found.append(row)
            row += 1
        return found

    def contains(self, blob_type: int, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which blobs are certainly here. Rows that share their first 8 bytes with another may be missed."""
        if not len(self):
            return np.zeros(len(ids), dtype=np.bool_)
        keys = np.ascontiguousarray(ids[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
        rows = np.minimum(np.searchsorted(self.first, keys), len(self) - 1)
        found: NDArray[np.bool_] = (self.first[rows] == keys) & (self.types[rows] == blob_type)
        found &= np.all(self.rest[rows] == ids[:, 8:], axis=1)
        return found

    def identifier(self, row: int) -> ID:
        """Return the blob ID of a row."""
        return int(self._first[row]).to_bytes(8, "big") + bytes(self._rest[row * 24 : row * 24 + 24])

    def columns_of(self, rows: NDArray[np.intp]) -> Columns:
        """Return the given rows, in that order."""
        ids = np.empty((len(rows), 32), dtype=np.uint8)
        ids[:, :8] = self.first[rows].astype(">u8").view(np.uint8).reshape(-1, 8)
        ids[:, 8:] = self.rest[rows]
        return Columns(
            [],
            ids,
            self.types[rows],
            self.pack_numbers[rows],
            self.offsets[rows],
            self.lengths[rows],
            self.plain_lengths[rows],
        )

    @property
    def rows(self) -> Rows:
        """All columns."""
        return Rows(
            self.first, self.rest, self.types, self.pack_numbers, self.offsets, self.lengths, self.plain_lengths
        )

    def columns(self) -> Columns:
        """Return the rows with whole IDs, ready to be merged."""
        ids = np.empty((len(self), 32), dtype=np.uint8)
        ids[:, :8] = self.first.astype(">u8").view(np.uint8).reshape(-1, 8)
        ids[:, 8:] = self.rest
        return Columns([], ids, self.types, self.pack_numbers, self.offsets, self.lengths, self.plain_lengths)
