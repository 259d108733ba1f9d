"""Decodes many blobs of a pack in one call of compiled code, if there is any.

The plaintexts go to a reused buffer. A blob that fails in the engine is decoded again individually, which finds another
copy or reports the error.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from pyrestic.errors import PyresticError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.handle import BlobHandle
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.direct_read import ReusedBuffer

if TYPE_CHECKING:
    # The index imports numpy, which is imported while a lock waits.
    from pyrestic.engine_types import BatchCodec
    from pyrestic.repository.index import PackedBlob

PART_BLOBS = 1000
PART_BYTES = 4 << 20
"""Number of blobs decoded at a time, unless their plaintexts exceed this number of bytes."""
LONGEST_BYTES = 8 << 20
"""Longer blobs, which no chunker makes, are decoded individually."""


class Batch(NamedTuple):
    """Blobs that were loaded together, one or many."""

    data: memoryview
    """The plaintexts, one after the other, in a buffer that is reused after the batch."""
    blobs: "Sequence[tuple[PackedBlob, int, int]]"
    """The blobs, with the start and end offsets of their plaintexts in `data`."""
    failed: Sequence[tuple[BlobHandle, PyresticError]] = ()
    """Blobs without an intact copy."""


DecodeOne = Callable[["PackedBlob", memoryview], bytes | PyresticError]
"""Returns the plaintext of a sealed blob or of another copy of it, or the error if there is none."""


class BatchDecoder:
    """Decodes blobs; thread-safe."""

    def __init__(self, codec: BlobCodec) -> None:
        self._codec = codec
        self._room = ReusedBuffer(PART_BYTES)

    def decode(
        self, blobs: "list[PackedBlob]", data: memoryview, start: int, one: DecodeOne, *, with_engine: bool
    ) -> Iterator[Batch]:
        """Iterate batches of the blobs of a pack, whose bytes from `start` on are in `data`."""
        engine = self._codec.engine if with_engine else None
        for part in _parts(blobs):
            others = part
            if engine is not None:
                found, others = self._decode_with(engine, part, data, start)
                if found is not None:
                    yield found
            if others:
                yield _decode_each(others, data, start, one)

    def _decode_with(
        self, engine: "BatchCodec", part: "list[PackedBlob]", data: memoryview, start: int
    ) -> "tuple[Batch | None, list[PackedBlob]]":
        """Return a batch of the intact blobs, if there are any, and the others."""
        lengths = [plain_length_of(blob) for blob in part]
        if not (min(lengths) > 0 and sum(lengths) <= (PART_BYTES if len(part) > 1 else LONGEST_BYTES)):
            return None, part
        ends = list(accumulate(lengths))
        room = self._room.take(ends[-1])
        broken = engine.decode_all(
            data,
            [blob.offset - start for blob in part],
            [blob.length for blob in part],
            [blob.plain_length or 0 for blob in part],
            b"".join([blob.id for blob in part]),
            room,
        )
        pieces = list(zip(part, [0, *ends], ends, strict=False))
        others = [pieces.pop(number)[0] for number in reversed(broken)]
        return Batch(room, pieces) if pieces else None, others


def _decode_each(blobs: "list[PackedBlob]", data: memoryview, start: int, one: DecodeOne) -> Batch:
    plains: list[bytes] = []
    pieces: list[tuple[PackedBlob, int, int]] = []
    failed: list[tuple[BlobHandle, PyresticError]] = []
    length = 0
    for blob in blobs:
        plain = one(blob, data[blob.offset - start : blob.offset - start + blob.length])
        if isinstance(plain, PyresticError):
            failed.append((blob.handle, plain))
            continue
        plains.append(plain)
        pieces.append((blob, length, length + len(plain)))
        length += len(plain)
    return Batch(memoryview(plains[0] if len(plains) == 1 else b"".join(plains)), pieces, failed)


def _parts(blobs: "list[PackedBlob]") -> "Iterator[list[PackedBlob]]":
    """Iterate groups of blobs whose plaintexts fit into the buffer."""
    part: list[PackedBlob] = []
    room = PART_BYTES
    for blob in blobs:
        length = plain_length_of(blob)
        if part and (length > room or len(part) == PART_BLOBS):
            yield part
            part, room = [], PART_BYTES
        part.append(blob)
        room -= length
    if part:
        yield part


def plain_length_of(blob: "PackedBlob") -> int:
    """Return the length of a blob's plaintext from the index, in bytes."""
    return blob.length - OVERHEAD if blob.plain_length is None else blob.plain_length
