"""The loops of the blob engine (see blobengine), compiled by numba: a call works through many blobs.

All memory is given by address. No length that stands in the data is believed: blobs lie inside `data`, plaintexts are
exactly as long as the caller says, and everything is written inside `out` or into the table's own memory.
"""

from pyrestic.format.addresses import call, call_int, compile_function, inline, load32, load64, store64
from pyrestic.format.blobslots import (
    CIPHER_INIT,
    CIPHER_UPDATE,
    COMPRESS,
    COMPRESS_LARGE,
    COMPRESS_SMALL,
    COUNTER,
    DECOMPRESS,
    DECOMPRESSOR,
    DIGEST,
    DIGEST_FINAL,
    DIGEST_INIT,
    DIGEST_KIND,
    DIGEST_UPDATE,
    FOUND_ID,
    FOUND_TAG,
    FRAME,
    FRAME_LENGTH,
    FRAME_MAGIC,
    HASH,
    ID_BYTES,
    MAC,
    MAC_FINAL,
    MAC_INIT,
    MAC_KEY,
    MAC_UPDATE,
    NONCE_BYTES,
    NUMBER,
    ONE_TIME,
    OPEN,
    OPEN_AND_KEEP,
    PLAIN,
    ROOM,
    SEAL_AND_VERIFY,
    SMALL_BYTES,
    TAG_BYTES,
)

PARAMETERS = 10


@inline
def _hash(table: int, data: int, length: int, target: int) -> int:
    """Write the SHA-256 of data to target; 1 if all went well."""
    digest = load64(table + DIGEST)
    return (
        call_int(load64(table + DIGEST_INIT), (digest, load64(table + DIGEST_KIND), 0)) == 1
        and call_int(load64(table + DIGEST_UPDATE), (digest, data, length)) == 1
        and call_int(load64(table + DIGEST_FINAL), (digest, target, 0)) == 1
    )


@inline
def _tag(table: int, nonce: int, data: int, length: int, target: int) -> int:
    """Write the Poly1305-AES tag of data to target; 1 if all went well."""
    key, number, mac = table + MAC_KEY, table + NUMBER, load64(table + MAC)
    one_time = key + TAG_BYTES
    return (
        call_int(load64(table + CIPHER_UPDATE), (load64(table + ONE_TIME), one_time, number, nonce, NONCE_BYTES)) == 1
        and load32(number) == TAG_BYTES
        and call_int(load64(table + MAC_INIT), (mac, key, 2 * TAG_BYTES, 0)) == 1
        and call_int(load64(table + MAC_UPDATE), (mac, data, length)) == 1
        and call_int(load64(table + MAC_FINAL), (mac, target, number, TAG_BYTES)) == 1
        and load64(number) == TAG_BYTES
    )


@inline
def _crypt(table: int, nonce: int, data: int, length: int, target: int) -> int:
    """Encrypt or decrypt data, one or more bytes, to target; 1 if all went well."""
    counter, number = load64(table + COUNTER), table + NUMBER
    return (
        call_int(load64(table + CIPHER_INIT), (counter, 0, 0, nonce, 0)) == 1
        and call_int(load64(table + CIPHER_UPDATE), (counter, target, number, data, length)) == 1
        and load32(number) == length
    )


@inline
def _same_16(one: int, other: int) -> int:
    """Tell whether 16 bytes are the same, in constant time."""
    return ((load64(one) ^ load64(other)) | (load64(one + 8) ^ load64(other + 8))) == 0


@inline
def _decompress(table: int, length: int, plain_length: int, target: int) -> int:
    """Write the content of the one frame that fills `length` bytes of the table's memory to target; 1 if it has
    plain_length bytes.
    """
    frame = load64(table + FRAME)
    return (
        length > 4
        and load32(frame) == FRAME_MAGIC
        and call(load64(table + FRAME_LENGTH), (frame, length)) == length
        and call(load64(table + DECOMPRESS), (load64(table + DECOMPRESSOR), target, plain_length, frame, length))
        == plain_length
    )


