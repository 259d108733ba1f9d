"""Loading blobs: requests, other copies, delivery."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.local import LocalBackend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import MissingBlobError, PyresticError, UnauthenticError
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.repository import batch_decoder, loader
from pyrestic.repository.batch_decoder import Batch
from pyrestic.repository.index import PackedBlob
from pyrestic.repository.loader import MAX_GAP, MAX_REQUEST, plan, split_ranges
from pyrestic.repository.repository import Repository
from tests.support.backends import RecordingBackend
from tests.support.engines import GivenEngines, blob_code
from tests.support.repositories import make_repository, open_again


def packed(offset: int, length: int) -> PackedBlob:
    return PackedBlob(BlobType.DATA, bytes(32), b"p" * 32, offset, length, None)


@given(st.lists(st.tuples(st.integers(0, 3 << 20), st.integers(33, 9 << 20)), max_size=30))
def test_requests_cover_all_blobs_and_keep_to_their_limits(steps: list[tuple[int, int]]) -> None:
    blobs, position = [], 0
    for gap, length in steps:
        position += gap
        blobs.append(packed(position, length))
        position += length
    ranges = list(split_ranges(blobs))
    assert [blob for request in ranges for blob in request.blobs] == blobs
    for request in ranges:
        assert request.length <= MAX_REQUEST or len(request.blobs) == 1
        for one, other in zip(request.blobs, request.blobs[1:], strict=False):
            assert other.offset - (one.offset + one.length) <= MAX_GAP
        assert request.offset == request.blobs[0].offset


def fill(repository: Repository, count: int, length: int = 3000) -> dict[BlobHandle, bytes]:
    source = random.Random(count)
    blobs = {}
    for _ in range(count):
        data = source.randbytes(length)
        blobs[BlobHandle(BlobType.DATA, repository.saver.save(BlobType.DATA, data).id)] = data
    repository.flush()
    return blobs


@pytest.mark.parametrize("length", [3000, 200_000])
def test_many_blobs_are_delivered_once_each_in_few_requests(length: int) -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    blobs = fill(repository, 60, length)
    again = open_again(repository)
    backend.calls.clear()
    assert load(again, [*blobs, *blobs]) == (blobs, [])
    assert backend.count("load") == len(again.index.packs())
    repository.close()


def load(repository: Repository, handles: Iterable[BlobHandle]) -> tuple[dict[BlobHandle, bytes], list[BlobHandle]]:
    """Load blobs; return those that came, each once, and those that failed."""
    delivered: dict[BlobHandle, bytes] = {}
    failed: list[BlobHandle] = []
    for handle, outcome in repository.loader.load_each(handles):
        assert handle not in delivered
        assert handle not in failed
        if isinstance(outcome, bytes):
            delivered[handle] = outcome
        else:
            failed.append(handle)
    return delivered, failed


def flip(repository: Repository, place: PackedBlob) -> None:
    handle = Handle(FileType.PACK, place.pack.hex())
    data = bytearray(repository.backend.load(handle))
    data[place.offset + 20] ^= 1
    repository.backend.save(handle, bytes(data))


@pytest.mark.parametrize("seconds", [0.0, 1000.0], ids=["slow place", "quick place"])
def test_many_small_packs_are_each_asked_for_once_whether_requests_are_quick_or_not(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "QUICK_SECONDS", seconds)
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    blobs: dict[BlobHandle, bytes] = {}
    for number in range(100):
        # Each in a pack of its own; some are long, some packs are gone.
        blobs |= fill(repository, 1 + number % 2, 200_000 if number % 7 == 0 else 3000 + number)
    gone = {blob.pack for blob in list(repository.index.blobs())[::9]}
    for pack in gone:
        backend.remove(Handle(FileType.PACK, pack.hex()))
    lost = {blob.handle for blob in repository.index.blobs() if blob.pack in gone}
    again = open_again(repository)
    backend.calls.clear()
    delivered, failed = load(again, blobs)
    assert delivered == {handle: data for handle, data in blobs.items() if handle not in lost}
    assert sorted(failed) == sorted(lost)
    assert backend.count("load") == len(again.index.packs() - gone)
    repository.close()


@pytest.mark.parametrize("length", [3000, 200_000])
def test_a_damaged_blob_is_taken_from_another_pack(length: int) -> None:
    repository = make_repository()
    blobs = fill(repository, 5, length)
    for data in blobs.values():
        repository.saver.save(BlobType.DATA, data, duplicate=True)
    repository.flush()
    again = open_again(repository)
    victim = next(iter(blobs))
    places = again.index.find_all(victim)
    assert len(places) == 2
    flip(again, places[0])
    assert again.load_blob(victim) == blobs[victim]
    assert load(again, blobs) == (blobs, [])
    repository.close()


@pytest.mark.parametrize("length", [3000, 300_000])
def test_packs_at_hand_are_read_in_pieces_and_other_copies_serve_where_one_is_damaged(
    length: int, tmp_path: Path
) -> None:
    repository = make_repository(LocalBackend(str(tmp_path / "repository")))
    blobs = fill(repository, 20, length)
    lost = next(iter(fill(repository, 1, length + 1)))
    for data in blobs.values():
        repository.saver.save(BlobType.DATA, data, duplicate=True)
    repository.flush()
    again = open_again(repository)
    for victim in [*list(blobs)[::3], lost]:
        flip(again, again.index.find_all(victim)[0])
    assert load(again, [*blobs, lost]) == (blobs, [lost])
    repository.close()


@pytest.mark.parametrize("near", [True, False], ids=["near", "far"])
@pytest.mark.parametrize("engine", [True, False], ids=["with an engine", "without"])
def test_small_blobs_are_delivered_many_at_a_time_and_those_that_are_not_whole_are_left_out(
    near: bool, engine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "ENGINE_BLOBS", 1)
    monkeypatch.setattr(batch_decoder, "PART_BYTES", 20_000)
    repository = make_repository(LocalBackend(str(tmp_path / "repository")) if near else MemoryBackend())
    blobs = fill(repository, 40) | fill(repository, 1, 200_000)
    copied = list(blobs)[:5]
    for handle in copied:
        repository.saver.save(BlobType.DATA, blobs[handle], duplicate=True)
    lost = fill(repository, 3, 900)
    again = open_again(repository, engines=GivenEngines(blobs=blob_code if engine else None))
    assert (again.codec.engine is not None) is engine
    for victim in [*copied[::2], *lost]:
        flip(again, again.index.find_all(victim)[0])

    def count(batch: Batch) -> int:
        assert len(batch.data) <= 20_000 or len(batch.blobs) == 1
        return len(batch.blobs)

    delivered, failed = load(again, [*blobs, *lost])
    assert delivered == blobs
    assert set(failed) == set(lost)
    counts = list(again.loader.load_many(plan(again.index, [*blobs, *lost])[0], count))
    assert sum(counts) == len(blobs)
    assert max(counts) > 1
    repository.close()


@pytest.mark.parametrize("pairs", [True, False], ids=["hashes of pairs", "hashes one by one"])
def test_long_blobs_are_delivered_together_where_that_is_faster(
    pairs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "ENGINE_BYTES", 1 << 20)
    monkeypatch.setattr(batch_decoder, "LONGEST_BYTES", 5 << 20)
    code = blob_code() if pairs else blob_code()._replace(pair=None)
    repository = make_repository(LocalBackend(str(tmp_path / "repository")))
    blobs = (
        fill(repository, 12, 300_000) | fill(repository, 1, batch_decoder.PART_BYTES + 1) | fill(repository, 1, 6 << 20)
    )
    damaged = next(iter(blobs))
    repository.saver.save(BlobType.DATA, blobs[damaged], duplicate=True)
    repository.flush()
    again = open_again(repository, engines=GivenEngines(blobs=lambda: code))
    flip(again, again.index.find_all(damaged)[0])
    assert load(again, blobs) == (blobs, [])
    together = again.loader.load_many(plan(again.index, blobs)[0], lambda batch: len(batch.blobs))
    assert (max(together) > 1) is (code.pair is not None)
    repository.close()


def test_a_blob_without_a_whole_copy_fails_alone_and_is_named() -> None:
    repository = make_repository()
    blobs = fill(repository, 10)
    again = open_again(repository)
    victim = next(iter(blobs))
    flip(again, again.index.find_all(victim)[0])
    with pytest.raises(UnauthenticError, match=victim.id.hex()[:8]):
        again.load_blob(victim)
    missing = BlobHandle(BlobType.DATA, b"\1" * 32)
    outcomes = dict(again.loader.load_each([*blobs, missing]))
    assert isinstance(outcomes.pop(missing), MissingBlobError)
    assert isinstance(outcomes.pop(victim), UnauthenticError)
    del blobs[victim]
    assert outcomes == blobs
    repository.close()


def test_an_error_of_the_receiver_ends_the_run_and_is_raised() -> None:
    repository = make_repository()
    blobs = fill(repository, 10, 100_000)
    again = open_again(repository)

    def write(_: Batch) -> None:
        raise PyresticError("the target is full")

    with pytest.raises(PyresticError, match="the target is full"):
        list(again.loader.load_many(plan(again.index, blobs)[0], write))
    repository.close()


def test_a_pack_that_is_gone_is_reported_blob_by_blob() -> None:
    repository = make_repository()
    blobs = fill(repository, 4)
    again = open_again(repository)
    for pack in again.index.packs():
        again.remove(FileType.PACK, pack)
    delivered, failed = load(again, blobs)
    assert delivered == {}
    assert set(failed) == set(blobs)
    repository.close()
