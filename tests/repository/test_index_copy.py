"""The copy of the index in the cache: it says what the index files say, or is not used."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.local import LocalBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import CacheFolder, open_cache
from pyrestic.errors import DamageError
from pyrestic.format.compress import Compression
from pyrestic.format.crypto import MasterKey
from pyrestic.format.index_file import Columns
from pyrestic.handle import BlobType, FileType
from pyrestic.report import NullReporter
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.index_columns import Segment, sort_rows
from pyrestic.repository.index_copy import WORTH_BLOBS, CopiedFile, IndexCopy, load_copy, save_copy
from pyrestic.repository.repository import Repository
from tests.support.repositories import PASSWORD, QUICK
from tools.make_scale import make_scale

CODEC = BlobCodec(MasterKey.random(), 2, Compression.OFF)
FILES = [CopiedFile(bytes([number]) * 32, 1, 5) for number in range(3)]
PACKS = [bytes([number]) * 32 for number in range(7, 10)]
NAME = "pyrestic-index"


def make_segment(count: int, seed: int) -> Segment:
    source = np.random.default_rng(seed)

    def numbers() -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        return source.integers(0, 1 << 32, count, np.uint32)

    columns = Columns(
        [],
        source.integers(0, 256, (count, 32), np.uint8),
        source.integers(0, 2, count, np.uint8),
        source.integers(0, 3, count, np.uint32),
        numbers(),
        numbers(),
        numbers(),
    )
    return Segment(sort_rows([columns]))


def same(one: Segment, other: Segment) -> bool:
    return [column.tobytes() for column in one.rows] == [column.tobytes() for column in other.rows]


@given(count=st.integers(0, 200), seed=st.integers(0, 1000))
def test_a_copy_says_what_it_was_given(tmp_path_factory: pytest.TempPathFactory, count: int, seed: int) -> None:
    cache = CacheFolder(str(tmp_path_factory.getbasetemp()))
    segment = make_segment(count, seed)
    save_copy(cache, CODEC, IndexCopy(FILES, PACKS, segment))
    read = load_copy(cache, CODEC, {file.id for file in FILES})
    assert read is not None
    assert (read.files, read.packs) == (FILES, PACKS)
    assert same(read.segment, segment)
    for row in range(0, count, 50):
        identifier = segment.identifier(row)
        assert read.segment.find_rows(int(segment.types[row]), identifier) == [row]


def test_large_columns_are_kept_in_pieces(tmp_path: Path) -> None:
    cache, segment = CacheFolder(str(tmp_path)), make_segment(600_000, 1)
    save_copy(cache, CODEC, IndexCopy(FILES, PACKS, segment))
    read = load_copy(cache, CODEC, {file.id for file in FILES})
    assert read is not None
    assert same(read.segment, segment)


def test_a_copy_of_a_file_that_is_gone_or_by_another_key_is_not_used(tmp_path: Path) -> None:
    cache = CacheFolder(str(tmp_path))
    present = {file.id for file in FILES}
    assert load_copy(cache, CODEC, present) is None
    save_copy(cache, CODEC, IndexCopy(FILES, PACKS, make_segment(30, 1)))
    assert load_copy(cache, CODEC, {*present, b"x" * 32}) is not None
    assert load_copy(cache, CODEC, present - {FILES[1].id}) is None
    assert load_copy(cache, BlobCodec(MasterKey.random(), 2, Compression.OFF), present) is None


def test_a_damaged_copy_is_not_used(tmp_path: Path) -> None:
    cache, path = CacheFolder(str(tmp_path)), tmp_path / NAME
    save_copy(cache, CODEC, IndexCopy(FILES, PACKS, make_segment(30, 1)))
    whole = path.read_bytes()
    present = {file.id for file in FILES}
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert load_copy(cache, CODEC, present) is None
        path.write_bytes(whole[:place])
        assert load_copy(cache, CODEC, present) is None
    path.write_bytes(whole + b"x")
    assert load_copy(cache, CODEC, present) is None
    path.write_bytes(whole)
    assert load_copy(cache, CODEC, present) is not None


def test_pieces_of_another_copy_do_not_pass_for_those_of_this(tmp_path: Path) -> None:
    cache, path = CacheFolder(str(tmp_path)), tmp_path / NAME
    wholes = []
    for seed in (1, 2):
        save_copy(cache, CODEC, IndexCopy(FILES, PACKS, make_segment(30, seed)))
        wholes.append(path.read_bytes())
    first_piece = 30 * 8 + 32
    assert len(wholes[0]) == len(wholes[1])
    path.write_bytes(wholes[1][:first_piece] + wholes[0][first_piece:])
    assert load_copy(cache, CODEC, {file.id for file in FILES}) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_no_copy(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / NAME).write_bytes(data)
    assert load_copy(CacheFolder(str(folder)), CODEC, set()) is None


class Opener:
    """Opens a repository with many blobs, with a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        make_scale(self.folder, named=WORTH_BLOBS, password=PASSWORD, params=QUICK)
        self.cache = folder / "cache"
        self.copy = Path(self._open_cache().path) / NAME

    def _open_cache(self) -> CacheFolder:
        backend = LocalBackend(str(self.folder))
        return open_cache(str(self.cache), Repository.open(backend, PASSWORD).config.id).folder

    def open(self, *, anew: bool = False) -> Repository:
        repository = Repository.open(
            LocalBackend(str(self.folder)),
            PASSWORD,
            wrap=lambda backend, config: CacheBackend(
                backend, open_cache(str(self.cache), config.id).folder, on_note=pytest.fail
            ),
        )
        repository.load_index(NullReporter(), anew=anew)
        return repository

    def spoil(self) -> None:
        """Damage every index file, in the repository and in the cache."""
        for path in [*(self.folder / "index").iterdir(), *self.copy.parent.glob("index/*/*")]:
            path.chmod(0o600)
            path.write_bytes(b"damaged" * 9)


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    return Opener(tmp_path)


