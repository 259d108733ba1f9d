"""The inner loop of scrypt, ROMix, for several lanes at a time.

Each step of ROMix waits for the one before, so a lane alone leaves most of a processor idle. But scrypt's `p` lanes do
not depend on one another: here four make a chain, whose vectors hold the same row of all four, and where that is faster
two chains are mixed side by side. To take no more memory than one lane does, each keeps only one of as many of its rows
as there are lanes and makes the others again when they are asked for. For eight lanes at a time that is 2.75 times the
steps, and still takes less than half of the time of OpenSSL's lanes one by one.

The function is `romix(lanes, zeros, n, r, kept_one_of, inverse)`. `lanes` is an array of structures (native/scrypt.py),
`zeros` a block of zeros; of `kept_one_of` rows one is kept, and `inverse` is 2^40 divided by that and rounded up. A
block of 128 * r bytes is 2 * r pieces of 64 bytes, whose words stand in the order of Salsa20's diagonals, so that a
vector of four is a row. The second chain is half a block behind the first one: while one waits for memory, the other
goes on. Called without lanes, the function only returns how many it takes.
"""

from typing import Final

import llvmlite.binding as llvm

from pyrestic.native.intrinsics import choose, compile_function, inline, load32, load64, store64
from pyrestic.native.vectors import Vector, add, make_load, make_rotate, make_shuffle, make_store, prefetch, xor

_WIDTH: Final = 4
"""Lanes of a chain."""
_LANE_BYTES: Final = 128
"""Size of a lane's structure, of eight bytes a field."""
_CHAIN_BYTES: Final = _WIDTH * _LANE_BYTES
_PIECE_BYTES: Final = 64

_STEP: Final = 0
"""n steps fill the lane's memory, n more mix."""
_BLOCK: Final = 8
"""The lane's current block."""
_MEMORY: Final = 16
_FIRST: Final = 24
"""Two buffers for blocks, used in turn."""
_MADE_FIRST: Final = 40
"""Two more, for recomputed rows."""
_MISSING: Final = 56
"""Steps from `made` to the wanted row."""
_MADE: Final = 64
_FRESH: Final = 72
"""Whether the next row is still to be chosen."""
_SOURCE: Final = 80
_OTHER: Final = 88
_TARGET: Final = 96
"""The lane's current operation: block_mix(source ^ other) -> target."""

PARAMETERS: Final = 6
_INVERSE_BITS: Final = 40
_FETCHED_BYTES: Final = 1024
"""A block of the usual length."""
# Their instructions on vectors take two cycles, so that one chain leaves them idle most of the time. Where it is one, a
# chain is as fast as the units for such vectors allow, by what makers say of them.
_SLOW_TO_ANSWER: Final = frozenset({"znver5"})
_Rows = tuple[Vector, Vector, Vector, Vector]
"""A piece of each lane of a chain, as the rows of Salsa20."""

_load, _store = make_load(4 * _WIDTH, _PIECE_BYTES), make_store(_PIECE_BYTES)
_rotate7, _rotate9, _rotate13, _rotate18 = make_rotate(7), make_rotate(9), make_rotate(13), make_rotate(18)


def _quarters(*places: int) -> list[int]:
    return [4 * place + word for place in places for word in range(4)]


def _turned(places: int) -> list[int]:
    return [4 * lane + (word - places) % 4 for lane in range(_WIDTH) for word in range(4)]


_low, _high = make_shuffle(_quarters(0, 1, 4, 5)), make_shuffle(_quarters(2, 3, 6, 7))
_even, _odd = make_shuffle(_quarters(0, 2, 4, 6)), make_shuffle(_quarters(1, 3, 5, 7))
_turn1, _turn2, _turn3 = make_shuffle(_turned(1)), make_shuffle(_turned(2)), make_shuffle(_turned(3))


def romix_of_four(lanes: int, zeros: int, n: int, r: int, kept_one_of: int, inverse: int) -> int:
    """Mix four lanes; 0."""
    if lanes == 0:
        return _WIDTH
    while _plan(lanes, zeros, n, r, kept_one_of, inverse):
        rows = _read(lanes, 128 * r - _PIECE_BYTES)
        for piece in range(2 * r):
            rows = _mix(lanes, rows, piece, r)
    return 0


