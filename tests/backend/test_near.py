"""Files at hand: read into memory that is given, through every wrapper, and told from those that are far."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrestic.backend.base import Backend, NearBackend, find_near
from pyrestic.backend.local import LocalBackend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import open_cache
from pyrestic.backend.wrap.limit import LimitBackend
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import BackendError, FormatError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.backends import RecordingBackend

DATA = bytes(range(256)) * 40
HANDLE = Handle(FileType.PACK, hash_id(DATA).hex())


def drop(message: str) -> None:
    del message


def cached(inner: Backend, folder: Path) -> CacheBackend:
    return CacheBackend(inner, open_cache(str(folder / "cache"), "0" * 64).folder, on_note=drop)


NEAR: dict[str, Callable[[Backend, Path], Backend]] = {
    "local": lambda local, _: local,
    "retry": lambda local, _: RetryBackend(local),
    "cache": lambda local, folder: cached(RetryBackend(local), folder),
}


@pytest.fixture(params=list(NEAR))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = NEAR[request.param](LocalBackend(str(tmp_path / "repository")), tmp_path)
    backend.create()
    backend.save(HANDLE, DATA)
    yield backend
    backend.close()


def near(backend: Backend) -> NearBackend:
    found = find_near(backend)
    assert found is not None
    return found


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 1), (0, len(DATA)), (17, 300), (len(DATA), 0)])
def test_memory_is_filled_with_the_range(backend: Backend, offset: int, length: int) -> None:
    memory = bytearray(b"\xee" * (length + 2))
    near(backend).load_into(HANDLE, offset, memoryview(memory)[1:-1])
    assert memory == b"\xee" + DATA[offset : offset + length] + b"\xee"


@pytest.mark.parametrize(("offset", "length"), [(len(DATA) + 1, 0), (len(DATA), 1), (1, len(DATA))])
def test_a_range_beyond_the_end_is_refused(backend: Backend, offset: int, length: int) -> None:
    with pytest.raises(FormatError, match="too short"):
        near(backend).load_into(HANDLE, offset, memoryview(bytearray(length)))


def test_an_absent_file_is_not_found(backend: Backend) -> None:
    with pytest.raises(NotFoundError):
        near(backend).load_into(Handle(FileType.PACK, "0" * 64), 0, memoryview(bytearray(1)))


def test_a_copy_in_the_cache_is_used(tmp_path: Path) -> None:
    local = LocalBackend(str(tmp_path / "repository"))
    backend = cached(local, tmp_path)
    backend.create()
    backend.save_metadata(HANDLE, DATA)
    local.remove(HANDLE)
    memory = bytearray(10)
    backend.load_into(HANDLE, 5, memoryview(memory))
    assert memory == DATA[5:15]


def test_what_lies_elsewhere_or_is_slowed_down_is_far(tmp_path: Path) -> None:
    local = LocalBackend(str(tmp_path / "repository"))
    for far in (MemoryBackend(), LimitBackend(local), RecordingBackend(local)):
        assert find_near(far) is None
        assert find_near(RetryBackend(far)) is None
        assert find_near(cached(far, tmp_path)) is None


def test_a_disk_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    class Failing(LocalBackend):
        failures = 2

        def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
            if self.failures:
                self.failures -= 1
                raise TransientError("the disk is busy")
            super().load_into(handle, offset, room)

    inner = Failing(str(tmp_path / "repository"))
    inner.create()
    inner.save(HANDLE, DATA)
    memory = bytearray(10)
    RetryBackend(inner, sleep=drop_seconds).load_into(HANDLE, 3, memoryview(memory))
    assert memory == DATA[3:13]
    inner.failures = 1000
    with pytest.raises(BackendError, match="busy"):
        RetryBackend(inner, sleep=drop_seconds, total_seconds=1).load_into(HANDLE, 3, memoryview(memory))


def drop_seconds(seconds: float) -> None:
    del seconds
