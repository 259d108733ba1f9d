"""Bulk lookups of blobs in columns, about ten times as fast as single lookups.

This works for blobs that the index lists exactly once; unknown blobs and those with several copies are looked up
individually.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrestic.handle import BlobType
from pyrestic.ids import ID
from pyrestic.repository.index import Index, PackedBlob
from pyrestic.repository.index_columns import Segment
from pyrestic.repository.loader import MAX_GAP, MAX_REQUEST


class Fetch(NamedTuple):
    """The cost of fetching blobs: the packs, the number of requests, and the bytes including skipped gaps."""

    packs: set[ID]
    requests: int
    length: int


def plan_fetch(index: Index, blob_type: BlobType, identifiers: bytes) -> Fetch | None:
    """Return the cost of fetching blobs, given as concatenated IDs; None if `plan` must choose between copies."""
    if not identifiers:
        return Fetch(set(), 0, 0)
    wanted = np.unique(np.frombuffer(identifiers, "S32")).view(np.uint8).reshape(-1, 32)
    places, clear = _find_all(index, blob_type, wanted)
    if not clear.all():
        return None
    names = index.pack_list()
    requests, length = _count_requests(places)
    return Fetch({names[number] for number in np.unique(places.packs).tolist()}, requests, length)


def find_places(index: Index, blob_type: BlobType, identifiers: Sequence[ID]) -> list[PackedBlob | None]:
    """Return one location for each of some distinct blobs, in their order, None for unknown ones.

    If there are several copies, one in a required pack is preferred.
    """
    if not identifiers:
        return []
    found, clear = _find_all(index, blob_type, np.frombuffer(b"".join(identifiers), np.uint8).reshape(-1, 32))
    names = index.pack_list()
    places: list[PackedBlob | None] = [None] * len(identifiers)
    columns = (column[clear].tolist() for column in found)
    for number, pack, offset, length, plain_length in zip(np.flatnonzero(clear).tolist(), *columns, strict=True):
        places[number] = PackedBlob(blob_type, identifiers[number], names[pack], offset, length, plain_length or None)
    needed = {names[number] for number in np.unique(found.packs[clear]).tolist()}
    for number in np.flatnonzero(~clear).tolist():
        copies = index.find_all((blob_type, identifiers[number]))
        if not copies:
            continue
        place = places[number] = next((copy for copy in copies if copy.pack in needed), copies[0])
        needed.add(place.pack)
    return places


class _Places(NamedTuple):
    """Columns: numbers of packs, offsets, lengths, plaintext lengths (0 for what is not compressed)."""

    packs: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    plain_lengths: NDArray[np.int64]


def _find_all(index: Index, blob_type: BlobType, wanted: NDArray[np.uint8]) -> tuple[_Places, NDArray[np.bool_]]:
    """Return locations of blobs, and a mask of the valid ones: those that the index lists exactly once."""
    found = _Places(*(np.full(len(wanted), -1, np.int64) for _ in _Places._fields))
    clear = np.ones(len(wanted), np.bool_)
    for segment in index.segments():
        places, rows, alike = _find(segment, blob_type, wanted)
        clear[alike] = False
        clear[places[found.packs[places] >= 0]] = False
        columns = (segment.pack_numbers, segment.offsets, segment.lengths, segment.plain_lengths)
        for target, column in zip(found, columns, strict=True):
            target[places] = column[rows]
    return found, clear & (found.packs >= 0)


def _find(
    segment: Segment, blob_type: BlobType, wanted: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which wanted blobs a segment has and in which rows, and those that may have several rows."""
    first = np.ascontiguousarray(wanted[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
    rows = np.searchsorted(segment.first, first)
    places = np.flatnonzero(rows < len(segment))
    rows = rows[places]
    same = segment.first[rows] == first[places]
    places, rows = places[same], rows[same]
    # Consecutive rows with equal ID prefixes are copies, or an extremely rare coincidence.
    following = np.minimum(rows + 1, len(segment) - 1)
    alike = places[(following > rows) & (segment.first[following] == segment.first[rows])]
    equal = (segment.types[rows] == blob_type) & (segment.rest[rows] == wanted[places, 8:]).all(axis=1)
    return places[equal], rows[equal], alike


def _count_requests(places: _Places) -> tuple[int, int]:
    """Return number and bytes of the requests from `split_ranges`."""
    packs, offsets, lengths, _ = places
    order = np.lexsort((offsets, packs))
    packs, offsets = packs[order], offsets[order]
    ends = offsets + lengths[order]
    breaks = np.ones(len(packs), np.bool_)
    breaks[1:] = (packs[1:] != packs[:-1]) | (offsets[1:] - ends[:-1] > MAX_GAP)
    starts = np.flatnonzero(breaks)
    lasts = np.append(starts[1:], len(packs)) - 1
    sizes = ends[lasts] - offsets[starts]
    short = sizes <= MAX_REQUEST
    requests, length = int(short.sum()), int(sizes[short].sum())
    for start, last in zip(starts[~short].tolist(), lasts[~short].tolist(), strict=True):
        begin, end = int(offsets[start]), int(ends[start])
        for offset, stop in zip(
            offsets[start + 1 : last + 1].tolist(), ends[start + 1 : last + 1].tolist(), strict=True
        ):
            if stop - begin > MAX_REQUEST:
                requests += 1
                length += end - begin
                begin = offset
            end = stop
        requests += 1
        length += end - begin
    return requests, length
