"""Blobs read back before they are stored: what `verify` lets pass is what `decode` would give."""

import random

import pytest

from pyrestic.errors import DamageError, FormatError, HashMismatchError, UnauthenticError
from pyrestic.format.compress import Compression
from pyrestic.format.crypto import OVERHEAD, MasterKey
from pyrestic.handle import BlobType
from pyrestic.ids import hash_id
from pyrestic.repository.codec import BlobCodec

CODEC = BlobCodec(MasterKey.random(), 2, Compression.AUTO)
LENGTHS = [1, 2000, 100_000, (256 << 10) + 1, 3 << 20]


def sealed(data: bytes, codec: BlobCodec = CODEC) -> tuple[memoryview, int | None]:
    """Return a blob as the codec seals it, and its plain length if it was compressed."""
    payload, compressed = codec.pack_payload(BlobType.DATA, data)
    room = memoryview(bytearray(memoryview(payload).nbytes + OVERHEAD))
    codec.seal_into(payload, room)
    return room, len(data) if compressed else None


@pytest.mark.parametrize("compression", [Compression.AUTO, Compression.OFF])
@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_sealed_verifies_and_nothing_else(length: int, compression: Compression) -> None:
    codec = BlobCodec(MasterKey.random(), 2, compression)
    for data in (random.Random(length).randbytes(length), b"words " * (length // 6 + 1), bytes(length)):
        room, plain_length = sealed(data, codec)
        codec.verify(BlobType.DATA, hash_id(data), room, plain_length)
        assert codec.decode(BlobType.DATA, hash_id(data), room, plain_length) == data
        with pytest.raises(HashMismatchError, match="hash does not match"):
            codec.verify(BlobType.DATA, hash_id(b"other"), room, plain_length)
        for place in (0, 20, len(room) // 2, len(room) - 1):
            room[place] ^= 4
            with pytest.raises(UnauthenticError):
                codec.verify(BlobType.DATA, hash_id(data), room, plain_length)
            room[place] ^= 4


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("damage", ["cut", "two frames", "garbage", "another length"])
def test_a_frame_that_is_sealed_well_but_wrong_is_refused(length: int, damage: str) -> None:
    data = random.Random(length).randbytes(length)
    frame = bytes(memoryview(CODEC.pack_payload(BlobType.DATA, data)[0]))
    wrong = {
        "cut": frame[:-1],
        "two frames": frame + frame,
        "garbage": frame[:10] + random.Random(1).randbytes(len(frame)),
        "another length": frame,
    }[damage]
    plain_length = length + 1 if damage == "another length" else length
    with pytest.raises(DamageError) as caught:
        CODEC.verify(BlobType.DATA, hash_id(data), CODEC.seal(wrong), plain_length)
    assert isinstance(caught.value, FormatError)
