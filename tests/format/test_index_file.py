import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.index_file import Columns, IndexPack, encode, parse, parse_columns
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType

PACK_1, PACK_2 = b"\x01" * 32, b"\x02" * 32
BLOB_1, BLOB_2, BLOB_3 = b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 32

PACKS = [
    IndexPack(PACK_1, [HeaderEntry(BlobType.DATA, BLOB_1, 0, 1000, None)]),
    IndexPack(
        PACK_2,
        [HeaderEntry(BlobType.TREE, BLOB_2, 0, 300, 900), HeaderEntry(BlobType.TREE, BLOB_3, 300, 4294967295, 1)],
    ),
]
TEXT = (
    f'{{"packs":[{{"id":"{"01" * 32}","blobs":[{{"id":"{"aa" * 32}","type":"data","offset":0,"length":1000}}]}},'
    f'{{"id":"{"02" * 32}","blobs":['
    f'{{"id":"{"bb" * 32}","type":"tree","offset":0,"length":300,"uncompressed_length":900}},'
    f'{{"id":"{"cc" * 32}","type":"tree","offset":300,"length":4294967295,"uncompressed_length":1}}]}}]}}\n'
).encode()

_ids = st.binary(min_size=32, max_size=32)
_uint32 = st.integers(0, 0xFFFFFFFF)
_entries = st.builds(
    HeaderEntry, st.sampled_from(BlobType), _ids, _uint32, _uint32, st.none() | st.integers(1, 0xFFFFFFFF)
)
_packs = st.lists(st.builds(IndexPack, _ids, st.lists(_entries, max_size=5)), max_size=5)


def rows(columns: Columns) -> list[IndexPack]:
    """What columns say, as values."""
    packs = [IndexPack(pack, []) for pack in columns.packs]
    for row in range(len(columns.ids)):
        packs[columns.pack_numbers[row]].blobs.append(
            HeaderEntry(
                BlobType(columns.types[row]),
                columns.ids[row].tobytes(),
                int(columns.offsets[row]),
                int(columns.lengths[row]),
                int(columns.plain_lengths[row]) or None,
            )
        )
    return packs


def test_an_index_is_written_as_restic_writes_it() -> None:
    assert encode(PACKS) == TEXT


def test_an_index_is_read_as_values_and_as_columns() -> None:
    assert parse(TEXT) == PACKS
    assert rows(parse_columns(TEXT)) == PACKS


def test_columns_have_the_stated_types() -> None:
    columns = parse_columns(TEXT)
    assert columns.ids.shape == (3, 32)
    assert {columns.ids.dtype, columns.types.dtype} == {np.dtype(np.uint8)}
    assert {column.dtype for column in columns[3:]} == {np.dtype(np.uint32)}
    assert columns.pack_numbers.tolist() == [0, 1, 1]


@given(_packs)
def test_any_index_survives_both_readers(packs: list[IndexPack]) -> None:
    data = encode(packs)
    assert parse(data) == packs
    assert rows(parse_columns(data)) == packs
    assert json.loads(data)["packs"] is not None


@pytest.mark.parametrize("data", [b'{"packs":[]}\n', b"{}", b'{"packs":null}', b"[]", b"  []", encode([])])
def test_an_index_without_packs_is_empty(data: bytes) -> None:
    assert parse(data) == []
    columns = parse_columns(data)
    assert columns.packs == []
    assert columns.ids.shape == (0, 32)
    assert [len(column) for column in columns[2:]] == [0] * 5


@pytest.mark.parametrize("blobs", ["[]", "null"])
def test_a_pack_without_blobs_is_read(blobs: str) -> None:
    data = b'{"packs":[{"id":"%s","blobs":%s}]}' % (b"01" * 32, blobs.encode())
    assert parse(data) == [IndexPack(PACK_1, [])]
    assert parse_columns(data).packs == [PACK_1]


def test_the_older_layout_with_supersedes_is_read() -> None:
    data = TEXT.replace(b'{"packs"', b'{"supersedes":["%s"],"packs"' % (b"99" * 32))
    assert parse(data) == rows(parse_columns(data)) == PACKS


def test_the_oldest_layout_a_bare_list_is_read() -> None:
    data = TEXT[len('{"packs":') : -2]
    assert data[:1] + data[-1:] == b"[]"
    assert parse(data) == rows(parse_columns(data)) == PACKS


def test_unknown_keys_and_white_space_are_read_over() -> None:
    value = json.loads(TEXT)
    value["more"] = {"a": [1, 2, None]}
    value["packs"][0]["more"] = 1
    value["packs"][0]["blobs"][0]["more"] = "x"
    assert parse(json.dumps(value, indent=2).encode()) == PACKS


def test_a_blob_named_twice_comes_twice() -> None:
    twice = [IndexPack(PACK_1, [PACKS[0].blobs[0]] * 2), IndexPack(PACK_1, [PACKS[0].blobs[0]])]
    assert rows(parse_columns(encode(twice))) == twice


def test_upper_case_ids_are_read() -> None:
    assert parse(TEXT.replace(b"aa", b"AA")) == PACKS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"aa" * 32, b"aa" * 31),
        (b"aa" * 32, b"aa" * 33),
        (b"aa" * 32, b"aa" * 31 + b"zz"),
        (b"aa" * 32, b"aa" * 31 + b"  "),
        (b"aa" * 32, "aé".encode() + b"aa" * 31),
        (b"01" * 32, b"01" * 31),
        (b"01" * 32, b"01" * 31 + b" \\n"),
        (b'"id"', b'"di"'),
        (b'"data"', b'"date"'),
        (b'"data"', b"0"),
        (b'"offset":0', b'"offset":-1'),
        (b'"offset":0', b'"offset":0.5'),
        (b'"offset":0', b'"offset":"0"'),
        (b'"length":1000', b'"length":4294967296'),
        (b'"length":1000', b'"length":1e400'),
        (b'"length":1000', b'"length":' + b"9" * 5000),
        (b'"length":1000', b'"longth":1000'),
        (b'"uncompressed_length":900', b'"uncompressed_length":-900'),
        (b'{"packs"', b'{"packs'),
        (b"]}]}\n", b"]}]\n"),
        (b"]}]}\n", b"]}]}\nx"),
        (b'{"packs":[', b'{"packs":[[],'),
        (b'{"packs":[', b'{"packs":{},"x":['),
    ],
)
def test_a_malformed_index_is_refused_by_both_readers(old: bytes, new: bytes) -> None:
    assert old in TEXT
    for read in (parse, parse_columns):
        with pytest.raises(FormatError):
            read(TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"1", b'""', b"\xff", b'{"packs":"\xff"}', b'{"x":' + b"[" * 100_000, b"[" * 100_000],
)
def test_what_is_no_index_is_refused(data: bytes) -> None:
    for read in (parse, parse_columns):
        with pytest.raises(FormatError):
            read(data)


@given(st.binary(max_size=300))
def test_any_bytes_give_an_index_or_a_format_error(data: bytes) -> None:
    outcomes: list[list[IndexPack] | None] = []
    for read in (parse, lambda data: rows(parse_columns(data))):
        try:
            outcomes.append(read(data))
        except FormatError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_an_index_or_a_format_error(place: int, byte: int) -> None:
    data = TEXT[:place] + bytes([byte]) + TEXT[place + 1 :]
    try:
        columns = parse_columns(data)
    except FormatError:
        return
    assert rows(columns) == parse(data)
