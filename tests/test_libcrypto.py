"""libcrypto by ctypes: addresses of Python's buffers, refusals, contexts that go away."""

import gc
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.libcrypto import CounterMode, Library, OneTimeKeys, Poly1305, address_of, find_library, new_bytes


@pytest.fixture(scope="module")
def library() -> Library:
    found = find_library()
    assert found is not None
    return found


@given(st.binary(min_size=1, max_size=100), st.data())
def test_the_address_of_a_view_is_where_its_bytes_are(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data) - 1))
    numbers = array("B", data)
    assert address_of(memoryview(numbers)[start:]) == numbers.buffer_info()[0] + start
    assert address_of(memoryview(data)[start:]) == address_of(memoryview(data)) + start


def test_a_view_with_gaps_has_no_address() -> None:
    with pytest.raises(BufferError):
        address_of(memoryview(b"123456")[::2])


def test_a_view_can_be_let_go_after_its_address_was_asked_for() -> None:
    data = bytearray(b"1234")
    view = memoryview(data)
    address_of(view)
    with pytest.raises(BufferError):
        data += b"5"
    view.release()
    data += b"5"
    assert data == b"12345"


@pytest.mark.parametrize("length", [0, 1, 2, 100_000])
def test_new_bytes_are_nobody_elses(length: int) -> None:
    first, place = new_bytes(length)
    second, other = new_bytes(length)
    assert len(first) == len(second) == length
    assert place != other or length == 0
    assert address_of(memoryview(first)) == place or length == 0


def test_what_is_no_libcrypto_is_refused() -> None:
    with pytest.raises((OSError, AttributeError)):
        Library("libc.so.6")
    with pytest.raises(OSError, match="no-such-file"):
        Library("no-such-file")


def test_an_algorithm_that_is_not_there_is_told(library: Library) -> None:
    with pytest.raises(OSError, match="no such algorithm"):
        library._fetch("EVP_CIPHER_fetch", b"ROT13")


def test_lengths_are_looked_at_before_libcrypto_reads_beyond_them(library: Library) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        CounterMode(library, bytes(32)).start(b"short")
    with pytest.raises(ValueError, match="16 bytes"):
        OneTimeKeys(library, bytes(16)).encrypt(b"short")
    for key in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            CounterMode(library, key)
    with pytest.raises(ValueError, match="16 bytes"):
        OneTimeKeys(library, bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        Poly1305(library).tag(bytes(16), 0, 0)


def test_contexts_are_given_back(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []

    def watch(free: Callable[[int], None]) -> Callable[[int], None]:
        def free_and_tell(context: int) -> None:
            freed.append(context)
            free(context)

        return free_and_tell

    for name in ("EVP_CIPHER_CTX_free", "EVP_MAC_CTX_free"):
        monkeypatch.setattr(library.keeping, name, watch(getattr(library.keeping, name)))
    made: list[Any] = [CounterMode(library, bytes(32)), OneTimeKeys(library, bytes(16)), Poly1305(library)]
    contexts = [each._context for each in made]
    assert not freed
    made.clear()
    gc.collect()
    assert sorted(freed) == sorted(contexts)
