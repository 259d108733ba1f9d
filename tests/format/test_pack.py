import os
import struct
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.pack import (
    COMPRESSED_ENTRY_LENGTH,
    ENTRY_LENGTH,
    FIRST_READ_LENGTH,
    MAX_ENTRIES,
    MAX_HEADER_LENGTH,
    MIN_PACK_LENGTH,
    HeaderEntry,
    encode_header,
    encode_trailer,
    entry_length,
    header_length,
    parse_header,
)
from pyrestic.handle import BlobType

ID_1, ID_2 = bytes(range(32)), bytes(range(32, 64))
MAX_UINT32 = 0xFFFFFFFF

readers = pytest.mark.parametrize("as_declared", [False, True], ids=["precompiled", "declared"])


@st.composite
def headers(draw: st.DrawFn) -> list[HeaderEntry]:
    """Entries of blobs that lie one after the other."""
    blobs = draw(
        st.lists(
            st.tuples(
                st.sampled_from(BlobType),
                st.binary(min_size=32, max_size=32),
                st.integers(OVERHEAD, MAX_UINT32),
                st.none() | st.integers(1, MAX_UINT32),
            ),
            min_size=1,
            max_size=20,
        )
    )
    offsets = accumulate((length for _, _, length, _ in blobs), initial=0)
    return [
        HeaderEntry(blob_type, blob_id, offset, length, plain_length)
        for (blob_type, blob_id, length, plain_length), offset in zip(blobs, offsets, strict=False)
    ]


@readers
def test_a_header_is_laid_out_as_restic_lays_it_out(as_declared: bool) -> None:
    header = (
        b"\x00" + struct.pack("<I", 100) + ID_1
        + b"\x01" + struct.pack("<I", 200) + ID_2
        + b"\x02" + struct.pack("<II", 300, 1000) + ID_1
        + b"\x03" + struct.pack("<II", 400, 2000) + ID_2
    )  # fmt: skip
    entries = [
        HeaderEntry(BlobType.DATA, ID_1, 0, 100, None),
        HeaderEntry(BlobType.TREE, ID_2, 100, 200, None),
        HeaderEntry(BlobType.DATA, ID_1, 300, 300, 1000),
        HeaderEntry(BlobType.TREE, ID_2, 600, 400, 2000),
    ]
    assert encode_header(entries) == header
    assert parse_header(header, 1000, as_declared=as_declared) == entries


def test_the_lengths_are_those_of_restic() -> None:
    assert (ENTRY_LENGTH, COMPRESSED_ENTRY_LENGTH) == (37, 41)
    assert (entry_length(None), entry_length(5)) == (37, 41)
    assert MIN_PACK_LENGTH == 37 + 32 + 4
    assert FIRST_READ_LENGTH == 15 * 41 + 32 + 4
    assert MAX_ENTRIES * COMPRESSED_ENTRY_LENGTH + OVERHEAD <= MAX_HEADER_LENGTH


@readers
@given(entries=headers())
def test_a_header_survives_encoding(as_declared: bool, entries: list[HeaderEntry]) -> None:
    end = entries[-1].offset + entries[-1].length
    assert parse_header(encode_header(entries), end, as_declared=as_declared) == entries


def _outcome(plain: bytes, *, as_declared: bool) -> list[HeaderEntry] | type[FormatError]:
    try:
        return parse_header(plain, as_declared=as_declared)
    except FormatError:
        return FormatError


@given(st.binary(max_size=200) | st.lists(st.binary(min_size=36, max_size=40).map(lambda b: b"\x00" + b)).map(b"".join))
def test_both_readers_agree_on_any_bytes(plain: bytes) -> None:
    assert _outcome(plain, as_declared=False) == _outcome(plain, as_declared=True)


@given(headers(), st.integers(0, 2000), st.integers(0, 255))
def test_both_readers_agree_on_a_damaged_header(entries: list[HeaderEntry], place: int, byte: int) -> None:
    plain = bytearray(encode_header(entries))
    plain[place % len(plain)] = byte
    for changed in (bytes(plain), bytes(plain[: place % len(plain)])):
        assert _outcome(changed, as_declared=False) == _outcome(changed, as_declared=True)


