"""Index files: JSON that lists the blobs of packs (restic design document, "Indexing").

An index file of a large repository lists 50,000 blobs, so there are two readers: `parse` returns values,
`parse_columns` returns numpy columns, at 0.4 µs per blob. Both read the current layout, the older one with `supersedes`
(which is ignored) and the oldest, a bare list of packs.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec

from pyrestic.errors import FormatError
from pyrestic.format.document import UInt32, decode
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType
from pyrestic.ids import ID, ID_LENGTH, split_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from pyrestic import later_numpy as np

# Digits are checked later, for all IDs at once.
_HexId = Annotated[str, msgspec.Meta(min_length=2 * ID_LENGTH, max_length=2 * ID_LENGTH)]


class _BlobDocument(msgspec.Struct, gc=False, omit_defaults=True):
    id: _HexId
    type: Literal["data", "tree"]
    offset: UInt32
    length: UInt32
    uncompressed_length: UInt32 = 0


class _PackDocument(msgspec.Struct):
    id: _HexId
    blobs: list[_BlobDocument] | None = None


class _IndexDocument(msgspec.Struct):
    packs: list[_PackDocument] | None = None


_WORDS: Final[dict[BlobType, Literal["data", "tree"]]] = {BlobType.DATA: "data", BlobType.TREE: "tree"}
_TYPES: Final = {word: blob_type for blob_type, word in _WORDS.items()}
_decoder: Final = msgspec.json.Decoder(_IndexDocument)
_oldest_decoder: Final = msgspec.json.Decoder(list[_PackDocument])
_encoder: Final = msgspec.json.Encoder()


class IndexPack(NamedTuple):
    """A pack and its blobs in an index file."""

    id: ID
    blobs: list[HeaderEntry]


class Columns(NamedTuple):
    """The content of an index file, one row per blob, in file order. A blob may appear several times."""

    packs: list[ID]
    """IDs of the packs; `pack_numbers` are indexes into this list."""
    ids: NDArray[np.uint8]
    """Blob IDs, shape (n, 32)."""
    types: NDArray[np.uint8]
    """Values of BlobType."""
    pack_numbers: NDArray[np.uint32]
    offsets: NDArray[np.uint32]
    lengths: NDArray[np.uint32]
    """Stored lengths in bytes. Caution: offset + length may not fit into 32 bits."""
    plain_lengths: NDArray[np.uint32]
    """Plaintext lengths in bytes of compressed blobs, 0 for others."""

    def take(self, rows: NDArray[np.intp] | slice) -> Columns:
        """Return the given rows, in that order."""
        columns: list[NDArray[Any]] = [column[rows] for column in self[1:]]
        return Columns(self.packs, *columns)


class PackRows(NamedTuple):
    """A pack and its blobs as rows, whose pack numbers are ignored."""

    id: ID
    blobs: Columns


def encode(packs: Iterable[IndexPack]) -> bytes:
    """Return the JSON of an index file as restic writes it, with its final newline."""
    return _join(_PackDocument(pack.id.hex(), [_blob_document(entry) for entry in pack.blobs]) for pack in packs)


def encode_rows(packs: Iterable[PackRows]) -> bytes:
    """Return the same."""
    return _join(_PackDocument(pack.id.hex(), _blob_documents(pack.blobs)) for pack in packs)


def _join(packs: Iterable[_PackDocument]) -> bytes:
    # One by one: as documents, the blobs of a pack take more memory than their JSON.
    return b'{"packs":[' + b",".join(map(_encoder.encode, packs)) + b"]}\n"


def parse(data: bytes) -> list[IndexPack]:
    """Return the packs of an index file; raise FormatError if it is invalid."""
    packs = []
    for pack in _read_packs(data):
        blobs = pack.blobs or []
        ids = _id_bytes([blob.id for blob in blobs])
        entries = [
            HeaderEntry(
                _TYPES[blob.type],
                ids[row * ID_LENGTH : (row + 1) * ID_LENGTH],
                blob.offset,
                blob.length,
                blob.uncompressed_length or None,
            )
            for row, blob in enumerate(blobs)
        ]
        packs.append(IndexPack(_id_bytes([pack.id]), entries))
    return packs


def parse_columns(data: bytes) -> Columns:
    """Return an index file as columns; raise FormatError if it is invalid."""
    packs = _read_packs(data)
    pack_ids = _id_bytes([pack.id for pack in packs])
    blobs = [blob for pack in packs for blob in pack.blobs or ()]
    counts = [len(pack.blobs or ()) for pack in packs]
    return Columns(
        packs=split_ids(pack_ids),
        ids=np.frombuffer(_id_bytes([blob.id for blob in blobs]), np.uint8).reshape(-1, ID_LENGTH),
        types=np.fromiter([_TYPES[blob.type] for blob in blobs], np.uint8, len(blobs)),
        pack_numbers=np.repeat(np.arange(len(packs), dtype=np.uint32), counts),
        offsets=_column(blobs, "offset"),
        lengths=_column(blobs, "length"),
        plain_lengths=_column(blobs, "uncompressed_length"),
    )


def _blob_document(entry: HeaderEntry) -> _BlobDocument:
    return _BlobDocument(entry.id.hex(), _WORDS[entry.type], entry.offset, entry.length, entry.plain_length or 0)


def _blob_documents(blobs: Columns) -> list[_BlobDocument]:
    ids, digits = blobs.ids.tobytes().hex(), 2 * ID_LENGTH
    columns = (blobs.types, blobs.offsets, blobs.lengths, blobs.plain_lengths)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        _BlobDocument(ids[digits * row : digits * (row + 1)], _WORDS[kind], offset, length, plain_length)
        for row, (kind, offset, length, plain_length) in enumerate(rows)
    ]


def _read_packs(data: bytes) -> list[_PackDocument]:
    if data.lstrip()[:1] == b"[":
        return decode(_oldest_decoder, data, "the index file")
    return decode(_decoder, data, "the index file").packs or []


def _id_bytes(ids: list[str]) -> bytes:
    """Return the concatenated IDs; each is known to have 64 characters."""
    try:
        joined = bytes.fromhex("".join(ids))
    except ValueError as error:
        raise FormatError("the index file has an ID that is not of hex digits") from error
    # Whitespace between digits would have been skipped silently.
    if len(joined) != ID_LENGTH * len(ids):
        raise FormatError("the index file has an ID that is not of hex digits")
    return joined


def _column(blobs: list[_BlobDocument], field: str) -> NDArray[np.uint32]:
    return np.fromiter(map(attrgetter(field), blobs), np.uint32, len(blobs))
