"""The columnar index against a plain dictionary."""

import random
import threading
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.format.index_file import Columns, IndexPack, encode, parse_columns
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.repository import index as index_module
from pyrestic.repository.index import Index, PackedBlob
from pyrestic.repository.index_columns import detach

# Few different IDs, so that the same blob comes in several packs and as data and tree.
IDENTIFIERS = [bytes([number % 3]) * 8 + bytes([number]) * 24 for number in range(12)]

entries = st.tuples(st.sampled_from(list(BlobType)), st.sampled_from(IDENTIFIERS), st.none() | st.integers(1, 1 << 31))
packs = st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.lists(entries, min_size=1, max_size=5)), max_size=8)


def make_entries(blobs: list[tuple[BlobType, ID, int | None]]) -> list[HeaderEntry]:
    offset = 0
    made = []
    for kind, identifier, plain_length in blobs:
        made.append(HeaderEntry(kind, identifier, offset, 40 + offset % 7, plain_length))
        offset += made[-1].length
    return made


def columns_of(found: list[tuple[ID, list[HeaderEntry]]]) -> object:
    return parse_columns(encode([IndexPack(pack, entries) for pack, entries in found]))


@given(first=packs, second=packs, third=packs)
def test_look_ups_equal_those_of_a_dictionary(first: list, second: list, third: list) -> None:  # type: ignore[type-arg]
    index = Index()
    expected: dict[BlobHandle, list[PackedBlob]] = defaultdict(list)
    for number, group in enumerate((first, second, third)):
        made = [(pack, make_entries(blobs)) for pack, blobs in group]
        if number == 2:
            for pack, its_entries in made:
                index.add_pack(pack, its_entries)
        else:
            index.add_columns([columns_of(made)])  # type: ignore[list-item]
        for pack, its_entries in made:
            for kind, identifier, offset, length, plain_length in its_entries:
                expected[BlobHandle(kind, identifier)].append(
                    PackedBlob(kind, identifier, pack, offset, length, plain_length)
                )
    for kind in BlobType:
        for identifier in [*IDENTIFIERS, bytes(32), b"\xff" * 32]:
            handle = BlobHandle(kind, identifier)
            assert sorted(index.find_all(handle), key=repr) == sorted(expected.get(handle, []), key=repr)
            assert index.has(handle) == (handle in expected)
        known = [identifier for identifier in IDENTIFIERS if BlobHandle(kind, identifier) in expected]
        assert index.has_all(kind, b"".join(known))
        for identifier in {*IDENTIFIERS, bytes(32), b"\xff" * 32} - {*known}:
            assert not index.has_all(kind, b"".join([*known, identifier]))
    every = [place for places in expected.values() for place in places]
    assert sorted(index.blobs(), key=repr) == sorted(every, key=repr)
    assert len(index) == sum(map(len, expected.values()))
    by_pack: dict[ID, set[HeaderEntry]] = defaultdict(set)
    for place in index.blobs():
        by_pack[place.pack].add(HeaderEntry(place.type, place.id, place.offset, place.length, place.plain_length))
    listed = dict(index.by_pack())
    assert {pack: set(found) for pack, found in listed.items()} == by_pack
    for found in listed.values():
        assert [entry.offset for entry in found] == sorted(entry.offset for entry in found)
    assert [(pack, sum_up(found)) for pack, found in listed.items()] == list(index.totals_by_pack())
    some = set(list(listed)[::2])
    assert dict(index.by_pack(some)) == {pack: found for pack, found in listed.items() if pack in some}


def sum_up(found: list[HeaderEntry]) -> tuple[int, int, int, int]:
    compressed = [entry for entry in found if entry.plain_length]
    trees = [entry for entry in found if entry.type is BlobType.TREE]
    return len(found), len(compressed), len(trees), sum(entry.length for entry in found)


def test_detached_columns_are_equal_and_share_no_memory() -> None:
    for count in (1, 20_000):
        source = np.random.default_rng(count)
        numbers = [source.integers(0, 1 << 32, count, np.uint32) for _ in range(4)]
        ids, types = source.integers(0, 256, (count, 32), np.uint8), source.integers(0, 2, count, np.uint8)
        columns = Columns([bytes(32)], ids, types, *numbers)
        detached = detach(columns)
        assert detached.packs == columns.packs
        assert [column.tobytes() for column in detached[1:]] == [column.tobytes() for column in columns[1:]]
        assert detached.ids.shape == ids.shape
        assert (detached.ids is ids) == (count == 1)


def test_data_and_tree_of_one_id_are_told_apart() -> None:
    index = Index()
    identifier = bytes(range(32))
    index.add_pack(b"p" * 32, [HeaderEntry(BlobType.TREE, identifier, 0, 50, None)])
    assert index.has(BlobHandle(BlobType.TREE, identifier))
    assert not index.has(BlobHandle(BlobType.DATA, identifier))
    assert index.plain_length(BlobHandle(BlobType.TREE, identifier)) == 50 - 32
    assert index.plain_length(BlobHandle(BlobType.DATA, identifier)) is None


@pytest.mark.slow
def test_a_blob_takes_less_than_sixty_bytes() -> None:
    count = 100_000
    made = [
        (
            b"%032d" % number,
            make_entries([(BlobType.DATA, random.Random(number * 100 + blob).randbytes(32), 5) for blob in range(100)]),
        )
        for number in range(count // 100)
    ]
    index = Index()
    index.add_columns([columns_of(made)])  # type: ignore[list-item]
    (segment,) = index._segments
    columns = (segment.first, segment.rest, segment.types, segment.pack_numbers, segment.offsets, segment.lengths)
    total = sum(column.nbytes for column in columns) + segment.plain_lengths.nbytes + segment._starts.nbytes
    assert len(index) == count
    assert total / count < 60


@pytest.mark.slow
def test_many_new_blobs_become_columns_and_stay_found(monkeypatch: object) -> None:
    index = Index()
    known = []
    for number in range(60):
        blobs = [(BlobType.DATA, random.Random(number * 1000 + blob).randbytes(32), 7) for blob in range(1000)]
        its_entries = make_entries(blobs)  # type: ignore[arg-type]
        index.add_pack(b"%032d" % number, its_entries)
        known.append((b"%032d" % number, its_entries[number % 1000]))
    assert len(index._recent) <= index_module._RECENT_BLOBS
    assert 1 <= len(index._segments) <= 4
    for pack, entry in known:
        found = index.find((entry.type, entry.id))
        assert found is not None
        assert (found.pack, found.offset) == (pack, entry.offset)


@pytest.mark.slow
def test_a_blob_is_seen_at_every_moment_while_others_are_added() -> None:
    index = Index()
    identifier = bytes(range(32))
    index.add_pack(b"p" * 32, [HeaderEntry(BlobType.DATA, identifier, 0, 50, 10)])
    lost = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            if not index.has((BlobType.DATA, identifier)):
                lost.append(1)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(40):
        random_ids = np.random.default_rng(number).bytes(32 * 2000)
        blobs = [(BlobType.DATA, random_ids[32 * row : 32 * row + 32], 9) for row in range(2000)]
        index.add_pack(b"%032d" % number, make_entries(blobs))  # type: ignore[arg-type]
    stop.set()
    thread.join()
    assert lost == []
