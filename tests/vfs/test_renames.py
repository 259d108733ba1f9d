"""Following a path through its names."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.report import NullReporter
from pyrestic.vfs.renames import follow
from tests.support.archive import Archive, File

NAMES = ["a", "b", "d/a", "d/e/c"]


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.repository.close()


def names(archive: Archive, location: str) -> list[str]:
    """Return the other names of a location, the newest first."""
    history = archive.history(location)
    found = follow(archive.reopened(), archive.snapshots, history, None, NullReporter())
    return [other.location.decode() for other in found]


def test_a_file_is_followed_through_all_its_names_both_ways(archive: Archive) -> None:
    archive.add({"a": File("one"), "other": File("x")})
    archive.add({"a": File("two"), "other": File("x")})
    archive.add({"d": {"b": File("two")}, "other": File("x")})
    archive.add({"d": {"b": File("three")}})
    archive.add({"d": {"e": {"c": File("three")}}})
    chain = ["/d/e/c", "/d/b", "/a"]
    for location in chain:
        assert names(archive, location) == [name for name in chain if name != location]
    assert names(archive, "/other") == []


def test_a_folder_is_followed_as_a_whole_and_what_is_in_it(archive: Archive) -> None:
    inner = archive.tree({"f": File("x"), "g": File("y")})
    archive.add({"old": inner})
    archive.add({"new": inner})
    assert names(archive, "/new") == ["/old"]
    assert names(archive, "/old/f") == ["/new/f"]


def test_what_is_still_there_was_copied_and_what_is_empty_is_nobodys(archive: Archive) -> None:
    archive.add({"a": File("x"), "empty": File("")})
    archive.add({"a": File("x"), "copy": File("x"), "nothing": File("")})
    assert names(archive, "/copy") == []
    assert names(archive, "/nothing") == []


def test_of_several_places_the_one_of_the_same_name_is_taken(archive: Archive) -> None:
    archive.add({"a": File("x"), "d": {"z": File("x")}})
    archive.add({"e": {"z": File("x")}})
    assert names(archive, "/e/z") == ["/d/z"]


def test_hosts_are_followed_apart_and_a_circle_ends(archive: Archive) -> None:
    archive.add({"a": File("x")}, host="one")
    archive.add({"b": File("x")}, host="two")
    archive.add({"c": File("x")}, host="one")
    archive.add({"a": File("x")}, host="one")
    assert names(archive, "/c") == ["/a"]
    assert names(archive, "/b") == []


def store(path: str) -> dict[str, object]:
    thing: object = File("content")
    for name in reversed(path.split("/")):
        thing = {name: thing}
    assert isinstance(thing, dict)
    return thing


@pytest.mark.slow
@given(st.permutations(NAMES))
def test_a_file_that_moves_about_is_found_under_every_name(path: list[str]) -> None:
    archive = Archive()
    try:
        for name in path:
            archive.add(store(name))
        for name in path:
            assert names(archive, f"/{name}") == [f"/{other}" for other in reversed(path) if other != name]
    finally:
        archive.repository.close()
