"""The steps of the blob engine for one blob, for numba: ciphers, frames and tags, all by address.

`table` is the address of the table in blob_layout.
"""

from pyrestic.native.blob_layout import (
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
    FOUND_TAG,
    FRAME,
    FRAME_LENGTH,
    FRAME_MAGIC,
    MAC,
    MAC_FINAL,
    MAC_INIT,
    MAC_KEY,
    MAC_UPDATE,
    NONCE_BYTES,
    NUMBER,
    ONE_TIME,
    PLAIN,
    ROOM,
    SMALL_BYTES,
    TAG_BYTES,
)
from pyrestic.native.intrinsics import call, call_int, inline, load32, load64


@inline
def hash_one(table: int, data: int, length: int, target: int) -> int:
    """Write the SHA-256 of data to target with OpenSSL; 1 on success."""
    digest = load64(table + DIGEST)
    return (
        call_int(load64(table + DIGEST_INIT), (digest, load64(table + DIGEST_KIND), 0)) == 1
        and call_int(load64(table + DIGEST_UPDATE), (digest, data, length)) == 1
        and call_int(load64(table + DIGEST_FINAL), (digest, target, 0)) == 1
    )


@inline
def tag(table: int, nonce: int, data: int, length: int, target: int) -> int:
    """Write the Poly1305-AES tag of data to target; 1 on success."""
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
def crypt(table: int, nonce: int, data: int, length: int, target: int) -> int:
    """Encrypt or decrypt data, one or more bytes, to target; 1 on success."""
    counter, number = load64(table + COUNTER), table + NUMBER
    return (
        call_int(load64(table + CIPHER_INIT), (counter, 0, 0, nonce, 0)) == 1
        and call_int(load64(table + CIPHER_UPDATE), (counter, target, number, data, length)) == 1
        and load32(number) == length
    )


@inline
def same_16(one: int, other: int) -> int:
    """Tell whether 16 bytes are the same, in constant time."""
    return ((load64(one) ^ load64(other)) | (load64(one + 8) ^ load64(other + 8))) == 0


@inline
def decompress(table: int, length: int, plain_length: int, target: int) -> int:
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
def is_authentic(table: int, sealed: int, length: int) -> int:
    """Tell whether the tag of a sealed blob of more than 32 bytes is correct."""
    inner = length - NONCE_BYTES - TAG_BYTES
    ciphertext = sealed + NONCE_BYTES
    return (
        (load64(sealed) | load64(sealed + 8)) != 0
        and tag(table, sealed, ciphertext, inner, table + FOUND_TAG)
        and same_16(table + FOUND_TAG, ciphertext + inner)
    )


@inline
def is_id(found: int, identifier: int) -> int:
    """Tell whether two IDs are the same."""
    return same_16(found, identifier) and same_16(found + 16, identifier + 16)


@inline
def open_blob(table: int, sealed: int, length: int, plain_length: int, target: int) -> int:
    """Write the plaintext of a sealed blob of more than 32 bytes to target; 1 if all but its hash is verified.

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
        and is_authentic(table, sealed, length)
        and crypt(table, sealed, ciphertext, inner, opened)
        and (not compressed or decompress(table, inner, plain_length, target))
    )


@inline
def compress_blob(table: int, data: int, length: int, target: int, room: int) -> int:
    """Write a frame with data to target; return its length, 0 on failure."""
    slot = COMPRESS_SMALL if length <= load64(table + SMALL_BYTES) else COMPRESS_LARGE
    made = call(load64(table + COMPRESS), (load64(table + slot), target, room, data, length))
    return made if 0 < made <= room else 0