def romix_of_eight(lanes: int, zeros: int, n: int, r: int, kept_one_of: int, inverse: int) -> int:
    """Mix eight lanes, half a block of each chain at a time; 0."""
    if lanes == 0:
        return 2 * _WIDTH
    others = lanes + _CHAIN_BYTES
    last = 128 * r - _PIECE_BYTES
    is_first, busy, others_busy = True, True, True
    # The second chain mixes unused data before it starts.
    rows = other_rows = _read(others, last)
    while True:
        if is_first:
            busy = _plan(lanes, zeros, n, r, kept_one_of, inverse)
            rows = _read(lanes, last)
        else:
            others_busy = _plan(others, zeros, n, r, kept_one_of, inverse)
            other_rows = _read(others, last)
        if not (busy or others_busy):
            return 0
        begin, other_begin = (0, r) if is_first else (r, 0)
        for piece in range(r):
            rows, other_rows = _mix_both(lanes, rows, begin + piece, others, other_rows, other_begin + piece, r)
        is_first = not is_first


@inline
def _plan(lanes: int, zeros: int, n: int, r: int, kept_one_of: int, inverse: int) -> bool:
    """Choose the next operation of a chain's lanes and start it; tell whether any lane has work left."""
    one = _plan_lane(lanes, zeros, n, r, kept_one_of, inverse)
    two = _plan_lane(lanes + _LANE_BYTES, zeros, n, r, kept_one_of, inverse)
    three = _plan_lane(lanes + 2 * _LANE_BYTES, zeros, n, r, kept_one_of, inverse)
    four = _plan_lane(lanes + 3 * _LANE_BYTES, zeros, n, r, kept_one_of, inverse)
    return one | two | three | four


@inline
def _plan_lane(lane: int, zeros: int, n: int, r: int, kept_one_of: int, inverse: int) -> bool:
    """During filling, mix the current block, into memory if that row is stored. During mixing, recompute a row, or mix
    the block with the wanted row. A finished lane mixes unused data.
    """
    step, block, length = load64(lane + _STEP), load64(lane + _BLOCK), 128 * r
    fills, is_alive = step < n, step < 2 * n
    free = _other_buffer(lane + _FIRST, block)
    wanted = load32(block + length - _PIECE_BYTES) & (n - 1)
    number = choose(fills, step + 1, wanted)
    kept_number = number * inverse >> _INVERSE_BITS
    behind, base = number - kept_number * kept_one_of, load64(lane + _MEMORY) + kept_number * length
    filled = choose((behind == 0) & (step + 1 < n), base, free)

    is_fresh = load64(lane + _FRESH) != 0
    row, lacks = choose(is_fresh, base, load64(lane + _MADE)), choose(is_fresh, behind, load64(lane + _MISSING))
    again = lacks != 0
    made = _other_buffer(lane + _MADE_FIRST, row)
    source, other = choose(again, row, block), choose(again, zeros, row)
    target = choose(again, made, free)
    mixed = choose(again, block, free)

    store64(lane + _STEP, choose(is_alive, choose(fills | (lacks == 0), step + 1, step), step))
    store64(lane + _BLOCK, choose(is_alive, choose(fills, filled, mixed), block))
    store64(lane + _MISSING, lacks - 1)
    store64(lane + _MADE, made)
    store64(lane + _FRESH, choose(fills | (lacks == 0), 1, 0))
    store64(lane + _SOURCE, choose(is_alive, choose(fills, block, source), load64(lane + _FIRST)))
    store64(lane + _OTHER, choose(is_alive & (step >= n), other, zeros))
    store64(lane + _TARGET, choose(is_alive, choose(fills, filled, target), load64(lane + _MADE_FIRST)))
    # A row that is asked for at random is far away, and what two chains do in the time that takes is more than a
    # processor looks ahead. Asking for what is not there does no harm.
    for place in range(0, _FETCHED_BYTES, _PIECE_BYTES):
        prefetch(row + place)
    return is_alive


@inline
def _other_buffer(buffers: int, used: int) -> int:
    """Return that of two buffers that is not used."""
    first = load64(buffers)
    return choose(used == first, load64(buffers + 8), first)


