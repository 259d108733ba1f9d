"""The loops of the blob engine (see blobengine), compiled by numba: a call works through many blobs.

All memory is given by address. No length that stands in the data is believed: blobs lie inside `data`, plaintexts are
exactly as long as the caller says, and everything is written inside `out` or into the table's own memory.
"""

from pyrestic.format.addresses import compile_function, inline, load64, store64
from pyrestic.format.blobhash_numba import check_part, open_all
from pyrestic.format.blobslots import (
    CHECK_PART,
    FOUND_ID,
    HASH,
    ID_BYTES,
    NONCE_BYTES,
    OPEN,
    OPEN_AND_KEEP,
    PLAIN,
    SEAL_AND_VERIFY,
    TAG_BYTES,
)
from pyrestic.format.blobsteps_numba import compress_blob, crypt, hash_one, is_id, open_blob, tag

PARAMETERS = 10


@inline
def _verify(table: int, sealed: int, length: int, plain_length: int, identifier: int) -> int:
    """Tell whether everything about a sealed blob is right; its plaintext is left in the table's memory."""
    plain = load64(table + PLAIN)
    size = plain_length if plain_length > 0 else length - NONCE_BYTES - TAG_BYTES
    return (
        open_blob(table, sealed, length, plain_length, plain)
        and hash_one(table, plain, size, table + FOUND_ID)
        and is_id(table + FOUND_ID, identifier)
    )


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
    """Hash, open or seal `count` blobs; return how many bytes of out are used, -1 if one cannot be hashed or sealed.

    `numbers` has four times `count` of them: starts and lengths in data, plain lengths, and what comes out: 1 for each
    blob that is whole, or sealed lengths. Where blobs are sealed, `ids` begins with a nonce for each.
    """
    position = 0
    if work in (OPEN, OPEN_AND_KEEP):
        return open_all(table, count, data, data_length, numbers, ids, out, out_length, work == OPEN_AND_KEEP)
    if work == CHECK_PART:
        return check_part(table, count, data, data_length, numbers, ids, out)
    for number in range(count):
        place = numbers + 8 * number
        start, length = load64(place), load64(place + 8 * count)
        inside = 0 <= start <= data_length and 0 <= length <= data_length - start
        source, result = data + start, place + 24 * count
        target = out + position
        if work == HASH:
            if not inside or out_length - position < ID_BYTES or not hash_one(table, source, length, target):
                return -1
            position += ID_BYTES
        else:
            nonce, identifier = ids + NONCE_BYTES * number, ids + NONCE_BYTES * count + ID_BYTES * number
            room = length + (length >> 8) + 64 if compress else length
            body = target + NONCE_BYTES
            if not inside or length == 0 or room + NONCE_BYTES + TAG_BYTES > out_length - position:
                return -1
            payload = compress_blob(table, source, length, body, room) if compress else length
            store64(target, load64(nonce))
            store64(target + 8, load64(nonce + 8))
            plain_length = length if compress else 0
            size = payload + NONCE_BYTES + TAG_BYTES
            sealed = (
                payload > 0
                and (load64(nonce) | load64(nonce + 8)) != 0
                and crypt(table, nonce, body if compress else source, payload, body)
                and tag(table, nonce, body, payload, body + payload)
                and (work != SEAL_AND_VERIFY or _verify(table, target, size, plain_length, identifier))
            )
            if not sealed:
                return -1
            store64(result, size)
            position += size
    return position


def compile_code() -> bytes | None:
    """Return the machine code of the loops for this processor."""
    return compile_function(_run, PARAMETERS)
