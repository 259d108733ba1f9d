"""The upgrade of a repository where the place does not let files be replaced, or fails on the way."""

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, PyresticError, UsageError
from pyrestic.operations.migrate import MIGRATIONS
from pyrestic.repository.repository import Repository
from tests.support.backends import FaultyBackend
from tests.support.repositories import PASSWORD, make_repository

UPGRADE = MIGRATIONS[0]


def refusal() -> AccessError:
    return AccessError("no")


@pytest.fixture
def place() -> FaultyBackend:
    inner = MemoryBackend()
    make_repository(inner, version=1)
    return FaultyBackend(inner)


def version_of(place: FaultyBackend) -> int:
    return Repository.open(place.inner, PASSWORD).config.version


def test_the_config_is_replaced_at_once(place: FaultyBackend) -> None:
    place.fail("remove", refusal)
    kept: list[bytes] = []

    def keep(old: bytes) -> str:
        kept.append(old)
        return "there"

    repository = Repository.open(place, PASSWORD)
    assert UPGRADE.refusal(repository) == ""
    UPGRADE.apply(repository, keep)
    assert version_of(place) == 2
    assert b'"version":1' in repository.codec.open(kept[0])
    again = Repository.open(place.inner, PASSWORD)
    assert (again.config.id, again.config.chunker_polynomial) == (
        repository.config.id,
        repository.config.chunker_polynomial,
    )
    assert UPGRADE.refusal(again) == "repository is already upgraded to version 2"
    with pytest.raises(UsageError, match="has version 2"):
        UPGRADE.apply(again, lambda _: "there")


def test_where_no_file_can_be_replaced_it_is_removed_first(place: FaultyBackend) -> None:
    place.fail("save", refusal)
    UPGRADE.apply(Repository.open(place, PASSWORD), lambda _: "there")
    assert version_of(place) == 2


def test_when_that_fails_the_old_config_is_put_back(place: FaultyBackend) -> None:
    place.fail("save", refusal, times=2)
    with pytest.raises(PyresticError, match=r"in its place again, there is a copy of it in there"):
        UPGRADE.apply(Repository.open(place, PASSWORD), lambda _: "there")
    assert version_of(place) == 1


def test_when_that_fails_too_the_copy_is_named(place: FaultyBackend) -> None:
    place.fail("save", refusal, times=3)
    with pytest.raises(PyresticError, match=r"failed as well \(no\), there is a copy of it in there"):
        UPGRADE.apply(Repository.open(place, PASSWORD), lambda _: "there")
