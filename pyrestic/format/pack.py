"""The header at the end of a pack, which lists its blobs in order.

A pack is `blob… | sealed header | length of the sealed header (4 bytes, little-endian)` (restic design document, "Pack
Format"). Offsets are not stored: the blobs are contiguous from the start of the file.

`header_declaration` describes an entry. Reading by it takes construct 9 µs per entry, so packs are read with
precompiled layouts (0.4 µs); a test compares the results.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from pyrestic.errors import FormatError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.handle import BlobType
from pyrestic.ids import ID

if TYPE_CHECKING:
    from construct import Construct

ENTRY_LENGTH: Final = 37
"""Entry length of an uncompressed blob in bytes."""
COMPRESSED_ENTRY_LENGTH: Final = 41
"""Entry length of a compressed blob in bytes."""
TRAILER_LENGTH: Final = 4
"""Bytes after the sealed header, which contain its length."""
MAX_HEADER_LENGTH: Final = 16 * 1024 * 1024
"""Longest sealed header that restic writes or reads, without the trailer."""
MAX_ENTRIES: Final = (MAX_HEADER_LENGTH - OVERHEAD) // COMPRESSED_ENTRY_LENGTH
"""A pack with this many blobs is full."""
FIRST_READ_LENGTH: Final = 15 * COMPRESSED_ENTRY_LENGTH + OVERHEAD + TRAILER_LENGTH
"""Bytes to read from the end of a pack, so that the header of a pack with few blobs takes one request."""
MIN_PACK_LENGTH: Final = ENTRY_LENGTH + OVERHEAD + TRAILER_LENGTH
"""Minimum length of a pack."""

COMPRESSED_BIT: Final = 2
"""This bit of the type byte means that a plain length follows the stored length."""
_LAST_TYPE: Final = 3

_BLOB_TYPES: Final = tuple(BlobType)

_ENTRY: Final = struct.Struct("<BI32s")
_COMPRESSED_ENTRY: Final = struct.Struct("<BII32s")
_TRAILER: Final = struct.Struct("<I")

_Record: TypeAlias = tuple[int, int, int | None, ID]
"""An entry as stored: type byte, stored length, plain length of compressed blobs, ID."""


class HeaderEntry(NamedTuple):
    """A blob in a pack: `length` bytes at `offset`, sealed; `plain_length` is None if it is not compressed."""

    type: BlobType
    id: ID
    offset: int
    length: int
    plain_length: int | None


def encode_header(entries: Iterable[HeaderEntry]) -> bytes:
    """Return the plaintext of the header for blobs in this order from the start of the pack."""
    parts = []
    for blob_type, blob_id, _, length, plain_length in entries:
        if plain_length is None:
            parts.append(_ENTRY.pack(blob_type, length, blob_id))
        else:
            parts.append(_COMPRESSED_ENTRY.pack(blob_type | COMPRESSED_BIT, length, plain_length, blob_id))
    return b"".join(parts)


def encode_trailer(sealed_header_length: int) -> bytes:
    """Return the last four bytes of a pack."""
    return _TRAILER.pack(sealed_header_length)


def entry_length(plain_length: int | None) -> int:
    """Return the header bytes of a blob, given its plain length or None if it is not compressed."""
    return ENTRY_LENGTH if plain_length is None else COMPRESSED_ENTRY_LENGTH


def header_length(trailer: bytes, pack_length: int) -> int:
    """Return the length of the sealed header from the last four bytes of a pack.

    Raises FormatError if no header of a pack of `pack_length` bytes can be that long.
    """
    if pack_length < MIN_PACK_LENGTH or len(trailer) != TRAILER_LENGTH:
        raise FormatError(f"a file of {pack_length} bytes is too short to be a pack")
    (length,) = _TRAILER.unpack(trailer)
    if length < OVERHEAD + ENTRY_LENGTH:
        raise FormatError(f"the pack says its header has {length} bytes, too few for one blob")
    if length > MAX_HEADER_LENGTH:
        raise FormatError(f"the pack says its header has {length} bytes, the limit is {MAX_HEADER_LENGTH}")
    if length > pack_length - TRAILER_LENGTH:
        raise FormatError(f"the pack says its header has {length} bytes, the file has {pack_length}")
    return int(length)


def parse_header(plain: bytes, data_length: int | None = None, *, as_declared: bool = False) -> list[HeaderEntry]:
    """Return the entries of an opened header, with their offsets.

    `data_length` is the number of bytes before the header. Raises FormatError if the blobs need more than that, if
    there is no blob, and for any other invalid header. `as_declared` reads by the declaration, with the same result.
    """
    entries = []
    offset = 0
    for kind, length, plain_length, blob_id in _read_as_declared(plain) if as_declared else _read_records(plain):
        if length < OVERHEAD:
            raise FormatError(f"the pack header has a blob of {length} bytes, too few to be sealed")
        if plain_length == 0:
            raise FormatError("the pack header has a compressed blob that is empty")
        entries.append(HeaderEntry(_BLOB_TYPES[kind & ~COMPRESSED_BIT], blob_id, offset, length, plain_length))
        offset += length
    if not entries:
        raise FormatError("the pack header names no blob")
    if data_length is not None and offset > data_length:
        raise FormatError(f"the pack header names blobs of {offset} bytes together, there are {data_length}")
    return entries


def _read_records(plain: bytes) -> Iterator[_Record]:
    """Iterate the stored entries with the precompiled layouts; raise FormatError for invalid bytes."""
    position, end = 0, len(plain)
    while position < end:
        kind = plain[position]
        if kind > _LAST_TYPE:
            raise FormatError(f"the pack header has a blob of the unknown type {kind}")
        try:
            if kind & COMPRESSED_BIT:
                yield _COMPRESSED_ENTRY.unpack_from(plain, position)
                position += COMPRESSED_ENTRY_LENGTH
            else:
                kind, length, blob_id = _ENTRY.unpack_from(plain, position)
                yield kind, length, None, blob_id
                position += ENTRY_LENGTH
        except struct.error:
            raise FormatError("the pack header ends in the middle of an entry") from None


def _read_as_declared(plain: bytes) -> Iterator[_Record]:
    """Iterate the stored entries with `header_declaration`; raise FormatError for invalid bytes."""
    from construct import ConstructError

    try:
        entries = header_declaration().parse(plain).entries
    except ConstructError as error:
        raise FormatError("the pack header does not follow the format") from error
    for entry in entries:
        yield entry.type, entry.length, entry.plain_length, entry.id


@cache
def header_declaration() -> "Construct":
    """Return the layout of an opened header: entries to the end of the bytes."""
    # Imported here because only tests and curious readers need it, and the import takes 60 ms.
    from construct import Bytes, GreedyRange, If, Int8ul, Int32ul, OneOf, Struct, Terminated, this

    entry = Struct(
        "type" / OneOf(Int8ul, range(_LAST_TYPE + 1)),  # bit 0: a tree, bit 1: compressed
        "length" / Int32ul,  # stored bytes, including the sealing overhead
        "plain_length" / If(this.type & COMPRESSED_BIT, Int32ul),
        "id" / Bytes(32),
    )
    return Struct("entries" / GreedyRange(entry), Terminated)
