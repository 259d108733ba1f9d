"""Extracts one function's machine code from an object file and maps it for execution.

The code of a function can be moved if it refers to nothing outside itself, which `extract` checks. Callers compare the
results of stored code with those of another engine before they use it.
"""

import ctypes
import mmap
import struct
from collections.abc import Callable
from typing import NamedTuple

MAX_CODE = 64 << 10
"""Maximum length of a function in bytes."""

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_SYMBOLS, _RELOCATIONS = 2, 4


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


def map_code(code: bytes) -> int | None:
    """Return the address of an executable copy, which lives until the program ends.

    None if there is no code or too much of it, or if this machine forbids executable data.
    """
    if not 0 < len(code) <= MAX_CODE:
        return None
    try:
        # First writable, then executable, never both.
        memory = mmap.mmap(-1, len(code), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
        memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        libc = ctypes.CDLL(None, use_errno=True)
        length = -(-len(code) // mmap.PAGESIZE) * mmap.PAGESIZE
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length), mmap.PROT_READ | mmap.PROT_EXEC) != 0:
            return None
    except (OSError, ValueError, AttributeError):
        return None
    _kept.append(memory)
    return address


def function_at(address: int, parameters: int) -> Callable[..., int]:
    """Return a Python function that calls code from `intrinsics.compile_function`; it releases the GIL.

    The code has numba's calling convention: (result pointer, exception pointer, arguments…) -> status.
    """
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * parameters)
    function = kind(address)

    def call(*arguments: int) -> int:
        result, trouble = ctypes.c_int64(), ctypes.c_void_p()
        status = function(ctypes.addressof(result), ctypes.addressof(trouble), *arguments)
        if status != 0:
            raise RuntimeError(f"compiled code ended with status {status}")
        return result.value

    return call


_kept: list[mmap.mmap] = []
"""Memory of the code in use."""
