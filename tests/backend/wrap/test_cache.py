"""The cache: what it keeps, what it drops, and that it never stands in the way."""

import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyrestic.backend.base import MetadataCache
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import (
    find_default_base,
    list_cache_folders,
    open_cache,
    remove_cache_folder,
)
from pyrestic.errors import BackendError, FormatError, NotFoundError, UnsupportedError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.backends import FaultyBackend, RecordingBackend

REPOSITORY = "12" * 32
DATA = b"stored bytes of a file, more than the 32 that sealing adds"
CACHED = [FileType.INDEX, FileType.SNAPSHOT]
NEVER_CACHED = [FileType.KEY, FileType.LOCK]


def handle_of(data: bytes, file_type: FileType) -> Handle:
    return Handle(file_type, hash_id(data).hex())


@dataclass
class Stage:
    """A cache over a backend that counts."""

    base: Path
    record: RecordingBackend = field(default_factory=lambda: RecordingBackend(MemoryBackend()))
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = open_cache(str(self.base), REPOSITORY).folder
        self.cache = CacheBackend(self.record, self.folder, on_note=self.notes.append)

    def files(self) -> set[str]:
        path = Path(self.folder.path)
        return {str(found.relative_to(path)) for found in path.rglob("*") if found.is_file()} - {"version"}

    def place(self, handle: Handle) -> Path:
        word = {FileType.PACK: "data", FileType.INDEX: "index", FileType.SNAPSHOT: "snapshots"}[handle.type]
        return Path(self.folder.path) / word / handle.name[:2] / handle.name


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "cache")


def test_the_folder_is_laid_out_as_restic_does(tmp_path: Path) -> None:
    base = tmp_path / "a" / "restic"
    opened = open_cache(str(base), REPOSITORY)
    assert opened.created
    assert (base / "CACHEDIR.TAG").read_bytes() == b"Signature: 8a477f597d28d172789f06886806bc55\n"
    assert (base / REPOSITORY / "version").read_bytes() == b"1"
    assert {path.name for path in (base / REPOSITORY).iterdir()} == {"version", "data", "index", "snapshots"}
    folders = [base, base / REPOSITORY, *(base / REPOSITORY / name for name in ("data", "index", "snapshots"))]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in folders)
    assert not open_cache(str(base), REPOSITORY).created


@pytest.mark.parametrize("file_type", CACHED)
def test_index_and_snapshot_files_are_kept_when_saved(stage: Stage, file_type: FileType) -> None:
    handle = handle_of(DATA, file_type)
    stage.cache.save(handle, DATA)
    assert stage.place(handle).read_bytes() == DATA
    assert stage.cache.load(handle) == DATA
    assert stage.cache.load(handle, 5, 3) == DATA[5:8]
    assert stage.record.count("load") == 0


@pytest.mark.parametrize("file_type", CACHED)
def test_index_and_snapshot_files_are_kept_when_loaded(stage: Stage, file_type: FileType) -> None:
    handle = handle_of(DATA, file_type)
    stage.record.save(handle, DATA)
    assert stage.cache.load(handle, 5, 3) == DATA[5:8]
    assert stage.cache.load(handle) == DATA
    assert stage.cache.load(handle, 10) == DATA[10:]
    assert stage.record.count("load") == 1
    assert stat.S_IMODE(stage.place(handle).stat().st_mode) == 0o600


@pytest.mark.parametrize("file_type", NEVER_CACHED)
def test_keys_and_locks_are_never_kept(stage: Stage, file_type: FileType) -> None:
    handle = handle_of(DATA, file_type)
    stage.cache.save(handle, DATA)
    stage.cache.load(handle)
    stage.cache.load(handle)
    stage.cache.load(handle, 3, 4)
    assert stage.record.count("load") == 3
    list(stage.cache.list(file_type))
    stage.cache.forget(handle)
    stage.cache.remove(handle)
    assert stage.files() == set()


def test_packs_are_not_kept_unless_asked_for(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.PACK)
    stage.cache.save(handle, DATA)
    stage.cache.load(handle)
    stage.cache.load(handle, 1, 2)
    assert stage.files() == set()
    assert stage.record.count("load") == 2


def test_packs_of_trees_are_kept_whole_when_one_range_is_loaded(stage: Stage) -> None:
    assert isinstance(stage.cache, MetadataCache)
    handle = handle_of(DATA, FileType.PACK)
    stage.record.save(handle, DATA)
    assert stage.cache.load_metadata(handle, 4, 6) == DATA[4:10]
    assert stage.place(handle).read_bytes() == DATA
    assert stage.cache.load_metadata(handle, 10, 6) == DATA[10:16]
    assert stage.cache.load(handle, 20, 6) == DATA[20:26]
    assert stage.record.count("load") == 1


def test_packs_of_trees_are_kept_when_saved(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.PACK)
    stage.cache.save_metadata(handle, memoryview(DATA))
    assert stage.record.load(handle) == DATA
    assert stage.cache.load(handle, 1, 2) == DATA[1:3]
    assert stage.record.count("load") == 1


