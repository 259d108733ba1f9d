"""Zstd frames, and the byte before them in unpacked files.

Repository version 2 compresses all trees, all unpacked files except the config, and data blobs unless disabled (restic
design document, "Repository Version 2"). Compressed data is one frame with its content size, without a checksum (the
sealing has a better one), with a window of 512 KiB, as in restic. Any sequence of frames can be read.

Each zstd level costs about as much CPU time as restic's mode of the same name; all compress better. With 1 MiB blobs
of source text and of a program, ratio and nanoseconds per byte:

| mode | level | text | program | ns/B | restic text | restic program |
|---|---|---|---|---|---|---|
| fastest | 1 | 3.92 | 2.88 | 2.2 | 3.22 | 2.69 |
| auto | 3 | 4.26 | 3.11 | 3.4 | 3.44 | 2.81 |
| better | 7 | 4.77 | 3.31 | 11 | 3.62 | 2.88 |
| max | 15 | 4.95 | 3.35 | 62 | 3.82 | 3.03 |
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, TypeAlias

import zstandard
from typing_extensions import Buffer

from pyrestic.errors import FormatError
from pyrestic.handle import BlobType

UNPACKED_LIMIT_BYTES: Final = 1 << 30
"""Longest unpacked file that is decompressed. Index files, the longest ones, reach about 110 MiB."""

SMALL_BYTES: Final = 8 << 10
"""Blobs up to this length are compressed with parameters of their own."""

_WINDOW_LOG: Final = 19
_ZSTD_VERSION_BYTE: Final = 2
_RAW_JSON_STARTS: Final = b"{["
# A frame can claim 30,000 times its own length. Blobs of zeros really reach that, but they are short: content beyond
# _PLAUSIBLE_BYTES is a tree or an index, which hardly reaches a ratio of 100.
_PLAUSIBLE_BYTES: Final = 64 << 20
_PLAUSIBLE_RATIO: Final = 1000
# Input is read in pieces of this length if the output length is unknown: one piece yields at most 33 MB.
_PIECE_BYTES: Final = 1024


class Compression(StrEnum):
    """Compression modes; the values are those of --compression."""

    AUTO = "auto"
    OFF = "off"
    FASTEST = "fastest"
    BETTER = "better"
    MAX = "max"

    def covers(self, blob_type: BlobType) -> bool:
        """Return whether blobs of this type are compressed: `off` affects only data blobs."""
        return self is not Compression.OFF or blob_type is not BlobType.DATA


_LEVELS: Final = {
    Compression.AUTO: 3,
    Compression.OFF: 3,
    Compression.FASTEST: 1,
    Compression.BETTER: 7,
    Compression.MAX: 15,
}


def compression_parameters(
    mode: Compression,
) -> tuple[zstandard.ZstdCompressionParameters, zstandard.ZstdCompressionParameters]:
    """Return the parameters for blobs of at most SMALL_BYTES, and for longer ones."""
    level = _LEVELS[mode]
    large = zstandard.ZstdCompressionParameters(
        compression_level=level, window_log=_WINDOW_LOG, write_content_size=True, write_checksum=False
    )
    if level > _LEVELS[Compression.AUTO]:
        return large, large
    # Tables for small inputs stay in the CPU cache: on files of 2 KB, level 1 with them compresses as well as level 3
    # with large tables, in half the time.
    small = zstandard.ZstdCompressionParameters.from_level(
        1, source_size=SMALL_BYTES, write_content_size=True, write_checksum=False
    )
    return small, large


class Compressor:
    """Makes frames. Not thread-safe: every thread has its own.

    With `Compression.OFF` it compresses like `auto`, for data that is always compressed.
    """

    def __init__(self, mode: Compression = Compression.AUTO) -> None:
        small, large = compression_parameters(mode)
        self._large = zstandard.ZstdCompressor(compression_params=large)
        self._small = zstandard.ZstdCompressor(compression_params=small) if small is not large else self._large

    def compress(self, data: Buffer) -> bytes:
        """Return data as one frame; it may be longer than data."""
        view = memoryview(data)
        return (self._small if view.nbytes <= SMALL_BYTES else self._large).compress(view)


Decompressor: TypeAlias = zstandard.ZstdDecompressor
"""Reads frames. Not thread-safe. Creating one takes longer than decompressing a small blob, so every thread with many
blobs keeps its own."""


def decompress(data: Buffer, plain_length: int, decompressor: Decompressor | None = None) -> bytes:
    """Return the content of the frames in data, which must have `plain_length` bytes; otherwise raise FormatError.

    Takes at most plain_length of memory, and rejects implausible values of plain_length: above 64 MiB and above 1000
    times its stored length.
    """
    view, decompressor = memoryview(data), decompressor or Decompressor()
    if plain_length > _plausible_bytes(len(view)):
        raise FormatError(f"{len(view)} compressed bytes are said to hold {plain_length}, which is not plausible")
    try:
        if plain_length > 0 and zstandard.frame_content_size(view) in (plain_length, -1):
            plain = decompressor.decompress(view, max_output_size=plain_length, allow_extra_data=False)
            if len(plain) == plain_length:
                return plain
    except zstandard.ZstdError:
        pass  # It may still be several frames, or a skippable one.
    plain = _decompress_frames(view, plain_length, decompressor)
    if len(plain) != plain_length:
        raise FormatError(f"compressed bytes hold {len(plain)} bytes instead of {plain_length}")
    return plain


def decompress_pieces(
    pieces: Iterable[bytes], plain_length: int, decompressor: Decompressor | None = None
) -> Iterator[bytes]:
    """Iterate the content of a single frame given in pieces; at the end, raise FormatError unless it has plain_length.

    For reading back our own frames: nothing limits the memory that a hostile frame would take.
    """
    frame = (decompressor or Decompressor()).decompressobj()
    total = 0
    try:
        for piece in pieces:
            plain = frame.decompress(piece)
            total += len(plain)
            yield plain
    except zstandard.ZstdError as error:
        raise FormatError(f"compressed bytes are broken: {error}") from error
    if total != plain_length or not frame.eof or frame.unused_data:
        raise FormatError(f"compressed bytes hold {total} bytes instead of {plain_length}, or more than one frame")


def encode_unpacked(data: bytes, version: int, compressor: Compressor | None = None) -> bytes:
    """Return the plaintext to seal for an unpacked file with this JSON in a repository of this version."""
    if version < 2:
        return data
    return bytes((_ZSTD_VERSION_BYTE,)) + (compressor or Compressor()).compress(data)


def is_encoded(plain: bytes, data: bytes, version: int) -> bool:
    """Tell whether this is the result of encode_unpacked for data, without allocating another copy of data.

    Raises FormatError if it is corrupt.
    """
    if version < 2:
        return plain == data
    if plain[:1] != bytes((_ZSTD_VERSION_BYTE,)):
        return False
    pieces = (plain[start : start + _PIECE_BYTES] for start in range(1, len(plain), _PIECE_BYTES))
    place = 0
    for piece in decompress_pieces(pieces, len(data)):
        if data[place : place + len(piece)] != piece:
            return False
        place += len(piece)
    return True


def decode_unpacked(
    data: bytes,
    version: int | None = None,
    limit_bytes: int = UNPACKED_LIMIT_BYTES,
    decompressor: Decompressor | None = None,
) -> bytes:
    """Return the JSON of an opened unpacked file.

    Version 1 never compresses; otherwise the first byte decides, and files from version 1 stay readable. Raises
    FormatError for an unknown first byte, corrupt frames, and content that is longer than `limit_bytes` or implausible.
    """
    if version == 1 or not data or data[0] in _RAW_JSON_STARTS:
        return data
    if data[0] != _ZSTD_VERSION_BYTE:
        raise FormatError(f"unpacked files that begin with byte {data[0]} are not known")
    frames = memoryview(data)[1:]
    limit_bytes = min(limit_bytes, _plausible_bytes(len(frames)))
    return _decompress_frames(frames, limit_bytes, decompressor or Decompressor())


def _plausible_bytes(stored_length: int) -> int:
    return max(_PLAUSIBLE_BYTES, _PLAUSIBLE_RATIO * stored_length)


def _decompress_frames(data: memoryview, limit_bytes: int, decompressor: Decompressor) -> bytes:
    """Return the content of all frames; raise FormatError if they are corrupt or hold more than limit_bytes."""
    parts: list[bytes] = []
    total = 0
    frame = None
    for start in range(0, len(data), _PIECE_BYTES):
        piece = data[start : start + _PIECE_BYTES]
        while piece:
            frame = frame or decompressor.decompressobj()
            try:
                parts.append(frame.decompress(piece))
            except zstandard.ZstdError as error:
                raise FormatError(f"compressed bytes are broken: {error}") from error
            total += len(parts[-1])
            if total > limit_bytes:
                raise FormatError(f"compressed bytes hold more than {limit_bytes} bytes")
            piece = memoryview(frame.unused_data)
            frame = None if frame.eof else frame
    if frame is not None:
        raise FormatError("compressed bytes end in the middle of a frame")
    return b"".join(parts)