@readers
@pytest.mark.parametrize("kind", [4, 5, 127, 255])
def test_an_unknown_blob_type_is_refused(as_declared: bool, kind: int) -> None:
    with pytest.raises(FormatError):
        parse_header(bytes([kind]) + struct.pack("<I", 100) + ID_1, as_declared=as_declared)


@readers
@pytest.mark.parametrize("cut", [1, 20, 36, 38, 70])
def test_a_truncated_header_is_refused(as_declared: bool, cut: int) -> None:
    header = encode_header(
        [HeaderEntry(BlobType.DATA, ID_1, 0, 100, 200), HeaderEntry(BlobType.DATA, ID_2, 100, 99, 1)]
    )
    with pytest.raises(FormatError):
        parse_header(header[:-cut], as_declared=as_declared)


@readers
def test_a_header_without_blobs_is_refused(as_declared: bool) -> None:
    with pytest.raises(FormatError, match="no blob"):
        parse_header(b"", as_declared=as_declared)


def test_blobs_longer_than_the_file_are_refused() -> None:
    header = encode_header([HeaderEntry(BlobType.DATA, ID_1, 0, 100, None), HeaderEntry(BlobType.DATA, ID_2, 0, 50, 9)])
    assert len(parse_header(header, 150)) == 2
    with pytest.raises(FormatError, match="150 bytes together, there are 149"):
        parse_header(header, 149)


def test_lengths_that_add_up_beyond_32_bits_do_not_wrap() -> None:
    header = encode_header([HeaderEntry(BlobType.DATA, ID_1, 0, MAX_UINT32, None)] * 3)
    assert [entry.offset for entry in parse_header(header)] == [0, MAX_UINT32, 2 * MAX_UINT32]
    with pytest.raises(FormatError):
        parse_header(header, MAX_UINT32)


def test_a_blob_too_short_to_be_sealed_is_refused() -> None:
    with pytest.raises(FormatError, match="31 bytes"):
        parse_header(encode_header([HeaderEntry(BlobType.DATA, ID_1, 0, 31, None)]))


def test_an_empty_compressed_blob_is_refused() -> None:
    with pytest.raises(FormatError, match="empty"):
        parse_header(encode_header([HeaderEntry(BlobType.DATA, ID_1, 0, 40, 0)]))


def test_the_trailer_tells_the_header_length() -> None:
    assert encode_trailer(0x01020304) == b"\x04\x03\x02\x01"
    assert header_length(encode_trailer(69), MIN_PACK_LENGTH) == 69
    assert header_length(encode_trailer(MAX_HEADER_LENGTH), 1 << 30) == MAX_HEADER_LENGTH


@pytest.mark.parametrize("length", [0, 1, 31, 32, 68, MAX_HEADER_LENGTH + 1, MAX_UINT32])
def test_a_header_length_out_of_bounds_is_refused(length: int) -> None:
    with pytest.raises(FormatError):
        header_length(encode_trailer(length), 1 << 40)


def test_a_header_longer_than_its_file_is_refused() -> None:
    assert header_length(encode_trailer(996), 1000) == 996
    with pytest.raises(FormatError, match="the file has 1000"):
        header_length(encode_trailer(997), 1000)


@pytest.mark.parametrize("pack_length", [0, 3, 4, 36, MIN_PACK_LENGTH - 1])
def test_a_file_too_short_for_a_pack_is_refused(pack_length: int) -> None:
    with pytest.raises(FormatError, match="too short"):
        header_length(encode_trailer(69), pack_length)


@given(st.binary(max_size=8), st.integers(0, 1 << 33))
def test_any_trailer_gives_a_length_within_the_file_or_a_format_error(trailer: bytes, pack_length: int) -> None:
    try:
        length = header_length(trailer, pack_length)
    except FormatError:
        return
    assert 0 < length <= min(MAX_HEADER_LENGTH, pack_length - 4)


def test_a_long_header_is_read_whole() -> None:
    entries = [HeaderEntry(BlobType.DATA, os.urandom(32), number * 32, 32, 1) for number in range(2000)]
    assert parse_header(encode_header(entries)) == entries
