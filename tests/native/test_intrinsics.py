"""Compiled functions that work with addresses: memory of all widths, C functions, and code that can be moved."""

import ctypes
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.native.machinecode import function_at, map_code

pytest.importorskip("numba")
from pyrestic.native.intrinsics import (
    call,
    call_int,
    compile_function,
    inline,
    load8,
    load32,
    load64,
    store8,
    store32,
    store64,
)


@inline
def _sum(address: int) -> int:
    return load8(address) + load32(address + 1) + load64(address + 5)


def _memory(source: int, target: int) -> int:
    store8(target, load8(source))
    store32(target + 1, load32(source + 1))
    store64(target + 5, load64(source + 5))
    return _sum(source)


def _calls(labs: int, abs_: int, number: int) -> int:
    return call(labs, (number,)) + call_int(abs_, (number,))


def _compiled(function: Callable[..., int], parameters: int) -> Callable[..., int]:
    code = compile_function(function, parameters)
    assert code is not None
    address = map_code(code)
    assert address is not None
    return function_at(address, parameters)


@pytest.fixture(scope="module")
def memory() -> Callable[..., int]:
    return _compiled(_memory, 2)


@given(st.binary(min_size=13, max_size=13))
def test_numbers_of_all_widths_are_unsigned_and_may_lie_anywhere(memory: Callable[..., int], data: bytes) -> None:
    source, target = array("B", data), array("B", bytes(13))
    total = memory(source.buffer_info()[0], target.buffer_info()[0])
    numbers = (data[:1], data[1:5], data[5:])
    assert total % 2**64 == sum(int.from_bytes(number, "little") for number in numbers) % 2**64
    assert target.tobytes() == data


def test_c_functions_are_called_and_their_ints_have_a_sign() -> None:
    libc = ctypes.CDLL(None)
    labs, abs_ = (ctypes.cast(function, ctypes.c_void_p).value for function in (libc.labs, libc.abs))
    calls = _compiled(_calls, 3)
    assert calls(labs, abs_, -3) == 6
    assert calls(labs, abs_, -(2**31)) == 2**31 - 2**31


def test_code_that_needs_more_than_itself_is_not_taken() -> None:
    def outside(number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return len(str(number))

    assert compile_function(outside, 1) is None
