"""Blobs of a pack decoded many at a time, in one call of compiled code where there is such code.

Their plaintexts come to lie in memory that is used again. A blob that the engine does not find whole is decoded by
itself, which finds another copy or says what is wrong.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from pyrestic.format.crypto import OVERHEAD
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.direct_read import Room

if TYPE_CHECKING:
    # The index brings numpy, which is imported while a lock waits.
    from pyrestic.engine_types import BatchCodec
    from pyrestic.repository.index import PackedBlob

PART_BLOBS = 1000
PART_BYTES = 4 << 20
"""So many blobs are decoded at a time, as long as their plaintexts take no more bytes together."""
LONGEST_BYTES = 8 << 20
"""Longer ones, which no chunker makes, are decoded by themselves."""

DeliverMany = Callable[[memoryview, "Sequence[tuple[PackedBlob, int, int]]"], None]
"""Takes memory that is used again afterwards, and blobs with the places where their plaintexts begin and end there."""
DecodeOne = Callable[["PackedBlob", memoryview], bytes | None]
"""Returns the plaintext of a sealed blob or of another copy of it; None if there is none, and that was told."""


class ManyDecoder:
    """Decodes blobs; for any thread."""

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
        """Decode blobs of a pack, of which `data` has the bytes from `start` on, and deliver those that are whole."""
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
        """Decode and deliver blobs; return those that were not found whole."""
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
    """Iterate blobs in parts whose plaintexts take little memory together."""
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
    """Return the length of a blob's plaintext as the index has it, in bytes."""
    return blob.length - OVERHEAD if blob.plain_length is None else blob.plain_length
