"""One pack verified: the same findings whether it is at hand and read in pieces or far and fetched whole."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import NotFoundError
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID
from pyrestic.operations.check_pack import check_pack, fetch_pack
from pyrestic.repository.repository import Repository
from tests.support.repositories import make_repository

LENGTHS = (100, 700_000, 3_000_001, 51, 900_000, 900_001, 200)


def flip(place: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[place] ^= 1

    return change


DAMAGES: dict[str, Callable[[bytearray], None]] = {
    "none": lambda data: None,
    "first blob": flip(20),
    "long blob": flip(2_000_000),
    "last blob": flip(-400),
    "header": flip(-60),
    "trailer": flip(-2),
    "cut": lambda data: data.__delitem__(slice(-1, None)),
    "half": lambda data: data.__delitem__(slice(len(data) // 2, None)),
    "longer": lambda data: data.extend(b"more"),
}


def fill(repository: Repository, lengths: Iterable[int] = LENGTHS) -> tuple[ID, list[HeaderEntry]]:
    source = random.Random(1)
    for length in lengths:
        # Two of them are shortened by compression.
        repository.saver.save(BlobType.DATA, source.randbytes(length) if length % 3 else bytes(length - 1) + b"x")
    repository.flush()
    ((pack, entries),) = repository.index.by_pack()
    return pack, entries


def told(faults: list[str]) -> list[str]:
    """Return faults without the ranges that were asked for."""
    return [fault.partition(", wanted were")[0] for fault in faults]


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_pack_read_in_pieces_shows_what_a_pack_fetched_whole_shows(damage: str, tmp_path: Path) -> None:
    repository = make_repository(LocalBackend(str(tmp_path / "repository")))
    pack, entries = fill(repository)
    handle = Handle(FileType.PACK, pack.hex())
    data = bytearray(repository.backend.load(handle))
    DAMAGES[damage](data)
    repository.backend.save(handle, bytes(data))
    near = told(check_pack(repository, pack, entries))
    assert repository.near is not None
    repository.near = None
    assert near == told(check_pack(repository, pack, entries))
    assert near == told(check_pack(repository, pack, entries, fetch_pack(repository, pack, entries)))
    assert bool(near) == (damage not in ("none", "longer"))
    repository.close()


@pytest.mark.slow
def test_of_many_short_blobs_those_that_are_damaged_are_named(tmp_path: Path) -> None:
    repository = make_repository(LocalBackend(str(tmp_path / "repository")))
    pack, entries = fill(repository, range(33, 2033))
    assert check_pack(repository, pack, entries) == []
    handle = Handle(FileType.PACK, pack.hex())
    data = bytearray(repository.backend.load(handle))
    victims = [entries[0], entries[1000], entries[1001]]
    for victim in victims:
        data[victim.offset + victim.length - 1] ^= 1
    repository.backend.save(handle, bytes(data))
    *blobs, last = check_pack(repository, pack, entries)
    assert [fault.split(":")[0] for fault in blobs] == [f"blob {victim.id.hex()}" for victim in victims]
    assert last.startswith("unexpected pack id")
    repository.close()


def test_an_index_that_is_wrong_about_places_is_found_in_pieces_too(tmp_path: Path) -> None:
    repository = make_repository(LocalBackend(str(tmp_path / "repository")))
    pack, entries = fill(repository)
    for wrong in (entries[1:], [entries[1], entries[0], *entries[2:]]):
        near = check_pack(repository, pack, wrong)
        assert any("gaps / overlapping" in fault for fault in near)
    other = [entries[0]._replace(id=bytes(32)), *entries[1:]]
    assert [fault.split(":")[0] for fault in check_pack(repository, pack, other)] == [
        f"blob {bytes(32).hex()}",
        f"blob {entries[0].id.hex()} is not contained in index or position is incorrect",
    ]
    repository.close()


def test_a_pack_that_is_gone_is_an_error(tmp_path: Path) -> None:
    for backend in (LocalBackend(str(tmp_path / "repository")), MemoryBackend()):
        repository = make_repository(backend)
        pack, entries = fill(repository)
        repository.remove(FileType.PACK, pack)
        with pytest.raises(NotFoundError):
            check_pack(repository, pack, entries)
        repository.close()
