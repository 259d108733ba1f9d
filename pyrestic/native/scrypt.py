"""scrypt with a compiled ROMix (see sources.scrypt): the same bytes as hashlib's in less than half of the time.

Everything around the inner loop follows RFC 7914: PBKDF2 derives the lanes' blocks from password and salt, each lane is
mixed, and PBKDF2 derives the key from the blocks. Code is used only after its results agreed with hashlib's.
"""

import ctypes
import hashlib
import mmap
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pyrestic.format.keyfile import Scrypt
from pyrestic.native.machinecode import function_at, map_code

Romix = Callable[[int, int, int, int, int, int], int]

_PARAMETERS: Final = 6
_LANE_COUNTS: Final = (4, 8)
_LANE: Final = struct.Struct("@13q")
_LANE_BYTES: Final = 128
_HEAD_BYTES: Final = 4096
_BLOCKS: Final = 4
_HUGE_BYTES: Final = 4 << 20
_INVERSE_OF: Final = 1 << 40
_DIAGONAL: Final = [5 * word % 16 for word in range(16)]
_KEY_TESTS: Final = ((2, 8, 1), (16, 8, 8), (32, 3, 3), (16, 1, 5))


def load_code(code: bytes) -> Scrypt | None:
    """Return the engine for machine code; None if it cannot be used or gives wrong results.

    Calls of the engine release the GIL.
    """
    address = map_code(code)
    if address is None:
        return None
    romix = function_at(address, _PARAMETERS)
    try:
        most = romix(0, 0, 0, 0, 0, 0)
    except RuntimeError:
        return None
    if most not in _LANE_COUNTS:
        return None

    def scrypt(password: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
        blocks = hashlib.pbkdf2_hmac("sha256", password, salt, 1, p * 128 * r)
        lanes = [array("I", blocks[start : start + 128 * r]) for start in range(0, len(blocks), 128 * r)]
        mixed = b"".join(_mix(romix, most, lanes[first : first + most], n, r) for first in range(0, p, most))
        return hashlib.pbkdf2_hmac("sha256", password, mixed, 1, length)

    return scrypt if agrees(scrypt) else None


def agrees(engine: Scrypt) -> bool:
    """Tell whether an engine agrees with hashlib, for several numbers of lanes and block lengths."""
    try:
        return all(
            engine(b"password", b"salt", n, r, p, 64)
            == hashlib.scrypt(b"password", salt=b"salt", n=n, r=r, p=p, dklen=64)
            for n, r, p in _KEY_TESTS
        )
    except RuntimeError:
        return False


class _Places(NamedTuple):
    """The memory layout of a run, in bytes from its start."""

    lanes: int
    block_bytes: int
    memory_bytes: int

    @property
    def zeros(self) -> int:
        return _HEAD_BYTES

    def block(self, lane: int, number: int) -> int:
        return _HEAD_BYTES + self.block_bytes * (1 + lane * _BLOCKS + number)

    def memory(self, lane: int) -> int:
        return self.block(self.lanes, 0) + lane * self.memory_bytes


def _mix(romix: Romix, most: int, lanes: Sequence["array[int]"], n: int, r: int) -> bytes:
    """Return the mixed blocks of lanes, of which the function takes `most`."""
    # One of as many rows as there are lanes is stored, so that together they take no more memory than one lane with all
    # rows.
    kept_one_of = len(lanes)
    places = _Places(most, 128 * r, 128 * r * -(-n // kept_one_of))
    area = mmap.mmap(-1, places.memory(len(lanes)), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    huge = getattr(mmap, "MADV_HUGEPAGE", None)
    if huge is not None and len(area) >= _HUGE_BYTES:
        # Rows are accessed at random: with small pages, half of the time is spent on address translation.
        area.madvise(huge)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    order = [16 * piece + word for piece in range(2 * r) for word in _DIAGONAL]
    for number in range(most):
        blocks = [start + places.block(number, one) for one in range(_BLOCKS)]
        if number < len(lanes):
            memory = places.memory(number)
            area[memory : memory + places.block_bytes] = array("I", [lanes[number][word] for word in order]).tobytes()
            step, block = 0, start + memory
        else:
            # A finished lane.
            step, block = 2 * n, blocks[0]
        # The second chain mixes unused data before it starts.
        does = blocks[0], start + places.zeros, blocks[2]
        _LANE.pack_into(area, number * _LANE_BYTES, step, block, block, *blocks, 0, 0, 1, *does)
    romix(start, start + places.zeros, n, r, kept_one_of, -(-_INVERSE_OF // kept_one_of))
    return b"".join(_read_block(area, number, start, order) for number in range(len(lanes)))


def _read_block(area: mmap.mmap, lane: int, start: int, order: list[int]) -> bytes:
    begin = _LANE.unpack_from(area, lane * _LANE_BYTES)[1] - start
    mixed = array("I", area[begin : begin + 4 * len(order)])
    words = array("I", bytes(4 * len(order)))
    for place, word in enumerate(order):
        words[word] = mixed[place]
    return words.tobytes()