def test_a_range_beyond_the_end_is_refused_with_and_without_a_copy(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.PACK)
    stage.record.save(handle, DATA)
    for _ in range(2):
        with pytest.raises(FormatError):
            stage.cache.load_metadata(handle, 0, len(DATA) + 1)
        assert stage.cache.load_metadata(handle) == DATA


def test_a_file_that_failed_to_be_saved_is_not_kept(stage: Stage) -> None:
    faulty = FaultyBackend(stage.record)
    faulty.fail("save", lambda: BackendError("no"), times=2)
    cache = CacheBackend(faulty, stage.folder, on_note=stage.notes.append)
    with pytest.raises(BackendError):
        cache.save(handle_of(DATA, FileType.INDEX), DATA)
    with pytest.raises(BackendError):
        cache.save_metadata(handle_of(DATA, FileType.PACK), DATA)
    assert stage.files() == set()


def test_a_removed_file_leaves_the_cache(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.INDEX)
    stage.cache.save(handle, DATA)
    stage.cache.remove(handle)
    assert stage.files() == set()


@pytest.mark.parametrize("method", ["stat", "remove"])
def test_a_file_the_backend_has_lost_leaves_the_cache(stage: Stage, method: str) -> None:
    handle = handle_of(DATA, FileType.INDEX)
    stage.cache.save(handle, DATA)
    stage.record.remove(handle)
    with pytest.raises(NotFoundError):
        getattr(stage.cache, method)(handle)
    assert stage.files() == set()


@pytest.mark.parametrize("file_type", [*CACHED, FileType.PACK])
def test_a_whole_listing_drops_what_is_no_longer_in_the_repository(stage: Stage, file_type: FileType) -> None:
    kept, gone = handle_of(DATA, file_type), handle_of(DATA + b"!", file_type)
    other = handle_of(DATA, FileType.INDEX if file_type is FileType.PACK else FileType.PACK)
    for handle, data in ((kept, DATA), (gone, DATA + b"!"), (other, DATA)):
        stage.cache.save_metadata(handle, data)
    stage.record.remove(gone)
    assert [info.name for info in stage.cache.list(file_type)] == [kept.name]
    assert not stage.place(gone).exists()
    assert stage.place(kept).exists()
    assert stage.place(other).exists()


def test_a_listing_that_breaks_off_drops_nothing(stage: Stage) -> None:
    first, second = handle_of(DATA, FileType.INDEX), handle_of(DATA + b"!", FileType.INDEX)
    stage.cache.save(first, DATA)
    stage.cache.save(second, DATA + b"!")
    faulty = FaultyBackend(stage.record)
    faulty.fail("list", lambda: BackendError("gone"), after=1)
    cache = CacheBackend(faulty, stage.folder, on_note=stage.notes.append)
    with pytest.raises(BackendError):
        list(cache.list(FileType.INDEX))
    next(iter(cache.list(FileType.INDEX)))
    assert stage.place(first).exists()
    assert stage.place(second).exists()


def test_a_forgotten_file_is_loaded_anew(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.INDEX)
    stage.cache.save(handle, DATA)
    stage.place(handle).write_bytes(DATA.upper())
    assert stage.cache.load(handle) == DATA.upper()
    stage.cache.forget(handle)
    assert stage.cache.load(handle) == DATA
    assert stage.place(handle).read_bytes() == DATA
    assert stage.record.count("load") == 1


def test_a_file_that_was_forgotten_twice_is_read_where_it_is_stored(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.PACK)
    stage.record.save(handle, DATA)
    for _ in range(5):
        stage.cache.load_metadata(handle, 3, 4)
        stage.cache.forget(handle)
    loads = [call.length for call in stage.record.calls if call.method == "load"]
    assert loads == [len(DATA), len(DATA), 4, 4, 4]
    assert stage.files() == set()
    stage.place(handle).write_bytes(DATA.upper())
    assert stage.cache.load(handle, 3, 4) == DATA[3:7]


def test_damaged_content_never_enters_the_cache_and_is_not_loaded_whole_again(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.PACK)
    stage.record.save(handle, DATA.upper())
    for _ in range(3):
        assert stage.cache.load_metadata(handle, 3, 4) == DATA.upper()[3:7]
    assert stage.files() == set()
    assert [call.length for call in stage.record.calls if call.method == "load"] == [len(DATA), 4, 4]


@pytest.mark.parametrize("damage", ["cut", "empty", "short", "folder"])
def test_a_copy_that_was_cut_is_replaced(stage: Stage, damage: str) -> None:
    handle = handle_of(DATA, FileType.INDEX)
    stage.cache.save(handle, DATA)
    place = stage.place(handle)
    if damage == "folder":
        place.unlink()
        place.mkdir()
    else:
        place.write_bytes({"cut": DATA[:-1], "empty": b"", "short": DATA[:32]}[damage])
    assert stage.cache.load(handle, 0, len(DATA) if damage == "cut" else None) == DATA
    assert stage.cache.load(handle) == DATA
    if damage != "folder":
        assert place.read_bytes() == DATA