def save_blobs(repository: Repository, count: int) -> None:
    for number in range(count):
        repository.saver.save(BlobType.DATA, b"%d" % number)
    repository.flush()


def test_the_second_time_no_index_file_is_read(opener: Opener) -> None:
    first = opener.open()
    assert opener.copy.exists()
    opener.spoil()
    second = opener.open()
    assert sorted(second.index.blobs()) == sorted(first.index.blobs())
    assert second.index.packs() == first.index.packs()
    assert sorted(second.index_files) == sorted(first.index_files)
    with pytest.raises(DamageError):
        opener.open(anew=True)


@pytest.mark.slow
def test_new_index_files_are_read_beside_the_copy_and_join_it_when_they_are_many(opener: Opener) -> None:
    save_blobs(opener.open(), 10)
    before = opener.copy.read_bytes()
    repository = opener.open()
    count = len(repository.index)
    assert count > WORTH_BLOBS + 10
    assert repository.index.has((BlobType.DATA, repository.saver.save(BlobType.DATA, b"7").id))
    assert opener.copy.read_bytes() == before
    save_blobs(repository, WORTH_BLOBS // 2)
    repository.close()
    assert len(opener.open().index) == count + WORTH_BLOBS // 2 - 10
    assert len(opener.copy.read_bytes()) > len(before) + 20 * WORTH_BLOBS
    opener.spoil()
    assert len(opener.open().index) == count + WORTH_BLOBS // 2 - 10


def test_a_copy_of_index_files_that_were_removed_gives_way_to_a_new_one(opener: Opener) -> None:
    repository = opener.open()
    file = max(repository.index_files, key=lambda file: file.blob_count)
    repository.remove(FileType.INDEX, file.id)
    assert len(opener.open().index) == len(repository.index) - file.blob_count
