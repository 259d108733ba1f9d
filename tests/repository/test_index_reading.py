"""Index files as columns and as values say the same."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.base import FileInfo
from pyrestic.errors import FormatError
from pyrestic.format.index_file import IndexPack, encode
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType
from pyrestic.repository.index import Index
from pyrestic.repository.index_reading import is_small, read_columns, read_values

ID = bytes(range(32))
entries = st.builds(
    HeaderEntry,
    st.sampled_from(BlobType),
    st.integers(0, 5).map(lambda number: bytes([number]) * 32),
    st.integers(0, 1 << 31),
    st.integers(0, 1 << 31),
    st.none() | st.integers(1, 1 << 31),
)
files = st.lists(
    st.builds(
        IndexPack, st.integers(6, 9).map(lambda number: bytes([number]) * 32), st.lists(entries, min_size=1, max_size=5)
    ),
    max_size=4,
)


@given(files)
def test_an_index_of_values_answers_as_one_of_columns(packs: list[IndexPack]) -> None:
    data = encode(packs)
    columns, values = Index(), Index()
    columns.add_columns([read_columns(ID, data, 2)])
    small = read_values(ID, data, 2)
    for pack in small.packs:
        values.add_pack(pack.id, pack.blobs)
    assert values.stored_length() == columns.stored_length() == sum(one.length for pack in packs for one in pack.blobs)
    assert small.blob_count == len(columns) == len(values)
    assert sorted(values.blobs(), key=repr) == sorted(columns.blobs(), key=repr)
    for number in range(6):
        for kind in BlobType:
            handle = (kind, bytes([number]) * 32)
            assert sorted(values.find_all(handle), key=repr) == sorted(columns.find_all(handle), key=repr)
            assert values.has_all(kind, handle[1] * 2) == columns.has_all(kind, handle[1] * 2) == columns.has(handle)


@pytest.mark.parametrize("read", [read_columns, read_values])
def test_a_damaged_index_file_and_one_of_a_later_version_are_refused_by_name(
    read: Callable[[bytes, bytes, int], object],
) -> None:
    with pytest.raises(FormatError, match=f"index file {ID.hex()} is damaged"):
        read(ID, b"{", 2)
    compressed = encode([IndexPack(ID, [HeaderEntry(BlobType.DATA, ID, 0, 9, 5)])])
    read(ID, compressed, 2)
    with pytest.raises(FormatError, match="names compressed blobs, which version 1 does not have"):
        read(ID, compressed, 1)


def test_few_and_short_index_files_are_small() -> None:
    assert is_small([])
    assert is_small([FileInfo("a", 1000)] * 200)
    assert not is_small([FileInfo("a", 10)] * 201)
    assert not is_small([FileInfo("a", 200 << 10)] * 2)
