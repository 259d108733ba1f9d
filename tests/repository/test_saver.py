"""Saving blobs: packs, duplicates, failures, index files."""

import os
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typing_extensions import Buffer

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, PyresticError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.index_file import PackRows
from pyrestic.format.pack import HeaderEntry
from pyrestic.format.pack_columns import columns_of
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import hash_id, parse_id
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.index_columns import entries_of
from pyrestic.repository.pack_header import load_header
from pyrestic.repository.packer import BufferPool, OpenPack, Packer
from pyrestic.repository.repository import MIN_PACK_LENGTH, RepositoryOptions
from pyrestic.repository.saver import INDEX_AGE_SECONDS, INDEX_BLOBS, IndexWriter
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.repositories import make_repository, open_again

SMALL_PACKS = RepositoryOptions(pack_length=MIN_PACK_LENGTH)


@pytest.mark.parametrize("version", [1, 2])
def test_blobs_of_any_length_come_back_from_packs_that_agree_with_their_headers(version: int) -> None:
    repository = make_repository(version=version, options=SMALL_PACKS)
    source = random.Random(1)
    lengths = [1, 31, 32, 33, 1000, 70_000, 1 << 20, 3 << 20, MIN_PACK_LENGTH - OVERHEAD, MIN_PACK_LENGTH, 8 << 20]
    blobs = {}
    for length in lengths:
        for kind in BlobType:
            data = source.randbytes(length) if length % 2 else b"compressible " * (length // 13 + 1)
            saved = repository.saver.save(kind, data)
            assert not saved.known
            assert saved.id == hash_id(data)
            blobs[BlobHandle(kind, saved.id)] = data
    repository.flush()
    again = open_again(repository)
    for handle, data in blobs.items():
        assert again.load_blob(handle) == data
    infos = list(again.list_files(FileType.PACK))
    stored = {parse_id(info.name): load_header(again, parse_id(info.name), info.length) for info in infos}
    assert stored == dict(again.index.by_pack())
    for pack, entries in stored.items():
        assert len({entry.type for entry in entries}) == 1, "trees and data do not share a pack"
        assert hash_id(again.backend.load(Handle(FileType.PACK, pack.hex()))) == pack
    repository.close()


def test_without_an_engine_blobs_are_not_saved_together() -> None:
    repository = make_repository()
    assert repository.saver.save_all(BlobType.DATA, memoryview(b"some words"), [0, 5], [4, 5]) is None
    assert repository.saver.save(BlobType.DATA, b"some").known is False
    repository.close()


def test_a_blob_saved_by_many_threads_at_once_is_stored_once() -> None:
    repository = make_repository()
    source = random.Random(2)
    contents = [source.randbytes(5000) for _ in range(50)]
    barrier = threading.Barrier(8)

    def save_all(_: int) -> int:
        barrier.wait(60)
        return sum(not repository.saver.save(BlobType.DATA, data).known for data in contents)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(save_all, range(8))) == len(contents)
    repository.flush()
    assert len(open_again(repository).index) == len(contents)
    assert all(repository.saver.save(BlobType.DATA, data).known for data in contents)
    repository.close()


def test_packs_are_stored_before_the_index_that_names_them() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend, options=SMALL_PACKS)
    source = random.Random(3)
    for _ in range(12):
        repository.saver.submit(BlobType.DATA, source.randbytes(1 << 20)).result()
    repository.flush()
    saves = [
        call.type for call in backend.calls if call.method == "save" and call.type in (FileType.PACK, FileType.INDEX)
    ]
    assert saves.count(FileType.INDEX) == 1
    assert saves[-1] is FileType.INDEX
    repository.close()


def test_leftover_packs_are_joined_into_one() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    for number in range(100):
        repository.saver.save(BlobType.DATA, b"%d" % number)
    repository.flush()
    assert backend.count("save", FileType.PACK) == 1
    assert len(open_again(repository).index) == 100
    repository.close()


def test_what_is_saved_can_be_stored_while_others_go_on_saving() -> None:
    repository = make_repository(options=SMALL_PACKS)
    stop = threading.Event()

    def save_more(seed: int) -> int:
        source, count = random.Random(seed), 0
        while not stop.is_set():
            repository.saver.save(BlobType.DATA, source.randbytes(source.choice([100, 300_000])))
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(save_more, seed) for seed in (6, 7)]
        try:
            for number in range(8):
                saved = [
                    repository.saver.save(kind, f"{number} {each}".encode()) for kind in BlobType for each in range(20)
                ]
                repository.saver.flush_saved()
                again = open_again(repository)
                for kind, one in zip([kind for kind in BlobType for _ in range(20)], saved, strict=True):
                    assert hash_id(again.load_blob(BlobHandle(kind, one.id))) == one.id
        finally:
            stop.set()
        assert all(other.result() for other in others)
    repository.flush()
    again = open_again(repository)
    assert len(again.index) == len(repository.index)
    repository.close()


def test_storing_what_is_saved_waits_for_a_blob_that_another_thread_is_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository()
    sealing, go_on = threading.Event(), threading.Event()
    original = BlobCodec.seal_into

    def seal_into(codec: BlobCodec, payload: Buffer, view: memoryview) -> None:
        if bytes(payload)[-5:] == b"slow!":
            sealing.set()
            assert go_on.wait(60)
        original(codec, payload, view)

    monkeypatch.setattr(BlobCodec, "seal_into", seal_into)
    slow = repository.saver.submit(BlobType.DATA, os.urandom(3) + b"slow!")
    assert sealing.wait(60)
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(repository.saver.flush_saved)
        assert list(repository.list_files(FileType.INDEX)) == []
        go_on.set()
        flushed.result(60)
    assert open_again(repository).index.has((BlobType.DATA, slow.result(60).id))
    repository.close()


