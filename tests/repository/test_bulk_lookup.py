"""What it takes to fetch many blobs, counted in columns, beside the requests that are planned one by one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, hash_id
from pyrestic.repository.bulk_lookup import Fetch, find_places, plan_fetch
from pyrestic.repository.index import Index
from pyrestic.repository.loader import MAX_GAP, MAX_REQUEST, plan, plan_places

LENGTHS = st.sampled_from([40, 1000, MAX_GAP - 1, MAX_GAP, MAX_GAP + 1, 9 << 20, MAX_REQUEST, MAX_REQUEST + 1])


def name(*words: object) -> ID:
    return hash_id(repr(words).encode())


def fill(index: Index, packs: list[list[int]]) -> list[ID]:
    """Put packs of blobs with these lengths into an index; return the blobs."""
    blobs = []
    for number, lengths in enumerate(packs):
        entries, offset = [], 0
        for place, length in enumerate(lengths):
            blob = name("blob", number, place)
            blobs.append(blob)
            entries.append(HeaderEntry(BlobType.DATA, blob, offset, length, None))
            offset += length
        index.add_pack(name("pack", number), entries)
        # Every other pack becomes a segment of its own.
        if number % 2:
            index.segments()
    return blobs


def planned(index: Index, wanted: list[ID]) -> Fetch:
    ranges, missing = plan(index, [BlobHandle(BlobType.DATA, blob) for blob in wanted])
    assert not missing
    return Fetch({each.pack for each in ranges}, len(ranges), sum(each.length for each in ranges))


@given(st.lists(st.lists(LENGTHS, min_size=1, max_size=12), max_size=5), st.randoms(use_true_random=False))
def test_it_is_what_the_requests_come_to(packs: list[list[int]], dice: object) -> None:
    index = Index()
    blobs = fill(index, packs)
    wanted = [blob for blob in blobs if dice.random() < 0.6]  # type: ignore[attr-defined]
    # Blobs that several files share are wanted several times.
    found = plan_fetch(index, BlobType.DATA, b"".join(wanted + wanted[:3]))
    assert found == planned(index, wanted)
    dice.shuffle(wanted)  # type: ignore[attr-defined]
    places = [place for place in find_places(index, BlobType.DATA, wanted) if place is not None]
    assert len(places) == len(wanted)
    handles = [BlobHandle(BlobType.DATA, blob) for blob in wanted]
    assert places == [index.find(handle) for handle in handles]
    assert (plan_places(places), []) == plan(index, handles)


def test_blobs_that_are_unknown_or_trees_or_have_copies_are_left_to_the_plan() -> None:
    index = Index()
    blobs = fill(index, [[1000, 1000], [1000]])
    everything = b"".join(blobs)
    assert plan_fetch(index, BlobType.DATA, everything) == planned(index, blobs)
    assert plan_fetch(index, BlobType.TREE, everything) is None
    assert plan_fetch(index, BlobType.DATA, everything + name("unknown")) is None
    index.add_pack(name("copy"), [HeaderEntry(BlobType.DATA, blobs[0], 0, 1000, None)])
    assert plan_fetch(index, BlobType.DATA, everything) is None
    assert plan_fetch(index, BlobType.DATA, b"".join(blobs[1:])) == planned(index, blobs[1:])
    assert plan_fetch(Index(), BlobType.DATA, blobs[0]) is None
    assert plan_fetch(Index(), BlobType.DATA, b"") == Fetch(set(), 0, 0)


@given(st.integers(1, 4), st.integers(1, 6), st.randoms(use_true_random=False))
def test_of_several_copies_one_is_taken_whose_pack_is_needed_anyway(packs: int, count: int, dice: object) -> None:
    index = Index()
    single = fill(index, [[1000] * count] * packs)
    copied = [name("copied", number) for number in range(count)]
    for pack in range(packs):
        some = [blob for blob in copied if pack == 0 or dice.random() < 0.5]  # type: ignore[attr-defined]
        entries = [HeaderEntry(BlobType.DATA, blob, 500 * number, 400, 900) for number, blob in enumerate(some)]
        index.add_pack(name("pack", dice.randrange(packs)), entries)  # type: ignore[attr-defined]
    wanted = [*single[: packs * count // 2], *copied]
    dice.shuffle(wanted)  # type: ignore[attr-defined]
    unknown = [name("unknown", number) for number in range(2)]
    found = find_places(index, BlobType.DATA, [*wanted[:1], *unknown, *wanted[1:]])
    assert found[1:3] == [None, None]
    places = [place for place in found if place is not None]
    assert [place.id for place in places] == wanted
    assert all(place in index.find_all(place.handle) for place in places)
    choices = {place.id: {copy.pack for copy in index.find_all(place.handle)} for place in places}
    needed = {place.pack for place in places if len(index.find_all(place.handle)) == 1}
    used = Counter(place.pack for place in places)
    assert all(used[one.pack] > 1 or one.pack in needed or not needed & choices[one.id] for one in places)
