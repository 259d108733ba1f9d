"""The index: the pack, offset and length of every blob.

A repository of 150 GB has some 200,000 to 5,000,000 blobs: a blob is a row in columns sorted by ID, called a segment.
Blobs added by this process stay in a dictionary until they are numerous enough to become a segment; segments of similar
size are merged, so there are never more than a handful.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.index_file import Columns
from pyrestic.format.pack import HeaderEntry
from pyrestic.format.pack_columns import columns_of
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, split_ids
from pyrestic.repository.index_columns import BLOB_TYPES, Segment, entries_of, sort_rows

if TYPE_CHECKING:
    import numpy as np
else:
    from pyrestic import later_numpy as np

_MERGE_FACTOR = 4
_RECENT_BLOBS = 20_000
_MANY_BLOBS = 1000
"""A pack with this number of blobs becomes a segment at once."""


class PackedBlob(NamedTuple):
    """A blob's location: pack, offset and stored length in bytes; plain_length is None if stored uncompressed."""

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


class PackTotals(NamedTuple):
    """Totals of a pack's blobs: their number, how many are compressed and how many are trees, their stored length."""

    blobs: int
    compressed: int
    trees: int
    length: int


class Index:
    """The locations of all blobs. Lookups are thread-safe; changes are serialized."""

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
        for segment in self._segments:  # noqa: SIM110 - a generator would cost more than the look-up
            if segment.find_rows(blob_type, identifier):
                return True
        return False

    def has_all(self, blob_type: int, identifiers: bytes) -> bool:
        """Tell whether packs hold all of these blobs, given as concatenated IDs."""
        if not self._segments:
            return all((blob_type, identifier) in self._recent for identifier in split_ids(identifiers))
        ids = np.frombuffer(identifiers, dtype=np.uint8).reshape(-1, 32)
        for segment in self._segments:
            if not len(ids):
                return True
            ids = ids[~segment.contains(blob_type, ids)]
        return all(self.has((blob_type, identifier.tobytes())) for identifier in ids)

    def find(self, handle: tuple[int, ID]) -> PackedBlob | None:
        """Return one location of the blob, or None."""
        return next(iter(self.find_all(handle)), None)

    def find_all(self, handle: tuple[int, ID]) -> list[PackedBlob]:
        """Return every location of the blob."""
        places = [
            PackedBlob(entry.type, entry.id, self._packs[number], entry.offset, entry.length, entry.plain_length)
            for number, entry in self._recent.get(handle, ())
        ]
        blob_type, identifier = handle
        for segment in self._segments:
            places += [self._place(segment, row, identifier) for row in segment.find_rows(blob_type, identifier)]
        return places

    def plain_length(self, handle: tuple[int, ID]) -> int | None:
        """Return the blob's plaintext length in bytes, or None if it is unknown."""
        # The recent ones first: they may become a segment meanwhile.
        for _, entry in self._recent.get(handle, ()):
            return entry.length - OVERHEAD if entry.plain_length is None else entry.plain_length
        blob_type, identifier = handle
        for segment in self._segments:
            for row in segment.find_rows(blob_type, identifier):
                return int(segment.plain_lengths[row]) or int(segment.lengths[row]) - OVERHEAD
        return None

    def stored_length(self) -> int:
        """Return the stored bytes of all blobs."""
        recent = sum(entry.length for entries in self._recent.values() for _, entry in entries)
        return recent + sum(int(segment.lengths.sum(dtype=np.int64)) for segment in self._segments)

    def packs(self) -> set[ID]:
        """Return the IDs of all packs that contain blobs."""
        return set(self._packs)

    def pack_list(self) -> list[ID]:
        """Return the packs by their numbers in the segments; a pack may appear twice."""
        return list(self._packs)

    def segments(self) -> tuple[Segment, ...]:
        """Return all locations of all blobs as columns."""
        self._settle()
        return self._segments

    def blobs(self) -> Iterator[PackedBlob]:
        """Iterate all locations of all blobs, in any order."""
        segments, recent = self._segments, list(self._recent.values())
        for segment in segments:
            for row in range(len(segment)):
                yield self._place(segment, row, segment.identifier(row))
        for entries in recent:
            for number, entry in entries:
                yield PackedBlob(
                    entry.type, entry.id, self._packs[number], entry.offset, entry.length, entry.plain_length
                )

    def all_columns(self) -> Columns:
        """Return all locations of all blobs, in any order; a pack may appear twice in the list of packs."""
        self._settle()
        parts = [segment.columns() for segment in self._segments] or [_make_nothing()]
        return _concatenate(parts)._replace(packs=list(self._packs))

    def totals_by_pack(self) -> Iterator[tuple[ID, PackTotals]]:
        """Iterate packs in the order of by_pack with the totals of their blobs, much faster."""
        self._settle()
        count = len(self._packs)
        sums = np.zeros((count, len(PackTotals._fields)), np.int64)
        for segment in self._segments:
            for column, weights in enumerate((None, segment.plain_lengths > 0, segment.types, segment.lengths)):
                sums[:, column] += np.bincount(segment.pack_numbers, weights, count).astype(np.int64)
        totals = list(map(PackTotals._make, sums.tolist()))
        numbers = self._pack_numbers()
        several = {pack for pack, its_numbers in numbers.items() if len(its_numbers) > 1}
        merged = {pack: _sum(entries) for pack, entries in self.by_pack(several)} if several else {}
        for pack, its_numbers in numbers.items():
            yield pack, merged.get(pack) or totals[its_numbers[0]]

    def by_pack(self, only: Container[ID] | None = None) -> Iterator[tuple[ID, list[HeaderEntry]]]:
        """Iterate packs, all or some, with their blobs sorted by offset; a pack in two index files appears once."""
        return ((pack, entries_of(columns)) for pack, columns in self.columns_by_pack(only))

    def columns_by_pack(self, only: Container[ID] | None = None) -> Iterator[tuple[ID, Columns]]:
        """Iterate as `by_pack` does; the blobs are rows, which take a tenth of the memory."""
        self._settle()
        numbers = {pack: its for pack, its in self._pack_numbers().items() if only is None or pack in only}
        sorted_segments = [(s, np.lexsort((s.offsets, s.pack_numbers))) for s in self._segments]
        starts = [
            np.searchsorted(segment.pack_numbers[order], np.arange(len(self._packs) + 1))
            for segment, order in sorted_segments
        ]
        for pack, its_numbers in numbers.items():
            parts = [
                segment.columns_of(order[start[number] : start[number + 1]])
                for (segment, order), start in zip(sorted_segments, starts, strict=True)
                for number in its_numbers
                if start[number] < start[number + 1]
            ]
            yield pack, parts[0] if len(parts) == 1 else _join(parts)

    def _pack_numbers(self) -> dict[ID, list[int]]:
        """Return the numbers of each pack, one for each index file that lists it."""
        numbers: dict[ID, list[int]] = {}
        for number, pack in enumerate(self._packs):
            numbers.setdefault(pack, []).append(number)
        return numbers

    def add_columns(self, all_columns: list[Columns]) -> None:
        """Add the content of index files; each has its own list of packs. The list is emptied."""
        parts = []
        with self._change:
            for columns in all_columns:
                base = len(self._packs)
                self._packs.extend(columns.packs)
                parts.append(columns._replace(packs=[], pack_numbers=columns.pack_numbers + np.uint32(base)))
            all_columns.clear()
            if any(len(part.ids) for part in parts):
                self._push(parts)

    def add_segment(self, segment: Segment, packs: list[ID]) -> None:
        """Add a segment from `whole_segment`, with its packs, to an empty index."""
        with self._change:
            self._packs.extend(packs)
            if len(segment):
                self._segments = (segment,)

    def whole_segment(self) -> tuple[Segment, list[ID]] | None:
        """Return the only segment with its packs by number; None if there are several, or recent blobs."""
        with self._change:
            if len(self._segments) != 1 or self._recent:
                return None
            return self._segments[0], list(self._packs)

    def add_pack(self, pack: ID, entries: list[HeaderEntry]) -> None:
        """Add a pack that was just stored."""
        with self._change:
            number = len(self._packs)
            self._packs.append(pack)
            for entry in entries:
                self._recent.setdefault((entry.type, entry.id), []).append((number, entry))
        if len(self._recent) > _RECENT_BLOBS:
            self._settle()

    def add_rows(self, pack: ID, blobs: Columns) -> None:
        """Add a pack that was just stored, with its blobs as rows, whose pack numbers are ignored."""
        if len(blobs.ids) < _MANY_BLOBS:
            self.add_pack(pack, entries_of(blobs))
            return
        with self._change:
            number = len(self._packs)
            self._packs.append(pack)
            self._push([blobs._replace(packs=[], pack_numbers=np.full(len(blobs.ids), number, np.uint32))])

    def _settle(self) -> None:
        """Turn the recent blobs into a segment."""
        with self._change:
            if not self._recent:
                return
            rows = [(number, entry) for entries in self._recent.values() for number, entry in entries]
            columns = columns_of(entry for _, entry in rows)
            numbers = np.array([number for number, _ in rows], np.uint32)
            self._push([columns._replace(pack_numbers=numbers)])
            # Only now: a lookup in another thread sees the rows in one or both of them, never in neither.
            self._recent = {}

    def _push(self, parts: list[Columns]) -> None:
        """Merge new rows with the segments that are not much larger; `parts` is emptied."""
        segments = list(self._segments)
        count = sum(len(part.ids) for part in parts)
        while segments and len(segments[-1]) < _MERGE_FACTOR * count:
            merged = segments.pop()
            count += len(merged)
            parts.append(merged.columns())
        self._segments = (*segments, Segment(sort_rows(parts)))

    def _place(self, segment: Segment, row: int, identifier: ID) -> PackedBlob:
        return PackedBlob(
            BLOB_TYPES[segment.types[row]],
            identifier,
            self._packs[segment.pack_numbers[row]],
            int(segment.offsets[row]),
            int(segment.lengths[row]),
            int(segment.plain_lengths[row]) or None,
        )


def _make_nothing() -> Columns:
    """Return no rows."""
    numbers = np.empty(0, np.uint32)
    return Columns([], np.empty((0, 32), np.uint8), np.empty(0, np.uint8), numbers, numbers, numbers, numbers)


def _sum(entries: list[HeaderEntry]) -> PackTotals:
    compressed = sum(entry.plain_length is not None for entry in entries)
    trees = sum(entry.type is BlobType.TREE for entry in entries)
    return PackTotals(len(entries), compressed, trees, sum(entry.length for entry in entries))


def _join(parts: list[Columns]) -> Columns:
    """Return the blobs of a pack in several index files, each once, sorted by offset."""
    joined = _concatenate(parts or [_make_nothing()])
    rows = {entry: row for row, entry in enumerate(entries_of(joined))}
    order = np.array(sorted(rows.values(), key=lambda row: int(joined.offsets[row])), np.intp)
    return joined.take(order)


def _concatenate(parts: list[Columns]) -> Columns:
    arrays = [np.concatenate([part[column] for part in parts]) for column in range(1, 7)]
    return Columns([], *arrays)