def test_a_failing_backend_ends_saving_and_nothing_hangs() -> None:
    backend = FaultyBackend(MemoryBackend())
    repository = make_repository(backend, options=SMALL_PACKS)
    backend.fail("save", lambda: AccessError("the disk is full"), times=1000, file_type=FileType.PACK)
    source = random.Random(4)

    def save_much() -> None:
        for _ in range(200):
            repository.saver.save(BlobType.DATA, source.randbytes(1 << 20))
        repository.flush()

    with pytest.raises(PyresticError, match="the disk is full"):
        save_much()
    repository.saver.abort()
    repository.close()


def test_giving_up_keeps_what_was_stored_and_names_it_in_an_index() -> None:
    repository = make_repository(options=SMALL_PACKS)
    source = random.Random(5)
    for _ in range(30):
        repository.saver.save(BlobType.DATA, source.randbytes(1 << 20))
    repository.saver.abort()
    repository.backend.connections = 2
    again = open_again(repository)
    stored = {parse_id(info.name) for info in again.list_files(FileType.PACK)}
    assert stored == again.index.packs()
    assert len(stored) >= 3


def test_an_index_file_is_saved_after_fifty_thousand_blobs_or_ten_minutes() -> None:
    now = [0.0]
    saved: list[int] = []
    writer = IndexWriter(lambda packs: saved.append(len(packs)), clock=lambda: now[0])

    def pack(name: bytes, blobs: int) -> PackRows:
        return PackRows(name * 32, columns_of([HeaderEntry(BlobType.DATA, bytes(32), 0, 40, None)] * blobs))

    writer.add(pack(b"1", 1))
    assert saved == []
    writer.add(pack(b"2", INDEX_BLOBS))
    assert saved == [2]
    writer.add(pack(b"3", 1))
    now[0] += INDEX_AGE_SECONDS
    writer.add(pack(b"4", 1))
    assert saved == [2, 2]
    writer.flush()
    assert saved == [2, 2]
    writer.add(pack(b"5", 1))
    writer.flush()
    assert saved == [2, 2, 1]


def test_rooms_of_a_pack_never_overlap_and_leave_space_for_the_header() -> None:
    pool = BufferPool(6, MIN_PACK_LENGTH)
    packer = Packer(BlobType.DATA, MIN_PACK_LENGTH, pool)
    source = random.Random(6)
    whole: list[OpenPack] = []
    lengths: list[int] = []
    lock = threading.Lock()

    def work(_: int) -> None:
        for _ in range(200):
            length = source.choice([33, 500, 40_000, 700_000, MIN_PACK_LENGTH - 1, MIN_PACK_LENGTH])
            # Short blobs may come together.
            count = source.choice([1, 20]) if length == 500 else 1
            room = packer.reserve(length * count, count)
            assert len(room.view) == length * count
            with lock:
                lengths.extend([length] * count)
            pack = packer.commit(room, bytes(32 * count), [length] * count, [0] * count)
            if pack is not None:
                with lock:
                    whole.append(pack)
                pool.put(pack.buffer)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    whole += packer.close()
    assert Counter(length for pack in whole for length in pack.columns().lengths.tolist()) == Counter(lengths)
    for pack in whole:
        end = 0
        for run in sorted(pack.runs):
            assert run.offset == end
            end += sum(run.lengths)
        assert end == pack.length
        assert entries_of(pack.columns())[-1].offset == end - max(pack.runs).lengths[-1]
        assert end + 41 * pack.filled + OVERHEAD + 4 <= len(pack.buffer)
        if max(pack.columns().lengths) >= MIN_PACK_LENGTH:
            assert pack.filled == 1


def test_one_pack_is_short_when_the_other_is_whole() -> None:
    """Both take blobs all the time, and the places of blobs are left to chance."""
    pool = BufferPool(3, MIN_PACK_LENGTH)
    packer = Packer(BlobType.DATA, MIN_PACK_LENGTH, pool)
    others: list[int] = []
    taken: list[bool] = []
    lengths: dict[int, int] = {}
    while len(others) < 40:
        room = packer.reserve(32 << 10)
        number = id(room.pack)
        taken.append(lengths.get(number, 0) >= max(lengths.values(), default=0))
        lengths[number] = room.pack.length
        pack = packer.commit(room, bytes(32), [32 << 10], [0])
        if pack is not None:
            del lengths[number]
            others.append(sum(lengths.values()))
            pool.put(pack.buffer)
    assert sum(others) / len(others) < MIN_PACK_LENGTH / 2
    assert 0.5 < sum(taken) / len(taken) < 0.8


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_buffer_that_was_given_back_takes_no_memory() -> None:
    pool = BufferPool(2, 64 << 20)
    before = resident_bytes()
    buffer = pool.get(1)
    buffer[: 64 << 20] = bytes(64 << 20)
    assert resident_bytes() - before > 60 << 20
    pool.put(buffer)
    assert resident_bytes() - before < 8 << 20
    assert pool.get(1) is buffer


def test_a_short_pack_takes_no_more_memory_than_it_has_bytes() -> None:
    pool = BufferPool(8, 16 << 20)
    before = resident_bytes()
    for _ in range(8):
        pool.get(1)[:4096] = bytes(4096)
    assert resident_bytes() - before < 4 << 20