@inline
def _open(table: int, sealed: int, length: int, plain_length: int, target: int, identifier: int) -> int:
    """Write the plaintext of a sealed blob of more than 32 bytes to target; 1 if everything about it is right.

    The tag is compared before anything is decrypted. plain_length is 0 for what is not compressed.
    """
    inner = length - NONCE_BYTES - TAG_BYTES
    ciphertext = sealed + NONCE_BYTES
    compressed = plain_length > 0
    opened = load64(table + FRAME) if compressed else target
    size = plain_length if compressed else inner
    room = load64(table + ROOM)
    return (
        (not compressed or inner <= room)
        and (target != load64(table + PLAIN) or size <= room)
        and (load64(sealed) | load64(sealed + 8)) != 0
        and _tag(table, sealed, ciphertext, inner, table + FOUND_TAG)
        and _same_16(table + FOUND_TAG, ciphertext + inner)
        and _crypt(table, sealed, ciphertext, inner, opened)
        and (not compressed or _decompress(table, inner, plain_length, target))
        and _hash(table, target, size, table + FOUND_ID)
        and _same_16(table + FOUND_ID, identifier)
        and _same_16(table + FOUND_ID + 16, identifier + 16)
    )


@inline
def _compress(table: int, data: int, length: int, target: int, room: int) -> int:
    """Write a frame with data to target; return its length, 0 if that did not work."""
    slot = COMPRESS_SMALL if length <= load64(table + SMALL_BYTES) else COMPRESS_LARGE
    made = call(load64(table + COMPRESS), (load64(table + slot), target, room, data, length))
    return made if 0 < made <= room else 0


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
    for number in range(count):
        place = numbers + 8 * number
        start, length = load64(place), load64(place + 8 * count)
        inside = 0 <= start <= data_length and 0 <= length <= data_length - start
        source, result = data + start, place + 24 * count
        target = out + position
        if work == HASH:
            if not inside or out_length - position < ID_BYTES or not _hash(table, source, length, target):
                return -1
            position += ID_BYTES
        elif work <= OPEN_AND_KEEP:
            plain_length = load64(place + 16 * count)
            size = plain_length if plain_length > 0 else length - NONCE_BYTES - TAG_BYTES
            where = load64(table + PLAIN) if work == OPEN else target
            fits = inside and size > 0 and length > NONCE_BYTES + TAG_BYTES
            if work == OPEN_AND_KEEP:
                # Whatever is wrong with a blob, the caller looks for the next one behind the room of this one.
                fits = fits and size <= out_length - position
                position += max(0, size)
            done = fits and _open(table, source, length, plain_length, where, ids + ID_BYTES * number)
            store64(result, 1 if done else 0)
        else:
            nonce, identifier = ids + NONCE_BYTES * number, ids + NONCE_BYTES * count + ID_BYTES * number
            room = length + (length >> 8) + 64 if compress else length
            body = target + NONCE_BYTES
            if not inside or length == 0 or room + NONCE_BYTES + TAG_BYTES > out_length - position:
                return -1
            payload = _compress(table, source, length, body, room) if compress else length
            store64(target, load64(nonce))
            store64(target + 8, load64(nonce + 8))
            plain_length = length if compress else 0
            size = payload + NONCE_BYTES + TAG_BYTES
            sealed = (
                payload > 0
                and (load64(nonce) | load64(nonce + 8)) != 0
                and _crypt(table, nonce, body if compress else source, payload, body)
                and _tag(table, nonce, body, payload, body + payload)
                and (
                    work != SEAL_AND_VERIFY
                    or _open(table, target, size, plain_length, load64(table + PLAIN), identifier)
                )
            )
            if not sealed:
                return -1
            store64(result, size)
            position += size
    return position


def compile_code() -> bytes | None:
    """Return the machine code of the loops for this processor."""
    return compile_function(_run, PARAMETERS)
