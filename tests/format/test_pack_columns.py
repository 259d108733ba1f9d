"""Packs as columns say what packs of entries say, and a header that names anything else is noticed."""

from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format import pack
from pyrestic.format.index_file import IndexPack, PackRows, encode, encode_rows
from pyrestic.format.pack import HeaderEntry
from pyrestic.format.pack_columns import columns_of, encode_header, is_header_of, offsets_of
from pyrestic.handle import BlobType

LENGTHS = st.integers(32, 1 << 24)


@st.composite
def entries(draw: st.DrawFn) -> list[HeaderEntry]:
    """Blobs from the start of a pack: all compressed, as they are, or mixed."""
    compressed = st.integers(1, (1 << 32) - 1)
    plain_lengths = draw(st.sampled_from([compressed, st.none(), st.none() | compressed]))
    row = st.tuples(st.sampled_from(BlobType), st.binary(min_size=32, max_size=32), LENGTHS, plain_lengths)
    rows = draw(st.lists(row, min_size=1, max_size=12))
    made, offset = [], 0
    for kind, identifier, length, plain_length in rows:
        made.append(HeaderEntry(kind, identifier, offset, length, plain_length))
        offset += length
    return made


@given(entries())
def test_columns_say_what_entries_say(blobs: list[HeaderEntry]) -> None:
    columns = columns_of(blobs)
    header = encode_header(columns)
    assert header == pack.encode_header(blobs)
    assert is_header_of(header, columns)
    assert offsets_of(columns.lengths).tolist() == [blob.offset for blob in blobs]
    name = bytes(range(32))
    assert encode_rows([PackRows(name, columns)] * 2) == encode([IndexPack(name, blobs)] * 2)


def names(header: bytes, blobs: list[HeaderEntry]) -> bool:
    try:
        return is_header_of(header, columns_of(blobs))
    except FormatError:
        return False


@given(entries(), st.integers(0, 2000), st.integers(1, 255))
def test_every_changed_byte_of_a_header_is_noticed(blobs: list[HeaderEntry], place: int, change: int) -> None:
    header = bytearray(pack.encode_header(blobs))
    header[place % len(header)] ^= change
    assert not names(bytes(header), blobs)
    assert not names(pack.encode_header(blobs)[: place % len(header)], blobs)
    assert not names(pack.encode_header(blobs + blobs[:1]), blobs)


@given(st.binary(max_size=200), entries())
def test_other_bytes_are_no_header(header: bytes, blobs: list[HeaderEntry]) -> None:
    assert not names(header, blobs)
