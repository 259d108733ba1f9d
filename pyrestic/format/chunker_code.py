"""The chunker's inner loop as plain machine code: taken out of what a compiler made, and put to use again.

The function has numba's calling convention: (where the result goes, where an exception would go, data, low, high, out,
mod) -> status. It is usable anywhere if nothing in it refers to other places, which `extract` makes sure of. Code that
was kept is believed only after it has given the same answers as the numpy engine.
"""

import ctypes
import mmap
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrestic.format import chunker_numpy
from pyrestic.format.rabin import WINDOW, FirstCut, Tables, make_tables

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_SYMBOLS, _RELOCATIONS = 2, 4
_TEST_POLYNOMIAL = 0x3DA3358B4DC173
_MAX_CODE = 64 << 10

_Function = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


class _Section(NamedTuple):
    """An entry of an ELF section table."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    length: int
    link: int
    info: int
    alignment: int
    entry_length: int


def extract(elf: bytes, symbol: str) -> bytes | None:
    """Return the machine code of a function in a 64-bit object file, None if it refers to anything outside itself."""
    if elf[:6] != b"\x7fELF\x02\x01":
        return None
    start, count = struct.unpack_from("<Q", elf, 40)[0], struct.unpack_from("<H", elf, 60)[0]
    sections = [_Section(*_SECTION.unpack_from(elf, start + number * _SECTION.size)) for number in range(count)]
    table = next(section for section in sections if section.type == _SYMBOLS)
    names = sections[table.link]
    for offset in range(table.offset, table.offset + table.length, _SYMBOL.size):
        name, _, _, home, value, length = _SYMBOL.unpack_from(elf, offset)
        end = elf.index(b"\0", names.offset + name)
        if elf[names.offset + name : end] == symbol.encode():
            if _has_relocation(elf, sections, home, value, length):
                return None
            begin = sections[home].offset + value
            return elf[begin : begin + length]
    return None


def _has_relocation(elf: bytes, sections: list[_Section], home: int, value: int, length: int) -> bool:
    for section in sections:
        if section.type == _RELOCATIONS and section.info == home:
            for offset in range(section.offset, section.offset + section.length, _RELOCATION.size):
                if value <= _RELOCATION.unpack_from(elf, offset)[0] < value + length:
                    return True
    return False


def first_cut_at(address: int) -> FirstCut:
    """Return the engine for a compiled loop at an address in memory; calls leave Python to other threads."""
    call = _Function(address)

    def first_cut(data: NDArray[np.uint8], low: int, high: int, tables: Tables) -> int:
        result = ctypes.c_int64(-1)
        trouble = ctypes.c_void_p()
        status = call(
            ctypes.addressof(result),
            ctypes.addressof(trouble),
            data.ctypes.data,
            low,
            high,
            tables.out.ctypes.data,
            tables.mod.ctypes.data,
        )
        if status != 0:
            raise RuntimeError(f"the compiled chunker ended with status {status}")
        return result.value

    return first_cut


def load_code(code: bytes) -> FirstCut | None:
    """Return the engine for machine code that was kept; None if this machine does not let data become code."""
    if not 0 < len(code) <= _MAX_CODE:
        return None
    try:
        # Writable first, executable when it is filled, never both.
        memory = mmap.mmap(-1, len(code), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        libc = ctypes.CDLL(None, use_errno=True)
        length = -(-len(code) // mmap.PAGESIZE) * mmap.PAGESIZE
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length), mmap.PROT_READ | mmap.PROT_EXEC) != 0:
            return None
    except (OSError, ValueError, AttributeError):
        return None
    engine = first_cut_at(address)
    _kept.append(memory)
    return engine if agrees(engine) else None


_kept: list[mmap.mmap] = []
"""Memory that holds code in use."""


def agrees(engine: FirstCut) -> bool:
    """Tell whether an engine gives the answers of the numpy engine on data that leads through all of its paths."""
    tables = make_tables(_TEST_POLYNOMIAL)
    data = np.frombuffer(np.random.default_rng(1).bytes(160 << 10), dtype=np.uint8).copy()
    # A window of zeros is a cut; one in each stream of the first block, and one in what is left over.
    for position in (150_000, 120_000, 90_000, 50_000, 20_000):
        data[position : position + WINDOW] = 0
        low, high = WINDOW, len(data)
        if engine(data, low, high, tables) != chunker_numpy.first_cut(data, low, high, tables):
            return False
    return engine(data, 21_000, 21_100, tables) == -1
