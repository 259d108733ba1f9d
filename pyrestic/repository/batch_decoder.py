"""Decodes many blobs of a pack in one call of compiled code, if there is any.

The plaintexts go to a reused buffer. A blob that fails in the engine is decoded again individually, which finds another
copy or reports the error.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from pyrestic.format.crypto import OVERHEAD
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.direct_read import Room

if TYPE_CHECKING:
    # The index imports numpy, which is imported while a lock waits.
    from pyrestic.engine_types import BatchCodec
    from pyrestic.repository.index import PackedBlob

PART_BLOBS = 1000
PART_BYTES = 4 << 20
"""Number of blobs decoded at a time, unless their plaintexts exceed this number of bytes."""
LONGEST_BYTES = 8 << 20
"""Longer blobs, which no chunker makes, are decoded individually."""

DeliverMany = Callable[[memoryview, "Sequence[tuple[PackedBlob, int, int]]"], None]
"""Takes the reused buffer, and blobs with the start and end offsets of their plaintexts in it."""
DecodeOne = Callable[["PackedBlob", memoryview], bytes | None]
"""Returns the plaintext of a sealed blob or of another copy of it; None if there is none, which was reported."""


class ManyDecoder:
    """Decodes blobs; thread-safe."""

    def __init__(self, codec: BlobCodec) -> None:
        self._codec = codec
        self._room = Room(PART_BYTES)

    def decode(
        self,
        blobs: "list[PackedBlob]",
        data: memoryview,
        start: int,
        one: DecodeOne,
        deliver_many: DeliverMany,
        stop: threading.Event,
        *,
        with_engine: bool,
    ) -> None:
        """Decode blobs of a pack, whose bytes from `start` on are in `data`, and deliver the intact ones."""
        engine = self._codec.engine if with_engine else None
        for part in _parts(blobs):
            if stop.is_set():
                return
            others = part if engine is None else self._decode_with(engine, part, data, start, deliver_many)
            plains = [
                (blob, one(blob, data[blob.offset - start : blob.offset - start + blob.length])) for blob in others
            ]
            found = [(blob, plain) for blob, plain in plains if plain is not None]
            ends = list(accumulate(len(plain) for _, plain in found))
            if found:
                joined = memoryview(b"".join(plain for _, plain in found))
                deliver_many(joined, list(zip((blob for blob, _ in found), [0, *ends], ends, strict=False)))

    def _decode_with(
        self, engine: "BatchCodec", part: "list[PackedBlob]", data: memoryview, start: int, deliver_many: DeliverMany
    ) -> "list[PackedBlob]":
        """Decode and deliver blobs; return the damaged ones."""
        lengths = [plain_length_of(blob) for blob in part]
        if not (min(lengths) > 0 and sum(lengths) <= (PART_BYTES if len(part) > 1 else LONGEST_BYTES)):
            return part
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
        if pieces:
            deliver_many(room, pieces)
        return others


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
