"""A copy of the entire index in the cache, in its memory layout: opening a large repository needs no parsing.

The copy lists the index files from which it was made. It is used if all of them are still in the repository; other
files are read as well. Once these add up to a quarter of it, they and the copy become one segment in memory, which is
stored as the next copy, so the cost of storing stays proportional to the new data.

The file contains the columns in pieces, each sealed with the repository's key like all stored data, then a sealed table
of contents, then the length of the table as eight bytes. The table contains the nonce of each piece, so that no piece
of another copy can be substituted. If anything is wrong with the copy, the index files are read instead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from pyrestic.backend.base import IndexCopyCache
from pyrestic.errors import BackendError, DamageError, FormatError
from pyrestic.format.crypto import NONCE_LENGTH, OVERHEAD
from pyrestic.format.document import decode
from pyrestic.format.index_file import Columns
from pyrestic.ids import ID, split_ids
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.index_columns import Rows, Segment
from pyrestic.repository.index_reading import IndexValues

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from pyrestic import later_numpy as np

WORTH_BLOBS: Final = 20_000
WORTH_FILES: Final = 16
"""From this number of blobs or index files on, a copy saves more than it costs."""

_VERSION: Final = 1
_PIECE: Final = 4 << 20
_LENGTH: Final = struct.Struct("<Q")
_DTYPES: Final = ("<u8", "u1", "u1", "<u4", "<u4", "<u4", "<u4")
_WIDTHS: Final = (8, 24, 1, 4, 4, 4, 4)


class CopiedFile(msgspec.Struct, frozen=True, array_like=True):
    """An index file in a copy: its ID, its number of packs, and its number of blobs."""

    id: bytes
    pack_count: int
    blob_count: int


class IndexCopy(NamedTuple):
    """The index files of a copy, their concatenated packs, and all rows."""

    files: list[CopiedFile]
    packs: list[ID]
    segment: Segment


class ReadIndex(NamedTuple):
    """The index data read: index files, a copy of others from the cache, and whether to store a new copy.

    A small index is read as values instead.
    """

    files: list[tuple[ID, Columns]]
    copy: IndexCopy | None = None
    keep: bool = False
    small: Sequence[IndexValues] = ()


class _Contents(msgspec.Struct):
    version: int
    rows: int
    files: list[CopiedFile]
    packs: bytes
    nonces: list[bytes]


_decoder: Final = msgspec.json.Decoder(_Contents)
_encoder: Final = msgspec.json.Encoder()


def is_worth_while(segment: Segment, files: list[CopiedFile]) -> bool:
    """Tell whether reading a copy would be faster than reading the files."""
    return len(segment) >= WORTH_BLOBS or len(files) >= WORTH_FILES


def save_copy(cache: IndexCopyCache, codec: BlobCodec, copy: IndexCopy) -> None:
    """Store a copy of the index; ignore failures."""
    cache.save_index_copy(_encode(codec, copy))


def _encode(codec: BlobCodec, copy: IndexCopy) -> Iterator[bytes]:
    nonces = []
    columns: tuple[NDArray[Any], ...] = copy.segment.rows
    for column, kind in zip(columns, _DTYPES, strict=True):
        data = column.astype(kind, copy=False).reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _PIECE):
            sealed = codec.seal(data[start : start + _PIECE])
            nonces.append(sealed[:NONCE_LENGTH])
            yield sealed
    contents = _Contents(_VERSION, len(copy.segment), copy.files, b"".join(copy.packs), nonces)
    sealed = codec.seal(_encoder.encode(contents))
    yield sealed
    yield _LENGTH.pack(len(sealed))


def load_copy(cache: IndexCopyCache, codec: BlobCodec, present: set[ID]) -> IndexCopy | None:
    """Return the stored copy, None if there is no valid one or it was made of files that are not `present`."""
    try:
        return _Reader(cache, codec).read(present)
    except (BackendError, DamageError):
        return None


class _Reader:
    def __init__(self, cache: IndexCopyCache, codec: BlobCodec) -> None:
        self._cache = cache
        self._codec = codec
        self._offset = 0

    def read(self, present: set[ID]) -> IndexCopy | None:
        contents = self._contents()
        if contents.version != _VERSION or not all(file.id in present for file in contents.files):
            return None
        nonces = iter(contents.nonces)
        columns = [
            self._column(nonces, contents.rows * width).view(kind) for kind, width in zip(_DTYPES, _WIDTHS, strict=True)
        ]
        columns[1] = columns[1].reshape(-1, _WIDTHS[1])
        packs = split_ids(contents.packs)
        if sum(file.pack_count for file in contents.files) != len(packs):
            raise FormatError("the copy of the index is damaged")
        return IndexCopy(contents.files, packs, Segment(Rows(*columns)))

    def _contents(self) -> _Contents:
        # The end first: reading from an offset to the end requires the length.
        length = self._cache.index_copy_length()
        (contents_length,) = _LENGTH.unpack(self._cache.load_index_copy(length - _LENGTH.size, _LENGTH.size))
        start = length - _LENGTH.size - contents_length
        return decode(_decoder, self._codec.open(self._cache.load_index_copy(start, contents_length)), "the index copy")

    def _column(self, nonces: Iterator[bytes], length: int) -> NDArray[Any]:
        """Return the next column of this number of bytes, opened in pieces so that it is in memory only once."""
        column = np.empty(length, np.uint8)
        for start in range(0, length, _PIECE):
            piece = min(_PIECE, length - start)
            sealed = self._cache.load_index_copy(self._offset, piece + OVERHEAD)
            if sealed[:NONCE_LENGTH] != next(nonces, None):
                raise FormatError("the copy of the index is made of parts that do not belong together")
            column[start : start + piece] = np.frombuffer(self._codec.open(sealed), np.uint8)
            self._offset += len(sealed)
        return column
