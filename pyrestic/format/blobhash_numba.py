"""Loops of the blob engine in which two hashes are made side by side (see sha256_llvm), for numba."""

from pyrestic.format.addresses import call_int, inline, load32, load64, store64
from pyrestic.format.blobslots import (
    CIPHER_INIT,
    CIPHER_UPDATE,
    COUNTER,
    FOUND_ID,
    HASH_PAIR,
    ID_BYTES,
    LANE,
    NONCE_BYTES,
    NUMBER,
    OTHER_LANE,
    PIECE_BYTES,
    PLAIN,
    TAG_BYTES,
)
from pyrestic.format.blobsteps_numba import hash_one, is_authentic, is_id, open_blob
from pyrestic.format.sha256_code import BLOCK_BYTES, REST_AT
from pyrestic.format.sha256_numba import begin, copy_few, end, go_on, hash_blocks, hash_two, pad


@inline
def open_all(
    table: int, count: int, data: int, data_length: int, numbers: int, ids: int, out: int, out_length: int, keep: int
) -> int:
    """Say of each blob whether it is whole; return how many bytes of out are used.

    With `keep` plaintexts are written to out and two are hashed at a time, else each lies in the table's memory.
    """
    position = 0
    # The number of a blob that is opened and waits for another to be hashed with, where it lies, and its length.
    waiting, lies, long = -1, 0, 0
    for number in range(count):
        place = numbers + 8 * number
        start, length, plain_length = load64(place), load64(place + 8 * count), load64(place + 16 * count)
        inside = 0 <= start <= data_length and NONCE_BYTES + TAG_BYTES < length <= data_length - start
        size = plain_length if plain_length > 0 else length - NONCE_BYTES - TAG_BYTES
        fits = inside and plain_length >= 0 and (not keep or size <= out_length - position)
        target = out + position if keep else load64(table + PLAIN)
        # Whatever is wrong with a blob, the caller looks for the next one behind the room of this one.
        position += max(0, size) if keep else 0
        store64(place + 24 * count, 0)
        if fits and open_blob(table, data + start, length, plain_length, target):
            if waiting < 0:
                waiting, lies, long = number, target, size
            else:
                hash_two(table, lies, long, target, size)
                is_right = is_id(table + OTHER_LANE, ids + ID_BYTES * number)
                store64(place + 24 * count, 1 if is_right else 0)
                is_right = is_id(table + LANE, ids + ID_BYTES * waiting)
                store64(numbers + 8 * waiting + 24 * count, 1 if is_right else 0)
                waiting = -1
        if waiting >= 0 and (number == count - 1 or not keep or load64(table + HASH_PAIR) == 0):
            is_hashed = hash_one(table, lies, long, table + FOUND_ID)
            is_right = is_hashed and is_id(table + FOUND_ID, ids + ID_BYTES * waiting)
            store64(numbers + 8 * waiting + 24 * count, 1 if is_right else 0)
            waiting = -1
    return position


@inline
def check_part(table: int, count: int, data: int, data_length: int, numbers: int, ids: int, running: int) -> int:
    """Say of each blob whether it is whole, and add all of data to the running hash of the pack; 0.

    Sealed bytes are hashed together with the plaintext that is made of them.
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
    """Finish the hash of a plaintext that ends there, of which all whole blocks are hashed, and compare it."""
    lane = table + LANE
    blocks = pad(lane, plain_end, length)
    hash_blocks(table, lane, lane + REST_AT, blocks, lane, plain_end, 0)
    end(lane)
    return is_id(lane, identifier)
