"""What every backend keeps, whatever lies behind it, as a class of tests to derive from; needs pytest and hypothesis.

class TestShelf(BackendContract):
    def make_backend(self, folder: Path) -> Backend:
        return ShelfBackend(folder / "shelf")
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.errors import FormatError, NotFoundError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id

NAMED_TYPES = [file_type for file_type in FileType if file_type is not FileType.CONFIG]
CONFIG = Handle(FileType.CONFIG, "")


def handle_of(data: bytes, file_type: FileType = FileType.PACK) -> Handle:
    return Handle(file_type, hash_id(data).hex())


class BackendContract:
    """The tests; each gets a backend of an empty place."""

    removes_silently = False
    """The place calls it a success to remove what is not there."""
    shows_half_files = False
    """The place shows files while they are being replaced, which no file of a repository ever is."""

    def make_backend(self, folder: Path) -> Backend:
        """Return the backend of a new and empty place, below `folder` if it lies on this machine."""
        raise NotImplementedError

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = self.make_backend(tmp_path)
        backend.create()
        yield backend
        backend.close()

    @pytest.mark.parametrize("file_type", list(FileType))
    def test_what_is_saved_is_loaded(self, backend: Backend, file_type: FileType) -> None:
        handle = CONFIG if file_type is FileType.CONFIG else handle_of(b"some content", file_type)
        backend.save(handle, b"some content")
        assert backend.load(handle) == b"some content"
        assert backend.stat(handle) == FileInfo(handle.name, 12)

    def test_creating_the_place_twice_does_no_harm(self, backend: Backend) -> None:
        handle = handle_of(b"x")
        backend.save(handle, b"x")
        backend.create()
        assert backend.load(handle) == b"x"

    @pytest.mark.parametrize("file_type", NAMED_TYPES)
    def test_ranges_of_a_file_are_loaded(self, backend: Backend, file_type: FileType) -> None:
        data = bytes(range(256)) * 40
        handle = handle_of(data, file_type)
        backend.save(handle, data)
        for offset, length in [(0, 0), (0, 1), (0, len(data)), (17, 300), (len(data) - 1, 1), (len(data), 0)]:
            assert backend.load(handle, offset, length) == data[offset : offset + length]
        assert backend.load(handle, 1000) == data[1000:]
        assert backend.load(handle, len(data)) == b""
        assert type(backend.load(handle, 5, 5)) is bytes

    @pytest.mark.parametrize("file_type", NAMED_TYPES)
    def test_a_range_beyond_the_end_is_refused(self, backend: Backend, file_type: FileType) -> None:
        handle = handle_of(b"40 bytes" * 5, file_type)
        backend.save(handle, b"40 bytes" * 5)
        for offset, length in [(0, 41), (40, 1), (39, 2), (41, None), (41, 0), (1 << 40, 1)]:
            with pytest.raises(FormatError, match="too short"):
                backend.load(handle, offset, length)

    @pytest.mark.parametrize("file_type", list(FileType))
    def test_an_absent_file_is_not_found(self, backend: Backend, file_type: FileType) -> None:
        handle = CONFIG if file_type is FileType.CONFIG else handle_of(b"absent", file_type)
        with pytest.raises(NotFoundError):
            backend.load(handle)
        with pytest.raises(NotFoundError):
            backend.load(handle, 3, 4)
        with pytest.raises(NotFoundError):
            backend.stat(handle)
        if not self.removes_silently:
            with pytest.raises(NotFoundError):
                backend.remove(handle)

    @pytest.mark.parametrize("file_type", NAMED_TYPES)
    def test_an_empty_file_is_a_file(self, backend: Backend, file_type: FileType) -> None:
        handle = handle_of(b"", file_type)
        backend.save(handle, b"")
        assert backend.load(handle) == b""
        assert backend.stat(handle).length == 0
        assert list(backend.list(file_type)) == [FileInfo(handle.name, 0)]

    def test_the_config_may_be_empty_and_replaced(self, backend: Backend) -> None:
        backend.save(CONFIG, b"")
        assert backend.load(CONFIG) == b""
        backend.save(CONFIG, b"version 2")
        assert backend.load(CONFIG) == b"version 2"
        assert list(backend.list(FileType.CONFIG)) == [FileInfo("", 9)]

    @pytest.mark.parametrize("file_type", list(FileType))
    def test_nothing_is_listed_where_nothing_is(self, backend: Backend, file_type: FileType) -> None:
        assert list(backend.list(file_type)) == []

    def test_each_type_lists_its_own_files_with_their_lengths(self, backend: Backend) -> None:
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

    def test_files_may_be_removed_while_they_are_listed(self, backend: Backend) -> None:
        for number in range(30):
            backend.save(handle_of(b"%d" % number, FileType.SNAPSHOT), b"%d" % number)
        for info in backend.list(FileType.SNAPSHOT):
            backend.remove(Handle(FileType.SNAPSHOT, info.name))
        assert list(backend.list(FileType.SNAPSHOT)) == []

    def test_the_same_name_is_another_file_in_each_type(self, backend: Backend) -> None:
        for file_type in NAMED_TYPES:
            backend.save(handle_of(b"name", file_type), file_type.value.encode() * 20)
        backend.remove(handle_of(b"name", FileType.KEY))
        for file_type in NAMED_TYPES:
            if file_type is not FileType.KEY:
                assert backend.load(handle_of(b"name", file_type)) == file_type.value.encode() * 20

    @pytest.mark.parametrize("file_type", NAMED_TYPES)
    def test_saving_again_replaces_the_file(self, backend: Backend, file_type: FileType) -> None:
        handle = handle_of(b"name", file_type)
        backend.save(handle, b"the first and longer content, long enough to be cached")
        backend.save(handle, b"the second content, long enough to be cached")
        assert backend.load(handle) == b"the second content, long enough to be cached"
        assert [info.length for info in backend.list(file_type)] == [44]

    @pytest.mark.parametrize("file_type", NAMED_TYPES)
    def test_a_removed_file_is_gone_and_can_come_back(self, backend: Backend, file_type: FileType) -> None:
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
    def test_any_buffer_can_be_saved(self, backend: Backend, make: Callable[[bytes], bytes]) -> None:
        data = os.urandom(100_000)
        backend.save(handle_of(data), make(data))
        assert backend.load(handle_of(data)) == data

    def test_a_saved_buffer_may_change_afterwards(self, backend: Backend) -> None:
        buffer = bytearray(b"before" * 100)
        handle = handle_of(bytes(buffer))
        backend.save(handle, memoryview(buffer))
        buffer[:] = b"after " * 100
        assert backend.load(handle) == b"before" * 100

    def test_a_large_file_comes_back_whole(self, backend: Backend) -> None:
        data = os.urandom(1 << 20) * 20 + b"tail"
        handle = handle_of(data)
        backend.save(handle, memoryview(data))
        assert hash_id(backend.load(handle)).hex() == handle.name
        assert backend.load(handle, 12_345_678, 7_000_000) == data[12_345_678:19_345_678]

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "x",
            "../../config",
            "/etc/passwd",
            "a" * 63,
            "a" * 65,
            "A" * 64,
            "g" * 64,
            "0" * 63 + "\n",
            "0" * 62 + "/a",
        ],
    )
    def test_a_name_that_is_none_is_refused(self, backend: Backend, name: str) -> None:
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

    def test_many_threads_may_work_at_once(self, backend: Backend) -> None:
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

    def test_many_threads_may_save_and_load_one_file(self, backend: Backend) -> None:
        data = os.urandom(300_000)
        handle = handle_of(data, FileType.SNAPSHOT)
        backend.save(handle, data)

        replaces = not self.shows_half_files

        def work(number: int) -> bool:
            if number % 3 == 0 and replaces:
                backend.save(handle, data)
            return backend.load(handle) == data

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(40)))

    def test_connections_are_at_least_one(self, backend: Backend) -> None:
        assert backend.connections >= 1

    def test_any_range_is_that_of_the_bytes_or_refused(self, backend: Backend) -> None:
        # A function of its own for each class: hypothesis wants one for each backend. A place is created only once:
        # that takes most of the time.
        @settings(deadline=None)
        @given(
            data=st.binary(max_size=300),
            file_type=st.sampled_from(NAMED_TYPES),
            offset=st.integers(0, 320),
            length=st.none() | st.integers(0, 320),
        )
        def check(data: bytes, file_type: FileType, offset: int, length: int | None) -> None:
            handle = handle_of(data, file_type)
            backend.save(handle, data)
            end = len(data) if length is None else offset + length
            if offset > len(data) or end > len(data):
                with pytest.raises(FormatError):
                    backend.load(handle, offset, length)
            else:
                assert backend.load(handle, offset, length) == data[offset:end]

        check()
