"""Vectors of compiled functions: arithmetic, the order of words and bytes, and memory."""

from array import array
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.native.machinecode import function_at, map_code

pytest.importorskip("numba")
from pyrestic.native.intrinsics import choose, compile_function
from pyrestic.native.vectors import add, make_load, make_rotate, make_shuffle, make_store, prefetch, xor

_load, _store = make_load(4, 4), make_store(4)
_rotate, _shuffle = make_rotate(7), make_shuffle((0, 6, 3, 5))


def _combine(one: int, two: int, target: int) -> int:
    prefetch(target)
    first, second = _load(one), _load(two)
    _store(target, add(first, second))
    _store(target + 16, xor(first, second))
    _store(target + 32, _rotate(first))
    _store(target + 48, _shuffle(first, second))
    return choose(one < two, one, two)


@pytest.fixture(scope="module")
def combine() -> Callable[..., int]:
    code = compile_function(_combine, 3)
    assert code is not None
    address = map_code(code)
    assert address is not None
    return function_at(address, 3)


WORDS = st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4)


@given(one=WORDS, two=WORDS)
def test_operations_on_vectors_are_those_of_numpy(combine: Callable[..., int], one: list[int], two: list[int]) -> None:
    first, second, target = np.array(one, np.uint32), np.array(two, np.uint32), array("I", [0] * 16)
    places = first.ctypes.data, second.ctypes.data
    assert combine(*places, target.buffer_info()[0]) == min(places)
    expected = (first + second, first ^ second, first << 7 | first >> 25, np.concatenate((first, second))[[0, 6, 3, 5]])
    assert target.tolist() == np.concatenate(expected).tolist()
