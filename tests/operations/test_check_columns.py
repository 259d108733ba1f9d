"""A pack of many small blobs verified at once: what is called whole has no faults for who looks at each blob."""

import random
from pathlib import Path

import numpy as np
import pytest

from pyrestic.backend.base import Backend
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.engine_types import BatchCodec
from pyrestic.errors import NotFoundError
from pyrestic.format import pack_columns
from pyrestic.format.index_file import Columns
from pyrestic.format.pack import encode_header, parse_header
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID
from pyrestic.operations.check import Check, Finding
from pyrestic.operations.check_columns import is_whole
from pyrestic.operations.check_pack import check_pack
from pyrestic.report import NullReporter
from pyrestic.repository.index_columns import entries_of
from pyrestic.repository.repository import Repository
from tests.operations.test_check_pack import DAMAGES, flip
from tests.support.engines import GivenEngines, blob_code
from tests.support.repositories import PASSWORD, make_repository

MANY = 2100
"""As many blobs as `check` takes an engine for."""
SOME = 500


def fill(backend: Backend, *, version: int = 2, blobs: int = SOME) -> Repository:
    """A repository with a pack of short blobs, with which an engine goes."""
    made = make_repository(backend, version=version)
    source = random.Random(1)
    for number in range(blobs):
        made.saver.save(BlobType.DATA, b"%d " % number * source.randint(1, 500))
    made.flush()
    made.close()
    repository = Repository.open(backend, PASSWORD, engines=GivenEngines(blobs=blob_code))
    repository.load_index(NullReporter())
    return repository


@pytest.fixture(scope="module", params=["near", "far"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    near = request.param == "near"
    repository = fill(LocalBackend(str(tmp_path_factory.mktemp("repository"))) if near else MemoryBackend())
    assert (repository.near is not None) is near
    return repository


def engine_of(repository: Repository) -> BatchCodec:
    engine = repository.codec.engine
    assert engine is not None
    return engine


def only_pack(repository: Repository) -> tuple[ID, Columns, int]:
    ((pack, blobs),) = repository.index.columns_by_pack()
    (info,) = repository.list_files(FileType.PACK)
    return pack, blobs, info.length


SHORT_DAMAGES = DAMAGES | {"long blob": lambda data: flip(len(data) // 2)(data)}


@pytest.mark.parametrize("damage", list(SHORT_DAMAGES))
def test_a_pack_is_whole_if_no_blob_and_nothing_else_has_a_fault(repository: Repository, damage: str) -> None:
    pack, blobs, length = only_pack(repository)
    handle = Handle(FileType.PACK, pack.hex())
    good = repository.backend.load(handle)
    data = bytearray(good)
    SHORT_DAMAGES[damage](data)
    repository.backend.save(handle, bytes(data))
    whole = is_whole(repository, engine_of(repository), pack, blobs, length)
    assert whole == (check_pack(repository, pack, entries_of(blobs)) == [])
    assert whole == (damage in ("none", "longer"))
    repository.backend.save(handle, good)


def test_an_index_that_says_something_else_is_noticed(repository: Repository) -> None:
    pack, blobs, length = only_pack(repository)
    engine = engine_of(repository)

    def changed(name: str, row: int, value: int) -> Columns:
        column = getattr(blobs, name).copy()
        column[row] = value
        return blobs._replace(**{name: column})

    assert is_whole(repository, engine, pack, blobs, length)
    assert not is_whole(repository, engine, bytes(32), blobs, length)
    assert not is_whole(repository, engine, pack, blobs, length - 1)
    assert not is_whole(repository, engine, pack, blobs, length + 1)
    assert not is_whole(repository, engine, pack, blobs.take(slice(1, None)), length)
    assert not is_whole(repository, engine, pack, blobs.take(slice(-1)), length)
    assert not is_whole(repository, engine, pack, blobs.take(slice(0)), length)
    assert not is_whole(repository, engine, pack, blobs.take(slice(None, None, -1)), length)
    for name, value in (("types", 1), ("offsets", 7), ("lengths", 40), ("plain_lengths", 0), ("plain_lengths", 7)):
        assert not is_whole(repository, engine, pack, changed(name, 300, value), length)
    assert not is_whole(repository, engine, pack, changed("lengths", 300, 2**32 - 1), length)
    assert not is_whole(repository, engine, pack, changed("plain_lengths", 300, 2**32 - 1), length)


def test_the_header_made_of_columns_is_that_made_of_entries() -> None:
    for version in (1, 2):
        repository = fill(MemoryBackend(), version=version)
        _, blobs, _ = only_pack(repository)
        assert pack_columns.encode_header(blobs) == encode_header(entries_of(blobs))
    mixed = blobs._replace(plain_lengths=np.where(blobs.lengths % 2, blobs.plain_lengths, 0).astype(np.uint32))
    mixed = mixed._replace(types=(blobs.lengths % 3 == 0).astype(np.uint8))
    assert parse_header(pack_columns.encode_header(mixed)) == entries_of(mixed)


def test_check_takes_the_engine_for_many_blobs_and_names_what_it_does_not_like(tmp_path: Path) -> None:
    repository = fill(LocalBackend(str(tmp_path / "repository")), blobs=MANY)
    pack, blobs, _ = only_pack(repository)
    handle = Handle(FileType.PACK, pack.hex())
    found: list[Finding] = []
    for victim in (None, 1500):
        if victim is not None:
            data = bytearray(repository.backend.load(handle))
            data[int(blobs.offsets[victim]) + 20] ^= 1
            repository.backend.save(handle, bytes(data))
        check = Check(repository, NullReporter(), found.append)
        check.packs()
        check.read(check.data_packs())
        assert check.result.verified_packs == ([pack] if victim is None else [])
        assert check.result.broken_packs == ([] if victim is None else [pack])
        assert len(found) == (victim is not None)
    assert f"blob {blobs.ids[1500].tobytes().hex()}" in found[0].message
    repository.remove(FileType.PACK, pack)
    assert not is_whole(repository, engine_of(repository), pack, blobs, 1000)
    with pytest.raises(NotFoundError):
        check_pack(repository, pack, entries_of(blobs))
