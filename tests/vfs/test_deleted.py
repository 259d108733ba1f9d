"""What folders no longer hold, compared with what going through every snapshot by hand gives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.ids import hash_id
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import NullReporter
from pyrestic.vfs.deleted import Deleted, DeletedEntries, find_deleted
from tests.support.archive import DAY, SECOND, Archive, File, Thing


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.repository.close()


def deleted(archive: Archive, folder: str = "/", index: HistoryIndex | None = None) -> DeletedEntries:
    return find_deleted(archive.reopened(), archive.snapshots, folder.encode(), index, NullReporter())


def shown(entries: list[Deleted]) -> list[tuple[str, int]]:
    """Return each location with the day on which it was seen last."""
    return [(entry.location.decode(), entry.last.snapshot.time_ns // DAY) for entry in entries]


def test_what_is_gone_is_listed_with_the_last_snapshot_that_has_it(archive: Archive) -> None:
    archive.add({"home": {"a": File("one"), "b": File("12345", 7), "d": {"x": File("x"), "y": File("yy")}}})
    archive.add({"home": {"a": File("two"), "b": File("12345", 8), "d": {"x": File("x")}}})
    archive.add({"home": {"a": File("two"), "d": {"x": File("x")}}})
    archive.add({"home": {"a": File("two")}})
    found = deleted(archive, "/home")
    assert shown(found.entries) == [("/home/b", 2), ("/home/d", 3), ("/home/d/y", 1)]
    assert [(one.type, one.size, one.files, one.mtime_ns) for one in found.entries] == [
        ("file", 5, 0, 8 * SECOND),
        ("dir", 1, 1, SECOND),
        ("file", 2, 0, SECOND),
    ]
    assert (found.unreadable, found.known) == (0, True)
    assert shown(deleted(archive, "/home/d").entries) == [("/home/d/x", 3), ("/home/d/y", 1)]


def test_what_came_back_is_not_gone_even_below_a_folder_that_was(archive: Archive) -> None:
    archive.add({"a": File("A"), "d": {"x": File("x"), "y": File("y"), "z": File("z")}})
    archive.add({"d": {"x": File("x"), "z": File("z")}})
    archive.add({"b": File("B")})
    archive.add({"a": File("other"), "d": {"y": File("y"), "z": File("z")}})
    assert shown(deleted(archive).entries) == [("/b", 3), ("/d/x", 2)]


def test_what_came_back_and_went_with_its_folder_is_part_of_that_folder(archive: Archive) -> None:
    archive.add({"c": {"a": File("x")}})
    archive.add({"c": {}})
    archive.add({"c": {"a": File("x")}})
    archive.add({"other": File("o")})
    assert shown(deleted(archive).entries) == [("/c", 3)]


def test_a_folder_that_became_a_file_is_gone_as_a_folder(archive: Archive) -> None:
    archive.add({"a": {"x": File("x")}, "b": File("b")})
    archive.add({"a": File("a"), "b": {"y": File("y")}})
    assert [(entry.location, entry.type) for entry in deleted(archive).entries] == [(b"/a", "dir"), (b"/b", "file")]


def test_hosts_and_sources_do_not_interfere(archive: Archive) -> None:
    archive.add({"home": {"a": File("a"), "b": File("b")}}, host="one", paths=["/home"])
    archive.add({"home": {"b": File("b")}}, host="two", paths=["/home"])
    archive.add({"srv": {"c": File("c")}}, host="one", paths=["/srv"])
    assert deleted(archive, "/home").entries == []
    archive.add({"home": {"b": File("b")}}, host="one", paths=["/home"])
    assert [(entry.location, entry.line.host) for entry in deleted(archive, "/home").entries] == [(b"/home/a", "one")]


def test_what_a_newer_snapshot_of_other_sources_has_is_not_gone(archive: Archive) -> None:
    archive.add({"home": {"doc": {"one": File("1"), "two": File("2")}}}, paths=["/home/doc"])
    archive.add({"home": {"doc": {"one": File("1")}}}, paths=["/home/doc"])
    assert shown(deleted(archive, "/home").entries) == [("/home/doc/two", 1)]
    archive.add({"home": {"doc": {"one": File("1"), "two": File("2")}}}, paths=["/home"])
    assert deleted(archive, "/home").entries == []


def test_a_folder_that_never_was_is_told_apart_from_one_without_losses(archive: Archive) -> None:
    archive.add({"a": {"x": File("x")}})
    assert deleted(archive, "/a") == DeletedEntries([], 0, known=True)
    assert deleted(archive, "/b") == DeletedEntries([], 0, known=False)
    assert deleted(archive, "/a/x") == DeletedEntries([], 0, known=False)


def test_the_index_answers_without_a_request(archive: Archive, tmp_path: Path) -> None:
    for number in range(6):
        archive.add({"home": {"d": {str(each): File("x") for each in range(number, 6)}, "same": File("s")}})
    index = HistoryIndex(str(tmp_path / "index"))
    first = deleted(archive, "/home", index)
    assert archive.backend.loads > 0
    assert shown(first.entries) == [(f"/home/d/{number}", number + 1) for number in range(5)]
    assert deleted(archive, "/home", index) == first
    assert archive.backend.loads == 0
    index.close()


def test_a_damaged_tree_is_counted_and_the_rest_is_found(archive: Archive) -> None:
    archive.add({"a": File("a"), "d": {"x": File("x")}})
    missing = hash_id(b"a tree that nobody stored")
    archive.add({"a": File("a"), "d": missing})
    archive.add({"d": {"y": File("y")}})
    found = deleted(archive)
    assert shown(found.entries) == [("/a", 2)]
    assert found.unreadable == 2


NAMES = st.sampled_from("abc")
THINGS: st.SearchStrategy[Thing] = st.recursive(
    st.sampled_from([File("x"), File("yy")]), lambda below: st.dictionaries(NAMES, below, max_size=3), max_leaves=6
)


def by_hand(roots: list[dict[str, Any]]) -> dict[tuple[str, bool], int]:
    """Return every location and whether it is a folder, with the last day that has it, if the last root lacks it."""
    last: dict[tuple[str, bool], int] = {}

    def look(folder: dict[str, Any], location: str, day: int) -> None:
        for name, thing in folder.items():
            last[f"{location}/{name}", isinstance(thing, dict)] = day
            if isinstance(thing, dict):
                look(thing, f"{location}/{name}", day)

    for day, root in enumerate(roots, 1):
        look(root, "", day)
    return {key: day for key, day in last.items() if day < len(roots)}


@given(st.lists(st.dictionaries(NAMES, THINGS, max_size=3), min_size=1, max_size=6))
def test_any_history_gives_what_a_look_at_every_snapshot_gives(roots: list[dict[str, Any]]) -> None:
    archive = Archive()
    for root in roots:
        archive.add(root)
    found = {
        (entry.location.decode(), entry.tree is not None): entry.last.snapshot.time_ns // DAY
        for entry in deleted(archive).entries
    }
    archive.repository.close()
    expected = by_hand(roots)
    # What was last seen together with a folder that is gone is not listed beside it.
    in_gone = {
        (place, is_folder)
        for place, is_folder in expected
        if any(
            other_is_folder and place.startswith(f"{other}/") and expected[place, is_folder] == day
            for (other, other_is_folder), day in expected.items()
        )
    }
    assert found == {key: day for key, day in expected.items() if key not in in_gone}
