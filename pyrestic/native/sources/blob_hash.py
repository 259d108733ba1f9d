"""Loops of the blob engine that compute two hashes in parallel (see sources.sha256_pair), for numba."""

from pyrestic.native.blob_layout import (
    BLOB,
    BODY,
    CIPHER_INIT,
    CIPHER_UPDATE,
    COUNTER,
    FOUND_ID,
    HASH_PAIR,
    ID_BYTES,
    IDLE,
    LANE,
    LEFT,
    NONCE_BYTES,
    NUMBER,
    OTHER_LANE,
    PIECE_BYTES,
    PLAIN,
    SOURCE,
    STAGE,
    TAG_BYTES,
    TAIL,
)
from pyrestic.native.intrinsics import call_int, inline, load32, load64, store64
from pyrestic.native.sha256 import BLOCK_BYTES, LENGTH_AT, REST_AT
from pyrestic.native.sources.blob_steps import hash_one, is_authentic, is_id, open_blob
from pyrestic.native.sources.sha256 import begin, copy_few, end, go_on, hash_blocks, pad


@inline
def open_all(
    table: int, count: int, data: int, data_length: int, numbers: int, ids: int, out: int, out_length: int, keep: int
) -> int:
    """Determine whether each blob is intact; return the used bytes of out.

    With `keep`, plaintexts are written to out and hashed when all are there, otherwise each is in the table's buffer.
    """
    position = 0
    later = keep and load64(table + HASH_PAIR) != 0
    for number in range(count):
        place = numbers + 8 * number
        start, length, plain_length = load64(place), load64(place + 8 * count), load64(place + 16 * count)
        inside = 0 <= start <= data_length and NONCE_BYTES + TAG_BYTES < length <= data_length - start
        size = _plain_length(place, count)
        fits = inside and plain_length >= 0 and (not keep or size <= out_length - position)
        target = out + position if keep else load64(table + PLAIN)
        # Even for a damaged blob, the caller expects the next one after this one's space.
        position += max(0, size) if keep else 0
        whole = fits and open_blob(table, data + start, length, plain_length, target)
        if whole and not later:
            whole = hash_one(table, target, size, table + FOUND_ID) and is_id(table + FOUND_ID, ids + ID_BYTES * number)
        store64(place + 24 * count, 1 if whole else 0)
    if later:
        _hash_opened(table, count, numbers, ids, out)
    return position


@inline
def _plain_length(place: int, count: int) -> int:
    """Return the expected length of a blob's plaintext."""
    plain_length = load64(place + 16 * count)
    return plain_length if plain_length > 0 else load64(place + 8 * count) - NONCE_BYTES - TAG_BYTES