@inline
def _mix(lanes: int, rows: _Rows, piece: int, r: int) -> _Rows:
    """Mix a piece, which is Salsa20/8 of itself and the piece before, which is the last for the first."""
    rows = mixed = _xor(rows, _read(lanes, piece * _PIECE_BYTES))
    for _ in range(4):
        mixed = _double_round(mixed)
    rows = _add(rows, mixed)
    _write(lanes, rows, piece, r)
    return rows


@inline
def _mix_both(
    lanes: int, rows: _Rows, piece: int, others: int, other_rows: _Rows, other_piece: int, r: int
) -> tuple[_Rows, _Rows]:
    rows = _xor(rows, _read(lanes, piece * _PIECE_BYTES))
    other_rows = _xor(other_rows, _read(others, other_piece * _PIECE_BYTES))
    mixed, other_mixed = rows, other_rows
    for _ in range(4):
        mixed, other_mixed = _double_round(mixed), _double_round(other_mixed)
    rows, other_rows = _add(rows, mixed), _add(other_rows, other_mixed)
    _write(lanes, rows, piece, r)
    _write(others, other_rows, other_piece, r)
    return rows, other_rows


@inline
def _read(lanes: int, offset: int) -> _Rows:
    """Return the rows of a piece of `source ^ other`."""
    return _transpose(
        _read_lane(lanes, offset),
        _read_lane(lanes + _LANE_BYTES, offset),
        _read_lane(lanes + 2 * _LANE_BYTES, offset),
        _read_lane(lanes + 3 * _LANE_BYTES, offset),
    )


@inline
def _read_lane(lane: int, offset: int) -> Vector:
    return xor(_load(load64(lane + _SOURCE) + offset), _load(load64(lane + _OTHER) + offset))


@inline
def _write(lanes: int, rows: _Rows, piece: int, r: int) -> int:
    """Write a piece of the new block: even ones come first, odd ones follow."""
    offset = (piece // 2 + piece % 2 * r) * _PIECE_BYTES
    one, two, three, four = _transpose(*rows)
    _store(load64(lanes + _TARGET) + offset, one)
    _store(load64(lanes + _LANE_BYTES + _TARGET) + offset, two)
    _store(load64(lanes + 2 * _LANE_BYTES + _TARGET) + offset, three)
    _store(load64(lanes + 3 * _LANE_BYTES + _TARGET) + offset, four)
    return 0


@inline
def _transpose(a: Vector, b: Vector, c: Vector, d: Vector) -> _Rows:
    """Return as the n-th vector the n-th quarters of the given four."""
    first, second, third, fourth = _low(a, b), _low(c, d), _high(a, b), _high(c, d)
    return _even(first, second), _odd(first, second), _even(third, fourth), _odd(third, fourth)


@inline
def _xor(one: _Rows, two: _Rows) -> _Rows:
    return xor(one[0], two[0]), xor(one[1], two[1]), xor(one[2], two[2]), xor(one[3], two[3])


@inline
def _add(one: _Rows, two: _Rows) -> _Rows:
    return add(one[0], two[0]), add(one[1], two[1]), add(one[2], two[2]), add(one[3], two[3])


@inline
def _double_round(rows: _Rows) -> _Rows:
    """Return the rows after a round of columns and one of rows of Salsa20."""
    a, b, c, d = _round(*rows)
    a, d, c, b = _round(a, _turn3(d, d), _turn2(c, c), _turn1(b, b))
    return a, _turn3(b, b), _turn2(c, c), _turn1(d, d)


@inline
def _round(a: Vector, b: Vector, c: Vector, d: Vector) -> _Rows:
    """Each row absorbs the sum of two others, rotated by some bits."""
    b = xor(b, _rotate7(add(a, d)))
    c = xor(c, _rotate9(add(b, a)))
    d = xor(d, _rotate13(add(c, b)))
    return xor(a, _rotate18(add(d, c))), b, c, d


def compile_code() -> bytes | None:
    """Return the function's machine code for this processor, None if it cannot be moved."""
    romix = romix_of_eight if llvm.get_host_cpu_name() in _SLOW_TO_ANSWER else romix_of_four
    return compile_function(romix, PARAMETERS)
