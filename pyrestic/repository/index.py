"""The index: in which pack, where and how long every blob is.

Memory decides the shape. A repository of 150 GB has some 200,000 to 5,000,000 blobs, so a blob is no object here but a
row in columns sorted by ID: 32 bytes of ID, 1 of type, 4 each of pack number, offset, stored length and plain length,
which is 49 bytes, and 1 to 2 bytes of a table that leads from the first bits of an ID to the few rows that share them.
A look-up is one table step and two or three comparisons. Blobs added by this process wait in a dictionary until they
are many enough to become columns of their own; column segments of like size are merged, so there are never more than a
handful.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrestic.format.indexfile import Columns
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID

_TYPES = (BlobType.DATA, BlobType.TREE)
_MERGE_FACTOR = 4
_RECENT_BLOBS = 20_000


class PackedBlob(NamedTuple):
    """A blob's place: pack, offset and stored length in bytes; plain_length is None if stored uncompressed."""

    type: BlobType
    id: ID
    pack: ID
    offset: int
    length: int
    plain_length: int | None

    @property
    def handle(self) -> BlobHandle:
        """Type and ID."""
        return BlobHandle(self.type, self.id)


class Segment:
    """Rows sorted by ID, immutable once built."""

    def __init__(self, columns: Columns) -> None:
        count = len(columns.ids)
        first = np.ascontiguousarray(columns.ids[:, :8]).view(">u8").reshape(count).astype(np.uint64)
        order = np.argsort(first, kind="stable")
        self.first: NDArray[np.uint64] = first[order]
        self.rest: NDArray[np.uint8] = np.ascontiguousarray(columns.ids[order, 8:])
        self.types = np.ascontiguousarray(columns.types[order])
        self.pack_numbers = np.ascontiguousarray(columns.pack_numbers[order])
        self.offsets = np.ascontiguousarray(columns.offsets[order])
        self.lengths = np.ascontiguousarray(columns.lengths[order])
        self.plain_lengths = np.ascontiguousarray(columns.plain_lengths[order])
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
        self._rest = self.rest.data.cast("B")

    def __len__(self) -> int:
        return len(self.first)

    def rows(self, blob_type: int, identifier: ID) -> list[int]:
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

    def identifier(self, row: int) -> ID:
        """Return the blob ID of a row."""
        return int(self._first[row]).to_bytes(8, "big") + bytes(self._rest[row * 24 : row * 24 + 24])

    def entries(self, rows: NDArray[np.intp]) -> list[HeaderEntry]:
        """Return the blobs of some rows, in that order."""
        first = self.first[rows].astype(">u8").view(np.uint8).reshape(-1, 8)
        ids = np.concatenate([first, self.rest[rows]], axis=1).tobytes()
        return [
            HeaderEntry(_TYPES[kind], ids[32 * row : 32 * row + 32], offset, length, plain_length or None)
            for row, (kind, offset, length, plain_length) in enumerate(
                zip(
                    self.types[rows].tolist(),
                    self.offsets[rows].tolist(),
                    self.lengths[rows].tolist(),
                    self.plain_lengths[rows].tolist(),
                    strict=True,
                )
            )
        ]

    def columns(self) -> Columns:
        """Return the rows as unsorted-style columns, for merging."""
        ids = np.empty((len(self), 32), dtype=np.uint8)
        ids[:, :8] = self.first.astype(">u8").view(np.uint8).reshape(-1, 8)
        ids[:, 8:] = self.rest
        return Columns([], ids, self.types, self.pack_numbers, self.offsets, self.lengths, self.plain_lengths)


