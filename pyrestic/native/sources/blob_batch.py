"""The loops of the blob engine (see native.blob_batch), compiled by numba: a call processes many blobs.

All memory is given by address. No length in the data is trusted: blobs lie inside `data`, plaintexts have exactly the
length that the caller passes, and all writes go to `out` or to the table's own buffers.
"""

from pyrestic.native.blob_layout import (
    CHECK_PART,
    FOUND_ID,
    HASH,
    HASH_PAIR,
    ID_BYTES,
    LANE,
    NONCE_BYTES,
    OPEN,
    OPEN_AND_KEEP,
    OTHER_LANE,
    PLAIN,
    ROOM,
    SEAL_AND_VERIFY,
    TAG_BYTES,
)
from pyrestic.native.intrinsics import compile_function, inline, load64, store64
from pyrestic.native.sources.blob_hash import check_part, open_all
from pyrestic.native.sources.blob_steps import compress_blob, crypt, hash_one, is_id, open_blob, tag
from pyrestic.native.sources.sha256 import hash_two

PARAMETERS = 10


@inline
def _hash_all(table: int, count: int, data: int, data_length: int, numbers: int, out: int, out_length: int) -> int:
    """Write the IDs of blobs to out, two at a time if possible; return their bytes, -1 for a mismatch."""
    has_pairs = load64(table + HASH_PAIR) != 0
    before = long = 0
    for number in range(count):
        place, target = numbers + 8 * number, out + ID_BYTES * number
        start, length = load64(place), load64(place + 8 * count)
        inside = 0 <= start <= data_length and 0 <= length <= data_length - start
        if not inside or out_length < ID_BYTES * (number + 1):
            return -1
        source = data + start
        if has_pairs and number % 2 == 1:
            hash_two(table, before, long, source, length)
            _copy_id(table + LANE, target - ID_BYTES)
            _copy_id(table + OTHER_LANE, target)
        elif (not has_pairs or number == count - 1) and not hash_one(table, source, length, target):
            return -1
        before, long = source, length
    return ID_BYTES * count


@inline
def _copy_id(source: int, target: int) -> int:
    """Copy an ID; 0."""
    for place in range(0, ID_BYTES, 8):
        store64(target + place, load64(source + place))
    return 0


@inline
def _is_right(table: int, plain: int, length: int, identifier: int) -> int:
    """Tell whether a plaintext has this ID."""
    return hash_one(table, plain, length, table + FOUND_ID) and is_id(table + FOUND_ID, identifier)


@inline
def _seal(table: int, compress: int, source: int, length: int, nonce: int, target: int, room: int) -> int:
    """Write a sealed blob to target, with this space for its payload; return its length, 0 on failure."""
    body = target + NONCE_BYTES
    payload = compress_blob(table, source, length, body, room) if compress else length
    store64(target, load64(nonce))
    store64(target + 8, load64(nonce + 8))
    is_sealed = (
        payload > 0
        and (load64(nonce) | load64(nonce + 8)) != 0
        and crypt(table, nonce, body if compress else source, payload, body)
        and tag(table, nonce, body, payload, body + payload)
    )
    return payload + NONCE_BYTES + TAG_BYTES if is_sealed else 0


@inline
def _seal_all(
    table: int,
    compress: int,
    verify: int,
    count: int,
    data: int,
    data_length: int,
    numbers: int,
    ids: int,
    out: int,
    out_length: int,
) -> int:
    """Write sealed blobs to out; return their bytes, -1 if sealing or reading back fails for one."""
    position = 0
    plain, has_pairs = load64(table + PLAIN), load64(table + HASH_PAIR) != 0
    # The length of the previous blob's plaintext, if it waits to be hashed together with another.
    waiting = 0
    for number in range(count):
        place, target = numbers + 8 * number, out + position
        identifier = ids + NONCE_BYTES * count + ID_BYTES * number
        start, length = load64(place), load64(place + 8 * count)
        inside = 0 <= start <= data_length and 0 < length <= data_length - start
        room = length + (length >> 8) + 64 if compress else length
        if not inside or room + NONCE_BYTES + TAG_BYTES > out_length - position:
            return -1
        size = _seal(table, compress, data + start, length, ids + NONCE_BYTES * number, target, room)
        if size == 0:
            return -1
        store64(place + 24 * count, size)
        position += size
        if verify:
            if waiting > 0 and waiting + length > load64(table + ROOM):
                if not _is_right(table, plain, waiting, identifier - ID_BYTES):
                    return -1
                waiting = 0
            opened = plain + waiting
            if not open_blob(table, target, size, length if compress else 0, opened):
                return -1
            if waiting > 0:
                hash_two(table, plain, waiting, opened, length)
                if not (is_id(table + LANE, identifier - ID_BYTES) and is_id(table + OTHER_LANE, identifier)):
                    return -1
                waiting = 0
            elif has_pairs and number < count - 1:
                waiting = length
            elif not _is_right(table, plain, length, identifier):
                return -1
    return position


def _run(
    table: int,
    work: int,
    compress: int,
    count: int,
    data: int,
    data_length: int,
    numbers: int,
    ids: int,
    out: int,
    out_length: int,
) -> int:
    """Hash, open or seal `count` blobs; return the used bytes of out, -1 if hashing or sealing fails for one.

    `numbers` has four times `count` of them: starts and lengths in data, plain lengths, and results: 1 for each intact
    blob, or sealed lengths. For sealing, `ids` begins with a nonce for each.
    """
    if work == HASH:
        return _hash_all(table, count, data, data_length, numbers, out, out_length)
    if work in (OPEN, OPEN_AND_KEEP):
        return open_all(table, count, data, data_length, numbers, ids, out, out_length, work == OPEN_AND_KEEP)
    if work == CHECK_PART:
        return check_part(table, count, data, data_length, numbers, ids, out)
    verify = work == SEAL_AND_VERIFY
    return _seal_all(table, compress, verify, count, data, data_length, numbers, ids, out, out_length)


def compile_code() -> bytes | None:
    """Return the machine code of the loops for this processor."""
    return compile_function(_run, PARAMETERS)
