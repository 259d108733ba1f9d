"""SHA-256 of two messages at a time for compiled functions: padding and lengths around sha256_pair's blocks.

A lane is 200 bytes for a message: its state, a buffer for its padding, its length, and the fields of blob_layout.
`table` is as in blob_layout as well.
"""

from typing import Final

from pyrestic.native.blob_layout import HASH_CONSTANTS, HASH_PAIR, LANE, NUMBER, OTHER_LANE
from pyrestic.native.intrinsics import call_int, inline, load8, load32, load64, store8, store32, store64
from pyrestic.native.sha256 import BLOCK_BYTES, FIRST_STATE_AT, LENGTH_AT, REST_AT

_REST_BYTES: Final = 2 * BLOCK_BYTES


@inline
def hash_blocks(table: int, lane: int, data: int, blocks: int, other: int, other_data: int, other_blocks: int) -> int:
    """Process this number of blocks of two messages; 0."""
    result, trouble, constants = table + NUMBER, 0, load64(table + HASH_CONSTANTS)
    arguments = (result, trouble, lane, data, blocks, other, other_data, other_blocks, constants)
    return call_int(load64(table + HASH_PAIR), arguments)


@inline
def begin(table: int, lane: int) -> int:
    """Start a message; 0."""
    first = load64(table + HASH_CONSTANTS) + FIRST_STATE_AT
    for place in range(0, REST_AT, 8):
        store64(lane + place, load64(first + place))
    return 0


@inline
def copy_few(source: int, target: int, length: int) -> int:
    """Copy some bytes; 0."""
    for place in range(length):
        store8(target + place, load8(source + place))
    return 0


@inline
def pad(lane: int, end: int, length: int) -> int:
    """Put what is left of a message of `length` bytes that ends at address end into the lane, padded; return how many
    blocks that makes (FIPS 180-4, section 5.1.1).
    """
    rest, room = length % BLOCK_BYTES, lane + REST_AT
    for place in range(0, _REST_BYTES, 8):
        store64(room + place, 0)
    copy_few(end - rest, room, rest)
    store8(room + rest, 0x80)
    blocks = 1 if rest < BLOCK_BYTES - 8 else 2
    last = room + blocks * BLOCK_BYTES
    # The number of bits, most significant byte first; no message here has 2^61 bytes.
    store32(last - 8, _turned(length >> 29))
    store32(last - 4, _turned(length << 3 & 0xFFFFFFFF))
    return blocks


@inline
def end(lane: int) -> int:
    """Write the ID from the state of a hashed message; 0."""
    for place in range(0, REST_AT, 4):
        store32(lane + place, _turned(load32(lane + place)))
    return 0


@inline
def hash_two(table: int, data: int, length: int, other_data: int, other_length: int) -> int:
    """Leave the IDs of two messages in the table's lanes; 0."""
    lane, other = table + LANE, table + OTHER_LANE
    begin(table, lane)
    begin(table, other)
    hash_blocks(table, lane, data, length // BLOCK_BYTES, other, other_data, other_length // BLOCK_BYTES)
    blocks, other_blocks = pad(lane, data + length, length), pad(other, other_data + other_length, other_length)
    hash_blocks(table, lane, lane + REST_AT, blocks, other, other + REST_AT, other_blocks)
    end(lane)
    return end(other)


@inline
def go_on(table: int, running: int, data: int, length: int) -> int:
    """Add bytes to a message whose length so far stands at LENGTH_AT, but hash only what completes a block that was
    begun: return where the next one begins.
    """
    begun = load64(running + LENGTH_AT) % BLOCK_BYTES
    taken = min(BLOCK_BYTES - begun, length) if begun > 0 else 0
    copy_few(data, running + REST_AT + begun, taken)
    if begun + taken == BLOCK_BYTES:
        hash_blocks(table, running, running + REST_AT, 1, running, data, 0)
    store64(running + LENGTH_AT, load64(running + LENGTH_AT) + length)
    return data + taken


@inline
def _turned(word: int) -> int:
    """Return a word of 32 bits with its bytes reversed."""
    return (word & 0xFF) << 24 | (word & 0xFF00) << 8 | (word >> 8 & 0xFF00) | word >> 24
