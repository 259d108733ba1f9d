"""All blobs of an index as numbers, for bulk queries: which blobs are used, and what packs contain.

Every blob and every pack has a number; a row is one location of a blob. A blob takes about 70 bytes here, a tenth of a
set of handles.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.pack import COMPRESSED_ENTRY_LENGTH, ENTRY_LENGTH, TRAILER_LENGTH
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.repository.index import Index, PackedBlob

_HANDLE_LENGTH: Final = 33
_HANDLE = f"S{_HANDLE_LENGTH}"
"""The type of a blob as a byte, then its ID. All have equal length, so it does not matter that numpy strips zeros."""


class BlobTable:
    """The locations of all blobs, row by row, sorted by pack and offset; a location in two index files appears once."""

    def __init__(self, index: Index) -> None:
        columns = index.all_columns()
        named = np.unique(columns.pack_numbers).tolist()
        self.packs: list[ID] = list(dict.fromkeys(columns.packs[number] for number in named))
        self.pack_numbers: dict[ID, int] = {pack: number for number, pack in enumerate(self.packs)}
        distinct = np.array([self.pack_numbers.get(pack, -1) for pack in columns.packs], np.int64)
        handles = np.empty((len(columns.ids), _HANDLE_LENGTH), np.uint8)
        handles[:, 0] = columns.types
        handles[:, 1:] = columns.ids
        self._handles, numbers = np.unique(handles.view(_HANDLE).reshape(-1), return_inverse=True)
        blobs = numbers.reshape(-1).astype(np.int64)
        packs = distinct[columns.pack_numbers]
        offsets = columns.offsets.astype(np.int64)
        order = np.lexsort((blobs, offsets, packs))
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = np.diff(packs[order]) | np.diff(offsets[order]) | np.diff(blobs[order])
        rows = order[fresh]
        self.pack: NDArray[np.int64] = packs[rows]
        self.blob: NDArray[np.int64] = blobs[rows]
        self.offset: NDArray[np.int64] = offsets[rows]
        self.length: NDArray[np.int64] = columns.lengths[rows].astype(np.int64)
        self.plain_length: NDArray[np.uint32] = columns.plain_lengths[rows]

    @property
    def blob_count(self) -> int:
        """The number of different blobs."""
        return len(self._handles)

    def handle(self, blob: int) -> BlobHandle:
        """Return type and ID of the blob with a number."""
        raw = self._handles[blob : blob + 1].tobytes()
        return BlobHandle(BlobType(raw[0]), raw[1:])

    def is_tree(self) -> NDArray[np.bool_]:
        """Return for each row whether its blob is a tree."""
        types = self._handles.view(np.uint8).reshape(-1, _HANDLE_LENGTH)[:, 0]
        return np.asarray(types[self.blob] == BlobType.TREE)

    def entry_length(self) -> NDArray[np.int64]:
        """Return for each row the bytes of its entry in the pack's header."""
        return np.where(self.plain_length > 0, COMPRESSED_ENTRY_LENGTH, ENTRY_LENGTH).astype(np.int64)

    def place(self, row: int) -> PackedBlob:
        """Return a row."""
        kind, identifier = self.handle(int(self.blob[row]))
        plain_length = int(self.plain_length[row]) or None
        pack = self.packs[self.pack[row]]
        return PackedBlob(kind, identifier, pack, int(self.offset[row]), int(self.length[row]), plain_length)

    def find(self, handles: bytes) -> tuple[NDArray[np.int64], list[BlobHandle]]:
        """Return the numbers of blobs given as concatenated type bytes and IDs, and the unknown ones."""
        wanted = np.frombuffer(handles, _HANDLE)
        places = np.searchsorted(self._handles, wanted)
        known = np.zeros(len(wanted), np.bool_)
        inside = places < len(self._handles)
        known[inside] = self._handles[places[inside]] == wanted[inside]
        unknown = [
            BlobHandle(BlobType(raw[0]), raw[1:])
            for raw in (wanted[row : row + 1].tobytes() for row in np.flatnonzero(~known).tolist())
        ]
        return places[known].astype(np.int64), unknown


HEADER_OVERHEAD: Final = OVERHEAD + TRAILER_LENGTH
"""Bytes of a pack besides its blobs and their header entries."""


def encode_handles(blob_type: BlobType, identifiers: Iterable[ID]) -> bytes:
    """Return blobs of a type in the form for BlobTable.find."""
    prefix = bytes((blob_type,))
    return b"".join(prefix + identifier for identifier in identifiers)
