"""The inner loop of SHA-256 for two messages at a time, for x86-64 processors that know SHA-256.

Each of their instructions for rounds waits for the one before and leaves half of its unit idle: two messages that are
hashed side by side take little more time than one.

A state is eight words of 32 bits, data any number of blocks of 64 bytes at any alignment. `constants` has the 64 words
of FIPS 180-4, section 4.2.2, and the order of bytes that turns four words around. As long as both messages have blocks
they are taken together, what is left of the longer one follows alone.
"""

from typing import Final

import llvmlite.binding as llvm

from pyrestic.native.intrinsics import compile_function, inline
from pyrestic.native.vectors import (
    Vector,
    add,
    make_load,
    make_shuffle,
    make_store,
    sha256_message_1,
    sha256_message_2,
    sha256_rounds,
    shuffle_bytes,
)

FEATURES: Final = ("sha", "sse4.1")
"""LLVM's names of the required instructions."""

PARAMETERS: Final = 7
_BLOCK_BYTES: Final = 64
_SWAP_AT: Final = 256
_State = tuple[Vector, Vector]
"""A state in the order of the instructions: f e b a, and h g d c."""
_Words = tuple[Vector, Vector, Vector, Vector]
"""The last sixteen words of the message schedule."""

_load, _store = make_load(4, 1), make_store(1)
_feba, _hgdc = make_shuffle((5, 4, 1, 0)), make_shuffle((7, 6, 3, 2))
_abcd, _efgh = make_shuffle((3, 2, 7, 6)), make_shuffle((1, 0, 5, 4))
_swap_halves = make_shuffle((2, 3, 0, 1))
_next_words = make_shuffle((1, 2, 3, 4))


@inline
def _read_state(place: int) -> _State:
    low, high = _load(place), _load(place + 16)
    return _feba(low, high), _hgdc(low, high)


@inline
def _write_state(place: int, state: _State) -> int:
    _store(place, _abcd(state[0], state[1]))
    _store(place + 16, _efgh(state[0], state[1]))
    return 0


@inline
def _sum(one: _State, two: _State) -> _State:
    return add(one[0], two[0]), add(one[1], two[1])


@inline
def _read(data: int, swap: Vector) -> _Words:
    """Return the words of a block."""
    return (
        shuffle_bytes(_load(data), swap),
        shuffle_bytes(_load(data + 16), swap),
        shuffle_bytes(_load(data + 32), swap),
        shuffle_bytes(_load(data + 48), swap),
    )


@inline
def _go_on(words: _Words) -> _Words:
    """Return the words with the next four instead of the first."""
    a, b, c, d = words
    return b, c, d, sha256_message_2(add(sha256_message_1(a, b), _next_words(c, d)), d)


@inline
def _mix(state: _State, words: Vector, constants: int) -> _State:
    """Return the state after four rounds."""
    first, second = state
    sums = add(words, _load(constants))
    second = sha256_rounds(second, first, sums)
    return sha256_rounds(first, second, _swap_halves(sums, sums)), second


def sha256_pair(
    place: int, data: int, blocks: int, other_place: int, other_data: int, other_blocks: int, constants: int
) -> int:
    """Process this number of blocks of two messages; 0."""
    swap = _load(constants + _SWAP_AT)
    together = min(blocks, other_blocks)
    state, other = _read_state(place), _read_state(other_place)
    for number in range(together):
        words, other_words = _read(data + number * _BLOCK_BYTES, swap), _read(other_data + number * _BLOCK_BYTES, swap)
        mixed, other_mixed = state, other
        for step in range(16):
            # Four rounds of one message and four of the other in turn.
            mixed = _mix(mixed, words[0], constants + 16 * step)
            other_mixed = _mix(other_mixed, other_words[0], constants + 16 * step)
            words, other_words = _go_on(words), _go_on(other_words)
        state, other = _sum(state, mixed), _sum(other, other_mixed)
    if together > 0:
        _write_state(place, state)
        _write_state(other_place, other)
    longer = other_place if blocks < other_blocks else place
    rest = (other_data if blocks < other_blocks else data) + together * _BLOCK_BYTES
    state = _read_state(longer)
    for number in range(max(blocks, other_blocks) - together):
        words = _read(rest + number * _BLOCK_BYTES, swap)
        mixed = state
        for step in range(16):
            mixed = _mix(mixed, words[0], constants + 16 * step)
            words = _go_on(words)
        state = _sum(state, mixed)
    _write_state(longer, state)
    return 0


def compile_code() -> bytes | None:
    """Return the function's machine code for this processor, None if it has no such instructions."""
    features = llvm.get_host_cpu_features()
    return compile_function(sha256_pair, PARAMETERS) if all(map(features.get, FEATURES)) else None