@inline
def _hash_opened(table: int, count: int, numbers: int, ids: int, out: int) -> int:
    """Hash the plaintexts of the opened blobs, in both lanes, and determine whether each has its ID; 0."""
    lane, other = table + LANE, table + OTHER_LANE
    store64(lane + LEFT, 0)
    store64(other + LEFT, 0)
    store64(lane + STAGE, IDLE)
    store64(other + STAGE, IDLE)
    number, position, blocks = 0, 0, 1
    while blocks > 0:
        for this in (lane, other):
            while load64(this + LEFT) == 0 and (number < count or load64(this + STAGE) != IDLE):
                if load64(this + STAGE) == BODY:
                    length = load64(this + LENGTH_AT)
                    store64(this + LEFT, pad(this, load64(this + SOURCE) + length % BLOCK_BYTES, length))
                    store64(this + SOURCE, this + REST_AT)
                    store64(this + STAGE, TAIL)
                elif load64(this + STAGE) == TAIL:
                    end(this)
                    is_right = is_id(this, ids + ID_BYTES * load64(this + BLOB))
                    store64(numbers + 8 * (load64(this + BLOB) + 3 * count), 1 if is_right else 0)
                    store64(this + STAGE, IDLE)
                else:
                    place = numbers + 8 * number
                    length = max(0, _plain_length(place, count))
                    if load64(place + 24 * count) == 1:
                        begin(table, this)
                        store64(this + SOURCE, out + position)
                        store64(this + LENGTH_AT, length)
                        store64(this + LEFT, length // BLOCK_BYTES)
                        store64(this + BLOB, number)
                        store64(this + STAGE, BODY)
                    position += length
                    number += 1
        left, other_left = load64(lane + LEFT), load64(other + LEFT)
        blocks = min(left, other_left) if left > 0 and other_left > 0 else left + other_left
        mine, others = min(blocks, left), min(blocks, other_left)
        hash_blocks(table, lane, load64(lane + SOURCE), mine, other, load64(other + SOURCE), others)
        for this in (lane, other):
            taken = mine if this == lane else others
            store64(this + LEFT, load64(this + LEFT) - taken)
            store64(this + SOURCE, load64(this + SOURCE) + taken * BLOCK_BYTES)
    return 0


@inline
def check_part(table: int, count: int, data: int, data_length: int, numbers: int, ids: int, running: int) -> int:
    """Determine whether each blob is intact, and add all of data to the running hash of the pack; 0.

    Sealed bytes are hashed together with the previous plaintext.
    """
    hashed, data_end = go_on(table, running, data, data_length), data + data_length
    lane, plain = table + LANE, load64(table + PLAIN)
    for number in range(count):
        place = numbers + 8 * number
        start, length, plain_length = load64(place), load64(place + 8 * count), load64(place + 16 * count)
        inside = 0 <= start <= data_length and NONCE_BYTES + TAG_BYTES < length <= data_length - start
        sealed, inner = data + start, length - NONCE_BYTES - TAG_BYTES
        whole = 0
        if not inside or plain_length < 0:
            pass
        elif plain_length > 0:
            if open_blob(table, sealed, length, plain_length, plain):
                begin(table, lane)
                blocks = max(0, sealed + length - hashed) // BLOCK_BYTES
                hash_blocks(table, lane, plain, plain_length // BLOCK_BYTES, running, hashed, blocks)
                hashed += blocks * BLOCK_BYTES
                whole = _is_right(table, plain + plain_length, plain_length, ids + ID_BYTES * number)
        elif is_authentic(table, sealed, length):
            counter, ciphertext, produced = load64(table + COUNTER), sealed + NONCE_BYTES, table + NUMBER
            begin(table, lane)
            whole = call_int(load64(table + CIPHER_INIT), (counter, 0, 0, sealed, 0)) == 1
            for done in range(0, inner, PIECE_BYTES):
                piece = min(PIECE_BYTES, inner - done)
                made = call_int(load64(table + CIPHER_UPDATE), (counter, plain, produced, ciphertext + done, piece))
                whole = whole and made == 1 and load32(produced) == piece
                blocks = max(0, ciphertext + done + piece - hashed) // BLOCK_BYTES
                hash_blocks(table, lane, plain, piece // BLOCK_BYTES, running, hashed, blocks)
                hashed += blocks * BLOCK_BYTES
            last = (inner - 1) % PIECE_BYTES + 1
            whole &= _is_right(table, plain + last, inner, ids + ID_BYTES * number)
        store64(place + 24 * count, 1 if whole else 0)
    blocks = (data_end - hashed) // BLOCK_BYTES
    hash_blocks(table, running, hashed, blocks, lane, plain, 0)
    hashed += blocks * BLOCK_BYTES
    copy_few(hashed, running + REST_AT, data_end - hashed)
    return 0


@inline
def _is_right(table: int, plain_end: int, length: int, identifier: int) -> int:
    """Finish the hash of a plaintext that ends there and whose full blocks are hashed, and compare it."""
    lane = table + LANE
    blocks = pad(lane, plain_end, length)
    hash_blocks(table, lane, lane + REST_AT, blocks, lane, plain_end, 0)
    end(lane)
    return is_id(lane, identifier)