class Index:
    """Where all blobs are. Look-ups may come from any thread; changes are serialised inside."""

    def __init__(self) -> None:
        self._segments: tuple[Segment, ...] = ()
        self._recent: dict[tuple[int, ID], list[tuple[int, HeaderEntry]]] = {}
        self._packs: list[ID] = []
        self._change = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._segments)) + sum(map(len, self._recent.values()))

    def has(self, handle: tuple[int, ID]) -> bool:
        """Tell whether any pack holds the blob."""
        if handle in self._recent:
            return True
        blob_type, identifier = handle
        return any(segment.rows(blob_type, identifier) for segment in self._segments)

    def find(self, handle: tuple[int, ID]) -> PackedBlob | None:
        """Return one place of the blob, or None."""
        return next(iter(self.find_all(handle)), None)

    def find_all(self, handle: tuple[int, ID]) -> list[PackedBlob]:
        """Return every place of the blob."""
        places = [
            PackedBlob(entry.type, entry.id, self._packs[number], entry.offset, entry.length, entry.plain_length)
            for number, entry in self._recent.get(handle, ())
        ]
        blob_type, identifier = handle
        for segment in self._segments:
            places += [self._place(segment, row) for row in segment.rows(blob_type, identifier)]
        return places

    def plain_length(self, handle: tuple[int, ID]) -> int | None:
        """Return the blob's plaintext length in bytes, or None if it is unknown."""
        place = self.find(handle)
        if place is None:
            return None
        return place.length - 32 if place.plain_length is None else place.plain_length

    def packs(self) -> set[ID]:
        """Return the IDs of all packs that any blob lies in."""
        return set(self._packs)

    def blobs(self) -> Iterator[PackedBlob]:
        """Iterate all places of all blobs, in no order."""
        segments, recent = self._segments, list(self._recent.values())
        for segment in segments:
            for row in range(len(segment)):
                yield self._place(segment, row)
        for entries in recent:
            for number, entry in entries:
                yield PackedBlob(
                    entry.type, entry.id, self._packs[number], entry.offset, entry.length, entry.plain_length
                )

    def all_columns(self) -> Columns:
        """Return all places of all blobs, in no order; the same pack may stand twice in the list of packs."""
        self._settle()
        parts = [segment.columns() for segment in self._segments] or [_NOTHING]
        return _concatenate(parts)._replace(packs=list(self._packs))

    def by_pack(self) -> Iterator[tuple[ID, list[HeaderEntry]]]:
        """Iterate packs with their blobs sorted by offset; a pack named by two index files comes once."""
        self._settle()
        numbers: dict[ID, list[int]] = {}
        for number, pack in enumerate(self._packs):
            numbers.setdefault(pack, []).append(number)
        sorted_segments = [(s, np.lexsort((s.offsets, s.pack_numbers))) for s in self._segments]
        starts = [
            np.searchsorted(segment.pack_numbers[order], np.arange(len(self._packs) + 1))
            for segment, order in sorted_segments
        ]
        for pack, its_numbers in numbers.items():
            parts = [
                segment.entries(order[start[number] : start[number + 1]])
                for (segment, order), start in zip(sorted_segments, starts, strict=True)
                for number in its_numbers
                if start[number] < start[number + 1]
            ]
            if len(parts) == 1:
                yield pack, parts[0]
            else:
                entries = dict.fromkeys(entry for part in parts for entry in part)
                yield pack, sorted(entries, key=lambda entry: entry.offset)

    def add_columns(self, all_columns: list[Columns]) -> None:
        """Take the content of index files; each brings its own list of packs."""
        parts = []
        with self._change:
            for columns in all_columns:
                base = len(self._packs)
                self._packs.extend(columns.packs)
                parts.append(columns._replace(packs=[], pack_numbers=columns.pack_numbers + np.uint32(base)))
            if any(len(part.ids) for part in parts):
                self._push(Segment(_concatenate(parts)))

    def add_pack(self, pack: ID, entries: list[HeaderEntry]) -> None:
        """Take a pack that was stored just now."""
        with self._change:
            number = len(self._packs)
            self._packs.append(pack)
            for entry in entries:
                self._recent.setdefault((entry.type, entry.id), []).append((number, entry))
        if len(self._recent) > _RECENT_BLOBS:
            self._settle()

    def _settle(self) -> None:
        """Turn the recent blobs into a segment."""
        with self._change:
            if not self._recent:
                return
            rows = [(number, entry) for entries in self._recent.values() for number, entry in entries]
            ids = np.frombuffer(b"".join(entry.id for _, entry in rows), dtype=np.uint8).reshape(-1, 32)
            columns = Columns(
                [],
                ids,
                np.array([entry.type for _, entry in rows], dtype=np.uint8),
                np.array([number for number, _ in rows], dtype=np.uint32),
                np.array([entry.offset for _, entry in rows], dtype=np.uint32),
                np.array([entry.length for _, entry in rows], dtype=np.uint32),
                np.array([entry.plain_length or 0 for _, entry in rows], dtype=np.uint32),
            )
            self._push(Segment(columns))
            # Only now: a look-up in another thread sees the rows in one place or in both, never in none.
            self._recent = {}

    def _push(self, segment: Segment) -> None:
        segments = list(self._segments)
        while segments and len(segments[-1]) < _MERGE_FACTOR * len(segment):
            segment = Segment(_concatenate([segments.pop().columns(), segment.columns()]))
        self._segments = (*segments, segment)

    def _place(self, segment: Segment, row: int) -> PackedBlob:
        return PackedBlob(
            _TYPES[segment.types[row]],
            segment.identifier(row),
            self._packs[segment.pack_numbers[row]],
            int(segment.offsets[row]),
            int(segment.lengths[row]),
            int(segment.plain_lengths[row]) or None,
        )


_NUMBERS: Final = np.empty(0, np.uint32)
_NOTHING: Final = Columns(
    [], np.empty((0, 32), np.uint8), np.empty(0, np.uint8), _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS
)


def _concatenate(parts: list[Columns]) -> Columns:
    arrays = [np.concatenate([part[column] for part in parts]) for column in range(1, 7)]
    return Columns([], *arrays)