@pytest.mark.parametrize("data", [b"", b"x" * 32])
def test_a_file_too_short_to_be_sealed_is_not_kept(stage: Stage, data: bytes) -> None:
    handle = handle_of(data, FileType.INDEX)
    stage.cache.save(handle, data)
    assert stage.cache.load(handle) == data
    assert stage.files() == set()


def test_a_cache_that_cannot_be_written_is_noted_once_and_harms_nothing(stage: Stage) -> None:
    (Path(stage.folder.path) / "index").rmdir()
    (Path(stage.folder.path) / "index").write_bytes(b"")
    for number in range(5):
        data = DATA + b"%d" % number
        stage.cache.save(handle_of(data, FileType.INDEX), data)
        assert stage.cache.load(handle_of(data, FileType.INDEX)) == data
    assert len(stage.notes) == 1
    assert "cache is not used for new files" in stage.notes[0]
    # Nothing is loaded whole any more when a range will do.
    stage.record.calls.clear()
    pack = handle_of(DATA, FileType.PACK)
    stage.record.save(pack, DATA)
    assert stage.cache.load_metadata(pack, 2, 3) == DATA[2:5]
    assert stage.record.calls[-1].length == 3
    list(stage.cache.list(FileType.INDEX))


def test_an_emptied_cache_is_filled_again(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.INDEX)
    for name in ("data", "index", "snapshots"):
        (Path(stage.folder.path) / name).rmdir()
    stage.cache.save(handle, DATA)
    assert stage.place(handle).read_bytes() == DATA
    assert stage.notes == []


def test_threads_that_want_one_pack_load_it_once(stage: Stage) -> None:
    data = os.urandom(200_000)
    handle = handle_of(data, FileType.PACK)
    stage.record.save(handle, data)
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        start.wait()
        return stage.cache.load_metadata(handle, number, 50) == data[number : number + 50]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert stage.record.count("load") == 1


def test_an_absent_file_is_not_found_by_all_who_wait(stage: Stage) -> None:
    handle = handle_of(DATA, FileType.INDEX)

    def work(_: int) -> bool:
        try:
            stage.cache.load(handle)
        except NotFoundError:
            return True
        return False

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(12)))
    stage.record.save(handle, DATA)
    assert stage.cache.load(handle) == DATA


@pytest.mark.parametrize("repository_id", ["", "../x", "12", "G" * 64])
def test_a_cache_needs_the_id_of_a_repository(tmp_path: Path, repository_id: str) -> None:
    with pytest.raises(FormatError):
        open_cache(str(tmp_path), repository_id)


def test_a_cache_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    open_cache(str(tmp_path), REPOSITORY)
    (tmp_path / REPOSITORY / "version").write_bytes(b"2")
    with pytest.raises(UnsupportedError):
        open_cache(str(tmp_path), REPOSITORY)
    assert (tmp_path / REPOSITORY / "version").read_bytes() == b"2"


@pytest.mark.parametrize("content", [b"", b"one", b"-1", b"1\n"])
def test_a_damaged_version_is_refused(tmp_path: Path, content: bytes) -> None:
    open_cache(str(tmp_path), REPOSITORY)
    (tmp_path / REPOSITORY / "version").write_bytes(content)
    with pytest.raises(FormatError):
        open_cache(str(tmp_path), REPOSITORY)


def test_a_cache_where_none_can_be_is_a_backend_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackendError):
        open_cache(str(tmp_path / "file"), REPOSITORY)


def test_opening_marks_the_folder_as_used(tmp_path: Path) -> None:
    open_cache(str(tmp_path), REPOSITORY)
    os.utime(tmp_path / REPOSITORY, (0, 0))
    (info,) = list_cache_folders(str(tmp_path))
    assert info.is_old(time.time())
    open_cache(str(tmp_path), REPOSITORY)
    (info,) = list_cache_folders(str(tmp_path))
    assert not info.is_old(time.time())
    assert info.is_old(time.time() + 30 * 86400 + 5)


def test_only_folders_of_caches_are_listed_and_removed(tmp_path: Path) -> None:
    assert list_cache_folders(str(tmp_path / "absent")) == []
    stage = Stage(tmp_path)
    stage.cache.save(handle_of(DATA, FileType.INDEX), DATA)
    (tmp_path / "restic-check-cache-123").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / ("ab" * 32)).symlink_to(tmp_path / "other")
    folders = list_cache_folders(str(tmp_path))
    assert [info.name for info in folders] == [REPOSITORY, "restic-check-cache-123"]
    assert folders[0].length() == len(DATA) + 1
    for info in folders:
        remove_cache_folder(info)
        remove_cache_folder(info)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CACHEDIR.TAG", "ab" * 32, "other"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RESTIC_CACHE_DIR": "here", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "here"),
        ({"RESTIC_CACHE_DIR": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/restic"),
        ({"HOME": "/h"}, "/h/.cache/restic"),
    ],
)
def test_the_cache_lies_where_restic_looks_for_it(environment: dict[str, str], expected: str) -> None:
    assert find_default_base(environment) == expected


@pytest.mark.parametrize("environment", [{}, {"XDG_CACHE_HOME": "relative", "HOME": "/h"}])
def test_without_a_home_there_is_no_cache(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        find_default_base(environment)
