"""What every backend and every wrapper keeps, whatever lies behind it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.location import open_backend, parse_location
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.rest import RestBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import open_cache
from pyrestic.backend.wrap.limit import LimitBackend, TokenBucket
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import FormatError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.b2 import open_shared_b2
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.servers import shared_location


def fail_test(message: str) -> None:
    pytest.fail(f"nothing should have been said: {message}")


def local(folder: Path) -> Backend:
    return LocalBackend(str(folder / "repository"))


def cached(inner: Backend, folder: Path) -> Backend:
    return CacheBackend(inner, open_cache(str(folder / "cache"), "0" * 64).folder, on_note=fail_test)


def cached_without_disk(inner: Backend, folder: Path) -> Backend:
    """A cache none of whose writes succeeds."""
    cache = open_cache(str(folder / "cache"), "0" * 64).folder
    for name in ("data", "index", "snapshots"):
        (Path(cache.path) / name).rmdir()
        (Path(cache.path) / name).write_bytes(b"")
    return CacheBackend(inner, cache, on_note=lambda message: None)


def limited(inner: Backend) -> Backend:
    return LimitBackend(inner, upload=TokenBucket(1e9), download=TokenBucket(1e9))


def failing_often(inner: Backend) -> Backend:
    """Every operation fails a few times; sleeping takes no time."""
    faulty = FaultyBackend(inner)
    for method in ("save", "load", "stat", "list", "remove"):
        faulty.fail(method, lambda: TransientError("the line is busy"), times=3)
    return RetryBackend(faulty, sleep=lambda seconds: None)


STACKS: dict[str, Callable[[Path], Backend]] = {
    "local": local,
    "mem": lambda folder: MemoryBackend(),
    "retry": lambda folder: RetryBackend(MemoryBackend(), on_retry=fail_test),
    "retry, failing": lambda folder: failing_often(MemoryBackend()),
    "cache": lambda folder: cached(MemoryBackend(), folder),
    "cache, no disk": lambda folder: cached_without_disk(MemoryBackend(), folder),
    "limit": lambda folder: limited(MemoryBackend()),
    "recording": lambda folder: RecordingBackend(MemoryBackend()),
    "all": lambda folder: cached(RetryBackend(limited(local(folder)), on_retry=fail_test), folder),
}


def rest(kind: str) -> Backend:
    return open_backend(parse_location(shared_location(kind)), {})


def rest_version_1() -> Backend:
    """The server lists names alone if version 2 is not asked for."""
    backend = rest("rest")
    assert isinstance(backend, RestBackend)
    backend._headers["Accept"] = "application/vnd.x.restic.rest.v1"
    return backend


STACKS |= {
    "b2": lambda folder: open_shared_b2(),
    "rest-server": lambda folder: rest("rest"),
    "rest-server, version 1": lambda folder: rest_version_1(),
    "rclone serve restic": lambda folder: rest("rclone"),
}
SILENT_REMOVERS = {"rest-server", "rest-server, version 1", "retry, failing"}
"""rest-server calls it a success to remove what is not there, and so it is after an attempt that failed."""

SHOWS_HALF_FILES = {"rclone serve restic"}
"""rclone shows files while they are being replaced; nothing in a repository ever is."""

NAMED_TYPES = [file_type for file_type in FileType if file_type is not FileType.CONFIG]
CONFIG = Handle(FileType.CONFIG, "")


def handle_of(data: bytes, file_type: FileType = FileType.PACK) -> Handle:
    return Handle(file_type, hash_id(data).hex())


@pytest.fixture(params=list(STACKS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = STACKS[request.param](tmp_path)
    backend.create()
    yield backend
    backend.close()


@pytest.mark.parametrize("file_type", list(FileType))
def test_what_is_saved_is_loaded(backend: Backend, file_type: FileType) -> None:
    handle = CONFIG if file_type is FileType.CONFIG else handle_of(b"some content", file_type)
    backend.save(handle, b"some content")
    assert backend.load(handle) == b"some content"
    assert backend.stat(handle) == FileInfo(handle.name, 12)


def test_creating_the_place_twice_does_no_harm(backend: Backend) -> None:
    handle = handle_of(b"x")
    backend.save(handle, b"x")
    backend.create()
    assert backend.load(handle) == b"x"


@pytest.mark.parametrize("file_type", NAMED_TYPES)
def test_ranges_of_a_file_are_loaded(backend: Backend, file_type: FileType) -> None:
    data = bytes(range(256)) * 40
    handle = handle_of(data, file_type)
    backend.save(handle, data)
    for offset, length in [(0, 0), (0, 1), (0, len(data)), (17, 300), (len(data) - 1, 1), (len(data), 0)]:
        assert backend.load(handle, offset, length) == data[offset : offset + length]
    assert backend.load(handle, 1000) == data[1000:]
    assert backend.load(handle, len(data)) == b""
    assert type(backend.load(handle, 5, 5)) is bytes


@pytest.mark.parametrize("file_type", NAMED_TYPES)
@pytest.mark.parametrize(("offset", "length"), [(0, 41), (40, 1), (39, 2), (41, None), (41, 0), (1 << 40, 1)])
def test_a_range_beyond_the_end_is_refused(
    backend: Backend, file_type: FileType, offset: int, length: int | None
) -> None:
    handle = handle_of(b"40 bytes" * 5, file_type)
    backend.save(handle, b"40 bytes" * 5)
    with pytest.raises(FormatError, match="too short"):
        backend.load(handle, offset, length)


@pytest.mark.parametrize("file_type", list(FileType))
def test_an_absent_file_is_not_found(backend: Backend, file_type: FileType, request: pytest.FixtureRequest) -> None:
    handle = CONFIG if file_type is FileType.CONFIG else handle_of(b"absent", file_type)
    with pytest.raises(NotFoundError):
        backend.load(handle)
    with pytest.raises(NotFoundError):
        backend.load(handle, 3, 4)
    with pytest.raises(NotFoundError):
        backend.stat(handle)
    if request.node.callspec.params["backend"] not in SILENT_REMOVERS:
        with pytest.raises(NotFoundError):
            backend.remove(handle)


@pytest.mark.parametrize("file_type", NAMED_TYPES)
def test_an_empty_file_is_a_file(backend: Backend, file_type: FileType) -> None:
    handle = handle_of(b"", file_type)
    backend.save(handle, b"")
    assert backend.load(handle) == b""
    assert backend.stat(handle).length == 0
    assert list(backend.list(file_type)) == [FileInfo(handle.name, 0)]


def test_the_config_may_be_empty_and_replaced(backend: Backend) -> None:
    backend.save(CONFIG, b"")
    assert backend.load(CONFIG) == b""
    backend.save(CONFIG, b"version 2")
    assert backend.load(CONFIG) == b"version 2"
    assert list(backend.list(FileType.CONFIG)) == [FileInfo("", 9)]


@pytest.mark.parametrize("file_type", list(FileType))
def test_nothing_is_listed_where_nothing_is(backend: Backend, file_type: FileType) -> None:
    assert list(backend.list(file_type)) == []


def test_each_type_lists_its_own_files_with_their_lengths(backend: Backend) -> None:
    expected: dict[FileType, set[FileInfo]] = {}
    for file_type in NAMED_TYPES:
        for number in range(20):
            data = f"{file_type} {number}".encode() * (number + 1)
            backend.save(handle_of(data, file_type), data)
            expected.setdefault(file_type, set()).add(FileInfo(hash_id(data).hex(), len(data)))
    for file_type in NAMED_TYPES:
        found = list(backend.list(file_type))
        assert len(found) == 20
        assert set(found) == expected[file_type]


def test_files_may_be_removed_while_they_are_listed(backend: Backend) -> None:
    for number in range(30):
        backend.save(handle_of(b"%d" % number, FileType.SNAPSHOT), b"%d" % number)
    for info in backend.list(FileType.SNAPSHOT):
        backend.remove(Handle(FileType.SNAPSHOT, info.name))
    assert list(backend.list(FileType.SNAPSHOT)) == []


def test_the_same_name_is_another_file_in_each_type(backend: Backend) -> None:
    for file_type in NAMED_TYPES:
        backend.save(handle_of(b"name", file_type), file_type.value.encode() * 20)
    backend.remove(handle_of(b"name", FileType.KEY))
    for file_type in NAMED_TYPES:
        if file_type is not FileType.KEY:
            assert backend.load(handle_of(b"name", file_type)) == file_type.value.encode() * 20


@pytest.mark.parametrize("file_type", NAMED_TYPES)
def test_saving_again_replaces_the_file(backend: Backend, file_type: FileType) -> None:
    handle = handle_of(b"name", file_type)
    backend.save(handle, b"the first and longer content, long enough to be cached")
    backend.save(handle, b"the second content, long enough to be cached")
    assert backend.load(handle) == b"the second content, long enough to be cached"
    assert [info.length for info in backend.list(file_type)] == [44]


@pytest.mark.parametrize("file_type", NAMED_TYPES)
def test_a_removed_file_is_gone_and_can_come_back(backend: Backend, file_type: FileType) -> None:
    data = b"content that is longer than what seals it"
    handle = handle_of(data, file_type)
    backend.save(handle, data)
    assert backend.load(handle) == data
    backend.remove(handle)
    with pytest.raises(NotFoundError):
        backend.load(handle)
    assert list(backend.list(file_type)) == []
    backend.save(handle, data)
    assert backend.load(handle) == data


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))[:]])
def test_any_buffer_can_be_saved(backend: Backend, make: Callable[[bytes], bytes]) -> None:
    data = os.urandom(100_000)
    backend.save(handle_of(data), make(data))
    assert backend.load(handle_of(data)) == data


def test_a_saved_buffer_may_change_afterwards(backend: Backend) -> None:
    buffer = bytearray(b"before" * 100)
    handle = handle_of(bytes(buffer))
    backend.save(handle, memoryview(buffer))
    buffer[:] = b"after " * 100
    assert backend.load(handle) == b"before" * 100


def test_a_large_file_comes_back_whole(backend: Backend) -> None:
    data = os.urandom(1 << 20) * 20 + b"tail"
    handle = handle_of(data)
    backend.save(handle, memoryview(data))
    assert hash_id(backend.load(handle)).hex() == handle.name
    assert backend.load(handle, 12_345_678, 7_000_000) == data[12_345_678:19_345_678]


@pytest.mark.parametrize(
    "name",
    ["", "x", "../../config", "/etc/passwd", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "0" * 63 + "\n", "0" * 62 + "/a"],
)
def test_a_name_that_is_none_is_refused(backend: Backend, name: str) -> None:
    for file_type in (FileType.PACK, FileType.LOCK):
        handle = Handle(file_type, name)
        with pytest.raises(FormatError):
            backend.save(handle, b"data")
        with pytest.raises(FormatError):
            backend.load(handle)
        with pytest.raises(FormatError):
            backend.stat(handle)
        with pytest.raises(FormatError):
            backend.remove(handle)


def test_many_threads_may_work_at_once(backend: Backend) -> None:
    files = [os.urandom(2000 + number) for number in range(60)]

    def work(data: bytes) -> bool:
        handle = handle_of(data, FileType.INDEX if len(data) % 2 else FileType.PACK)
        backend.save(handle, data)
        list(backend.list(handle.type))
        same = backend.load(handle) == data and backend.load(handle, 100, 50) == data[100:150]
        if len(data) % 3 == 0:
            backend.remove(handle)
        return same

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, files))
    left = sum(1 for file_type in (FileType.INDEX, FileType.PACK) for _ in backend.list(file_type))
    assert left == sum(len(data) % 3 != 0 for data in files)


def test_many_threads_may_save_and_load_one_file(backend: Backend, request: pytest.FixtureRequest) -> None:
    data = os.urandom(300_000)
    handle = handle_of(data, FileType.SNAPSHOT)
    backend.save(handle, data)

    replaces = request.node.callspec.params["backend"] not in SHOWS_HALF_FILES

    def work(number: int) -> bool:
        if number % 3 == 0 and replaces:
            backend.save(handle, data)
        return backend.load(handle) == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))


def test_connections_are_at_least_one(backend: Backend) -> None:
    assert backend.connections >= 1


@pytest.mark.parametrize("stack", list(STACKS))
@given(
    data=st.binary(max_size=300),
    file_type=st.sampled_from(NAMED_TYPES),
    offset=st.integers(0, 320),
    length=st.none() | st.integers(0, 320),
)
def test_any_range_is_that_of_the_bytes_or_refused(
    stack: str, data: bytes, file_type: FileType, offset: int, length: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        backend = STACKS[stack](Path(folder))
        handle = handle_of(data, file_type)
        (Path(folder) / "repository").mkdir()
        backend.save(handle, data)
        end = len(data) if length is None else offset + length
        if offset > len(data) or end > len(data):
            with pytest.raises(FormatError):
                backend.load(handle, offset, length)
        else:
            assert backend.load(handle, offset, length) == data[offset:end]
        backend.close()
