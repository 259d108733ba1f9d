"""Making and opening repositories."""

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import (
    DamageError,
    FormatError,
    HashMismatchError,
    NoRepositoryError,
    UnauthenticError,
    UsageError,
    WrongPasswordError,
)
from pyrestic.format.index_file import IndexPack, encode
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.report import NullReporter
from pyrestic.repository.repository import CONFIG, Repository
from tests.support.repositories import PASSWORD, make_repository


def test_what_was_made_opens_with_its_password_only() -> None:
    repository = make_repository()
    again = Repository.open(repository.backend, PASSWORD)
    assert again.config == repository.config
    assert again.key == repository.key
    with pytest.raises(WrongPasswordError) as caught:
        Repository.open(repository.backend, "wrong")
    assert caught.value.exit_code == 12
    assert "wrong" not in str(caught.value).replace("wrong password", "")


def test_an_empty_place_is_no_repository() -> None:
    with pytest.raises(NoRepositoryError) as caught:
        Repository.open(MemoryBackend(), PASSWORD)
    assert caught.value.exit_code == 10


def test_a_repository_is_not_made_over_another_or_what_is_left_of_one() -> None:
    repository = make_repository()
    with pytest.raises(UsageError):
        make_repository(repository.backend)
    repository.backend.remove(CONFIG)
    repository.save_unpacked(FileType.SNAPSHOT, b"{}")
    with pytest.raises(UsageError):
        make_repository(repository.backend)


def test_a_config_of_another_repository_is_told() -> None:
    repository, other = make_repository(), make_repository()
    repository.backend.save(CONFIG, other.backend.load(CONFIG))
    with pytest.raises(UnauthenticError):
        Repository.open(repository.backend, PASSWORD)


@pytest.mark.parametrize("cut", [0, 1, 31, 50])
def test_a_truncated_config_is_damage(cut: int) -> None:
    repository = make_repository()
    repository.backend.save(CONFIG, repository.backend.load(CONFIG)[:cut])
    with pytest.raises(DamageError):
        Repository.open(repository.backend, PASSWORD)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("file_type", [FileType.INDEX, FileType.SNAPSHOT, FileType.LOCK])
def test_unpacked_files_come_back_and_any_flipped_byte_is_told(version: int, file_type: FileType) -> None:
    repository = make_repository(version=version)
    data = b'{"some":"json"}' * 20
    identifier = repository.save_unpacked(file_type, data)
    assert repository.load_unpacked(file_type, identifier) == data
    handle = Handle(file_type, identifier.hex())
    stored = bytearray(repository.backend.load(handle))
    stored[len(stored) // 2] ^= 4
    repository.backend.save(handle, bytes(stored))
    with pytest.raises(HashMismatchError):
        repository.load_unpacked(file_type, identifier)


def test_version_1_content_in_a_version_2_repository_stays_readable() -> None:
    repository = make_repository()
    sealed = repository.codec.seal(b'{"packs":[]}')
    from pyrestic.ids import hash_id

    identifier = hash_id(sealed)
    repository.backend.save(Handle(FileType.INDEX, identifier.hex()), sealed)
    assert repository.load_unpacked(FileType.INDEX, identifier) == b'{"packs":[]}'
    repository.load_index(NullReporter())


def test_compressed_blobs_are_refused_in_version_1() -> None:
    repository = make_repository(version=1)
    entry = HeaderEntry(BlobType.DATA, bytes(range(32)), 0, 50, 100)
    repository.save_unpacked(FileType.INDEX, encode([IndexPack(b"p" * 32, [entry])]))
    with pytest.raises(FormatError):
        repository.load_index(NullReporter())


def test_nothing_that_is_shown_of_a_repository_holds_its_key() -> None:
    repository = make_repository()
    for secret in (repository.key.encrypt, repository.key.mac_k, repository.key.mac_r):
        assert secret.hex() not in repr(repository.key)
        assert repr(secret)[2:-1] not in repr(repository.key)
