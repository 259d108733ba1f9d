"""SHA-256 of two messages at a time with compiled code (sources/sha256_pair.py), and of one message in parts.

The code is used only after its digests agreed with hashlib's.
"""

import ctypes
import hashlib
import struct
from typing import Final, NamedTuple

from pyrestic.native.machinecode import function_at, map_code

BLOCK_BYTES: Final = 64
FIRST_STATE: Final = struct.pack(
    "<8I", 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19
)
"""The initial hash words (FIPS 180-4, section 5.3.3), in this processor's byte order."""
REST_AT: Final = 32
"""After a state comes the incomplete block, ..."""
LENGTH_AT: Final = REST_AT + 2 * BLOCK_BYTES
"""... and after it, for a message in parts, the number of bytes so far."""
FIRST_STATE_AT: Final = 272
"""Offset of FIRST_STATE in the constants, after those of sources.sha256_pair."""

_CONSTANTS: Final = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip
_SWAP: Final = bytes((3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12))
_TEST_LENGTHS: Final = ((1000, 1000), (50, 300), (500, 119), (0, 64))

_PARAMETERS: Final = 7
_constants: Final = ctypes.create_string_buffer(struct.pack("<64I", *_CONSTANTS) + _SWAP + FIRST_STATE)


class PairCode(NamedTuple):
    """The address of the function that hashes two messages at a time, and of its constants."""

    function: int
    constants: int

    def hash_blocks(self, state: int, data: int, blocks: int, other: int, other_data: int, other_blocks: int) -> None:
        """Process this number of blocks of each of two messages, given by addresses."""
        function_at(self.function, _PARAMETERS)(state, data, blocks, other, other_data, other_blocks, self.constants)


class RunningHash:
    """The SHA-256 of a message whose parts compiled code processes; its memory layout is in sources.sha256."""

    def __init__(self, code: PairCode) -> None:
        self._code = code
        self.memory = ctypes.create_string_buffer(FIRST_STATE, LENGTH_AT + 8)

    def finish(self, rest: bytes) -> bytes:
        """Return the SHA-256 of all parts followed by `rest`; no further part may follow."""
        (length,) = struct.unpack_from("=q", self.memory, LENGTH_AT)
        begun = self.memory.raw[REST_AT : REST_AT + length % BLOCK_BYTES]
        last = begun + rest + _padding(length + len(rest))
        memory = ctypes.create_string_buffer(last, len(last))
        place = ctypes.addressof(memory)
        state = ctypes.addressof(self.memory)
        self._code.hash_blocks(state, place, len(last) // BLOCK_BYTES, state, place, 0)
        return _digest(self.memory)


def hash_two(code: PairCode, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    """Return the SHA-256 of two messages."""
    messages = [each + _padding(len(each)) for each in (first, second)]
    memories = [ctypes.create_string_buffer(each, len(each)) for each in messages]
    states = [ctypes.create_string_buffer(FIRST_STATE, len(FIRST_STATE)) for _ in messages]
    arguments = [
        (ctypes.addressof(state), ctypes.addressof(memory), len(memory) // BLOCK_BYTES)
        for state, memory in zip(states, memories, strict=True)
    ]
    code.hash_blocks(*arguments[0], *arguments[1])
    return _digest(states[0]), _digest(states[1])


def load_code(code: bytes) -> PairCode | None:
    """Return stored machine code, ready for use; None if it cannot be used or gives wrong results."""
    address = map_code(code)
    if address is None:
        return None
    found = PairCode(address, ctypes.addressof(_constants))
    return found if agrees(found) else None


def agrees(code: PairCode) -> bool:
    """Tell whether code agrees with hashlib, for messages of equal and of different lengths."""
    data = hashlib.shake_128(b"").digest(max(map(sum, _TEST_LENGTHS)))
    for length, other_length in _TEST_LENGTHS:
        pair = data[:length], data[length : length + other_length]
        try:
            found = hash_two(code, *pair)
        except RuntimeError:
            return False
        if found != tuple(hashlib.sha256(each).digest() for each in pair):
            return False
    return True


def _padding(length: int) -> bytes:
    """Return the padding of a message of this number of bytes (FIPS 180-4, section 5.1.1)."""
    return b"\x80" + bytes((BLOCK_BYTES - 9 - length) % BLOCK_BYTES) + (8 * length).to_bytes(8, "big")


def _digest(state: "ctypes.Array[ctypes.c_char]") -> bytes:
    return struct.pack(">8I", *struct.unpack_from("<8I", state))
