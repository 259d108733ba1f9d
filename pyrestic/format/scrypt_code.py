"""scrypt by a compiled ROMix (see scrypt_llvm): the same bytes as hashlib's in half of the time.

What stands around the inner loop is RFC 7914's: PBKDF2 makes the lanes' blocks of password and salt, each is mixed, and
PBKDF2 makes the key of the blocks. Code is believed only after it has given hashlib's answers.
"""

import ctypes
import hashlib
import mmap
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pyrestic.format.machinecode import map_code

Scrypt = Callable[[bytes, bytes, int, int, int, int], bytes]
"""(password, salt, n, r, p, length) -> a key of that many bytes; the parameters have been looked at."""
Romix = Callable[[int, int, int, int, int], int]

_LANES: Final = 4
_LANE: Final = struct.Struct("@10q")
_LANE_BYTES: Final = 128
_HEAD_BYTES: Final = 4096
_BLOCKS: Final = 4
_HUGE_BYTES: Final = 4 << 20
# Of 2^shift rows one is kept, so that the lanes take no more memory together than one that keeps all.
_SHIFTS: Final = {1: 0, 2: 1, 3: 2, 4: 2}
_DIAGONAL: Final = [5 * word % 16 for word in range(16)]
_KEY_TESTS: Final = ((2, 8, 1), (64, 8, 7), (32, 3, 2), (16, 1, 4))

_Function = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
)


def scrypt_at(address: int) -> Scrypt:
    """Return the engine for a compiled ROMix at an address in memory; calls leave Python to other threads."""
    romix = _Function(address)

    def scrypt(password: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
        blocks = hashlib.pbkdf2_hmac("sha256", password, salt, 1, p * 128 * r)
        lanes = [array("I", blocks[start : start + 128 * r]) for start in range(0, len(blocks), 128 * r)]
        mixed = b"".join(_mix(romix, lanes[first : first + _LANES], n, r) for first in range(0, p, _LANES))
        return hashlib.pbkdf2_hmac("sha256", password, mixed, 1, length)

    return scrypt


def load_code(code: bytes) -> Scrypt | None:
    """Return the engine for machine code that was kept; None if it cannot be used or gives wrong answers."""
    address = map_code(code)
    if address is None:
        return None
    engine = scrypt_at(address)
    return engine if agrees(engine) else None


def agrees(engine: Scrypt) -> bool:
    """Tell whether an engine gives hashlib's answers, for one to four lanes at a time and blocks of several lengths."""
    return all(
        engine(b"password", b"salt", n, r, p, 64) == hashlib.scrypt(b"password", salt=b"salt", n=n, r=r, p=p, dklen=64)
        for n, r, p in _KEY_TESTS
    )


class _Places(NamedTuple):
    """Where things lie in the memory of a run, in bytes from its start."""

    block_bytes: int
    memory_bytes: int

    @property
    def zeros(self) -> int:
        return _HEAD_BYTES

    def block(self, lane: int, number: int) -> int:
        return _HEAD_BYTES + self.block_bytes * (1 + lane * _BLOCKS + number)

    def memory(self, lane: int) -> int:
        return self.block(_LANES, 0) + lane * self.memory_bytes


def _mix(romix: Romix, lanes: Sequence["array[int]"], n: int, r: int) -> bytes:
    """Return the mixed blocks of at most four lanes."""
    shift = _SHIFTS[len(lanes)]
    places = _Places(128 * r, 128 * r * max(1, n >> shift))
    area = mmap.mmap(-1, places.memory(len(lanes)), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    huge = getattr(mmap, "MADV_HUGEPAGE", None)
    if huge is not None and len(area) >= _HUGE_BYTES:
        # Rows are asked for at random: with small pages half of the time goes into finding them.
        area.madvise(huge)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    order = [16 * piece + word for piece in range(2 * r) for word in _DIAGONAL]
    for number in range(_LANES):
        blocks = [start + places.block(number, one) for one in range(_BLOCKS)]
        if number < len(lanes):
            memory = places.memory(number)
            area[memory : memory + places.block_bytes] = array("I", [lanes[number][word] for word in order]).tobytes()
            fields = (0, start + memory, start + memory, *blocks, 0, 0, 1)
        else:
            # A lane that has come to its end already.
            fields = (2 * n, blocks[0], blocks[0], *blocks, 0, 0, 1)
        _LANE.pack_into(area, number * _LANE_BYTES, *fields)
    status = romix(start, start + places.zeros, n, r, shift)
    if status != 0:
        raise RuntimeError(f"the compiled scrypt ended with status {status}")
    return b"".join(_read_block(area, number, start, order) for number in range(len(lanes)))


def _read_block(area: mmap.mmap, lane: int, start: int, order: list[int]) -> bytes:
    begin = _LANE.unpack_from(area, lane * _LANE_BYTES)[1] - start
    mixed = array("I", area[begin : begin + 4 * len(order)])
    words = array("I", bytes(4 * len(order)))
    for place, word in enumerate(order):
        words[word] = mixed[place]
    return words.tobytes()
