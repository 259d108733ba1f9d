"""A dry run reads the truth and changes nothing."""

from pathlib import Path

import pytest

from pyrestic.backend.base import MetadataCache
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import open_cache
from pyrestic.backend.wrap.dryrun import DryRunBackend
from pyrestic.errors import FormatError, NotFoundError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.backends import RecordingBackend

DATA = b"a pack of trees that is longer than nothing" * 3
HANDLE = Handle(FileType.PACK, hash_id(DATA).hex())
OTHER = Handle(FileType.SNAPSHOT, "ab" * 32)


def test_nothing_is_written_or_removed() -> None:
    memory = MemoryBackend()
    memory.save(HANDLE, DATA)
    record = RecordingBackend(memory)
    backend = DryRunBackend(record)
    backend.create()
    backend.save(OTHER, b"snapshot")
    backend.save_metadata(HANDLE, b"other")
    backend.remove(HANDLE)
    backend.remove(OTHER)
    assert record.calls == []
    assert list(memory.list(FileType.SNAPSHOT)) == []
    assert memory.load(HANDLE) == DATA


def test_what_is_there_is_read() -> None:
    memory = MemoryBackend()
    memory.save(HANDLE, DATA)
    backend = DryRunBackend(memory)
    assert backend.load(HANDLE, 2, 4) == DATA[2:6]
    assert backend.load_metadata(HANDLE, 2, 4) == DATA[2:6]
    assert backend.stat(HANDLE).length == len(DATA)
    assert [info.name for info in backend.list(FileType.PACK)] == [HANDLE.name]
    backend.forget(HANDLE)
    with pytest.raises(NotFoundError):
        backend.load(OTHER)


def test_names_are_checked_as_if_it_were_real() -> None:
    backend = DryRunBackend(MemoryBackend())
    with pytest.raises(FormatError):
        backend.save(Handle(FileType.PACK, "../x"), b"")
    with pytest.raises(FormatError):
        backend.remove(Handle(FileType.PACK, "../x"))


def test_the_cache_below_is_still_used(tmp_path: Path) -> None:
    memory = MemoryBackend()
    memory.save(HANDLE, DATA)
    record = RecordingBackend(memory)
    cache = CacheBackend(record, open_cache(str(tmp_path), "0" * 64).folder, on_note=pytest.fail)
    backend = DryRunBackend(cache)
    assert isinstance(backend, MetadataCache)
    assert backend.load_metadata(HANDLE, 1, 3) == DATA[1:4]
    assert backend.load_metadata(HANDLE, 4, 3) == DATA[4:7]
    assert record.count("load") == 1
    backend.forget(HANDLE)
    backend.load_metadata(HANDLE, 4, 3)
    assert record.count("load") == 2
