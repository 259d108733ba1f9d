"""What check finds in key and lock files, without listing again what was listed before: on B2 each listing costs."""

from pathlib import Path

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from pyrestic.operations.check import Check, Finding
from pyrestic.report import NullReporter
from pyrestic.repository import locks
from pyrestic.repository.held_lock import LockTiming
from pyrestic.repository.keys import add_key
from pyrestic.repository.repository import Repository
from tests.support.backends import RecordingBackend
from tests.support.cli import Caller
from tests.support.repositories import PASSWORD, QUICK, make_repository


class Place:
    """A repository with two keys, the second of which is damaged, opened anew and told of what is asked of it."""

    def __init__(self) -> None:
        memory = MemoryBackend()
        repository = make_repository(memory)
        words = {"hostname": "host", "username": "user", "created": "2024-01-01T00:00:00Z"}
        key = add_key(memory, repository.key, "another password", params=QUICK, **words)
        self.name = key.id.hex()
        self.key = Handle(FileType.KEY, self.name)
        memory.save(self.key, flipped(memory.load(self.key)))
        self.memory = memory
        self.record = RecordingBackend(memory)
        self.repository = Repository.open(self.record, PASSWORD)
        self.found: list[Finding] = []
        self.check = Check(self.repository, NullReporter(), self.found.append)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_a_damaged_key_is_found_in_the_listing_that_was_made_when_the_repository_was_opened() -> None:
    place = Place()
    place.check.small_files(locks=False)
    assert [place.name in finding.message for finding in place.found] == [True]
    assert (place.record.count("list", FileType.KEY), place.record.count("list", FileType.LOCK)) == (1, 0)


def test_a_key_that_was_removed_since_is_no_error() -> None:
    place = Place()
    place.memory.remove(place.key)
    place.check.small_files(locks=False)
    assert place.found == []


def test_a_damaged_lock_is_found_where_no_lock_was_taken() -> None:
    place = Place()
    lock = Handle(FileType.LOCK, hash_id(b"a lock").hex())
    place.memory.save(lock, b"something else")
    place.check.small_files(locks=True)
    messages = [finding.message for finding in place.found]
    assert len(messages) == 2
    assert place.name in messages[0]
    assert lock.name[:10] in messages[1]


@pytest.mark.parametrize("flags", [[], ["--no-lock"]])
@pytest.mark.parametrize("folder", ["keys", "locks"])
def test_the_command_names_a_damaged_key_or_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, flags: list[str]
) -> None:
    monkeypatch.setattr(locks, "LockTiming", lambda: LockTiming(unreadable_tries=1))
    call = Caller(tmp_path)
    path = call.create() / folder / hash_id(b"a file").hex()
    path.write_bytes(b"something else")
    outcome = call(*flags, "check")
    assert outcome.code == 1
    assert path.name[:10] in outcome.err
