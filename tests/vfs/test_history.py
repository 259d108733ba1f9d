"""Histories, compared with what going through every snapshot by hand gives."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.format.gojson import format_time
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType
from pyrestic.ids import hash_id
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import NullReporter
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import Version
from tests.support.archive import DAY, SECOND, Archive, File, Link, Thing


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.repository.close()


def days(versions: Sequence[Version]) -> list[list[tuple[int, int, int]]]:
    """Return for each version its spans: first and last day, and how many snapshots."""
    return [
        [(span.first.snapshot.time_ns // DAY, span.last.snapshot.time_ns // DAY, span.count) for span in version.spans]
        for version in versions
    ]


def test_versions_come_newest_first_with_what_changed_and_when(archive: Archive) -> None:
    for content in ("one", "one", "three", "three and", "three and"):
        archive.add({"home": {"a": File(content, len(content)), "b": File("b")}})
    history = archive.history("/home/a")
    assert days(history.versions) == [[(4, 5, 2)], [(3, 3, 1)], [(1, 2, 2)]]
    assert [version.state.size for version in history.versions] == [9, 5, 3]
    assert [version.change for version in history.versions] == [4, 2, None]
    assert [version.state.mtime_ns for version in history.versions] == [9 * SECOND, 5 * SECOND, 3 * SECOND]
    assert history.absences == ()
    assert (history.snapshots, history.unreadable) == (5, 0)


def test_a_content_that_came_back_is_one_version_and_absences_are_told(archive: Archive) -> None:
    for content in ("", "A", "A", "B", "", "A", "B", ""):
        archive.add({"a": File(content)} if content else {"other": File("x")})
    history = archive.history("/a")
    assert days(history.versions) == [[(7, 7, 1), (4, 4, 1)], [(6, 6, 1), (2, 3, 2)]]
    assert [version.came_back for version in history.versions] == [True, True]
    assert [version.count for version in history.versions] == [2, 3]
    assert history.versions[1].first == archive.snapshots[1]
    assert history.versions[1].last == archive.snapshots[5]
    assert days(history.absences) == [[(8, 8, 1)], [(5, 5, 1)], [(1, 1, 1)]]
    assert [version.node is None for version in history.all] == [True, False, False, True, True]
    assert [span.change for span in history.spans] == [-1, 0, 1, -1, 0, 1, None]


def test_a_new_time_alone_makes_no_version_of_a_file_and_a_type_does(archive: Archive) -> None:
    for thing in (File("A", 1), File("A", 2), Link("A"), Link("B"), {"A": File("A")}):
        archive.add({"a": thing})
    assert days(archive.history("/a").versions) == [[(5, 5, 1)], [(4, 4, 1)], [(3, 3, 1)], [(1, 2, 2)]]


def test_a_folder_changes_with_anything_below_it_but_not_with_its_inodes(archive: Archive) -> None:
    for content, mtime, name in (
        ("x", 1, "f"),
        ("x", 1, "f"),
        ("x", 2, "f"),
        ("y", 2, "f"),
        ("y", 2, "g"),
        ("x", 1, "f"),
    ):
        archive.add({"d": {"deep": {"er": {name: File(content, mtime), "same": File("same")}}}})
    roots = {stored.snapshot.tree for stored in archive.snapshots}
    assert len(roots) == 6
    for location in ("/", "/d", "/d/deep", "/d/deep/er", "d//deep/./er/"):
        history = archive.history(location)
        assert days(history.versions) == [[(6, 6, 1), (1, 2, 2)], [(5, 5, 1)], [(4, 4, 1)], [(3, 3, 1)]]
        assert history.versions[0].state.size == len("x" + "same")
        assert history.versions[1].state.mtime_ns == 2 * SECOND


def test_hosts_and_other_folders_do_not_disturb_one_another(archive: Archive) -> None:
    archive.add({"home": {"a": File("A")}}, host="one", paths=["/home"])
    archive.add({"home": {"a": File("B")}}, host="two", paths=["/home/"])
    archive.add({"etc": {}}, host="one", paths=["/etc"])
    archive.add({"home": {"a": File("A")}}, host="one", paths=["/home/a", "/etc"])
    archive.add({"home": {}}, host="three", paths=["/home"])
    archive.add({"home": {}}, host="one", paths=["/home"])
    archive.add({"a": File("A")}, host="one", paths=["/somewhere"])
    history = archive.history("/home/a")
    assert days(history.versions) == [[(1, 4, 2)], [(2, 2, 1)]]
    assert [version.came_back for version in history.versions] == [False, False]
    assert days(history.absences) == [[(6, 6, 1)]]
    assert history.snapshots == 4
    assert days(archive.history("/a").versions) == [[(7, 7, 1)]]


def test_what_never_was_has_no_history(archive: Archive) -> None:
    archive.add({"a": File("A")})
    for location in ("/b", "/a/b", "/b/c"):
        history = archive.history(location)
        assert (history.versions, history.absences, history.all, history.snapshots) == ((), (), [], 0)


def test_names_of_any_kind_are_found(archive: Archive) -> None:
    for name in ("ä€", 'a "quoted" \\ name', "line\nbreak", " "):
        archive.add({name: {"x": File("A")}})
        assert archive.history(f"/{name}/x").versions[0].count == 1


def test_a_damaged_tree_hides_its_snapshots_alone_and_is_told_of(archive: Archive) -> None:
    archive.add({"d": {"a": File("A")}})
    broken = archive.repository.saver.save(BlobType.TREE, b"no tree").id
    lost = hash_id(b"never stored")
    for tree in (broken, lost):
        snapshot = Snapshot(time=format_time(3 * DAY, 0), tree=tree.hex(), paths=["/"], hostname="h", username="u")
        archive.snapshots.append(StoredSnapshot(tree, snapshot))
    archive.add({"d": {"a": File("A")}})
    for location in ("/d/a", "/d", "/"):
        report = NullReporter()
        history = archive.history(location, report=report)
        assert days(history.versions) == [[(1, 2, 2)]]
        assert history.unreadable == 2
        assert {item for item, _ in report.errors} == {f"tree {tree.hex()}" for tree in (broken, lost)}


def test_what_no_backup_writes_is_passed_over_or_taken_as_it_is(archive: Archive, tmp_path: Path) -> None:
    huge = (1 << 63) - 1
    files = [
        Node(name=name, type=FILE, mtime="9999-12-31T23:59:59Z", size=huge, content=["ab" * 32]) for name in ("a", "b")
    ]
    strange = [
        [Node(name="d", type=DIRECTORY, mtime="soon")],
        [*files, Node(name="c", type="", mtime="soon"), Node(name="d", type=SYMLINK, linktarget_raw=b"\xff")],
        [],
    ]
    for nodes in strange:
        tree = archive.repository.saver.save(BlobType.TREE, encode_tree(nodes)).id
        time = format_time((len(archive.snapshots) + 1) * DAY, 0)
        snapshot = Snapshot(time=time, tree=tree.hex(), paths=["/"], hostname="h", username="u")
        archive.snapshots.append(StoredSnapshot(tree, snapshot))
    index = HistoryIndex(str(tmp_path / "index"))
    for used in (None, index, index):
        report = NullReporter()
        root = archive.history("/", used, report)
        assert (days(root.versions), root.unreadable) == ([[(3, 3, 1)], [(2, 2, 1)]], 1)
        assert "has no tree" in str(report.errors[0][1])
        assert [version.state.size for version in root.versions] == [0, huge]
        assert days(archive.history("/d", used).versions) == [[(2, 2, 1)], [(1, 1, 1)]]
        assert days(archive.history("/c", used).versions) == [[(2, 2, 1)]]
    index.close()


def test_with_the_index_nothing_is_loaded_twice_and_without_the_answer_is_the_same(
    archive: Archive, tmp_path: Path
) -> None:
    for number in range(40):
        archive.add({"d": {"a": File("A" * (number // 2)), "b": {"c": File(str(number))}}})
    path = str(tmp_path / "index")
    for location in ("/d/a", "/d", "/d/b/c", "/d/none"):
        plain = archive.history(location)
        # All trees of a level lie side by side in one pack.
        assert archive.backend.loads <= 3
        for loads in (True, False):
            index = HistoryIndex(path)
            assert archive.history(location, index) == plain
            assert loads or archive.backend.loads == 0
            index.close()


things = st.recursive(
    st.builds(File, st.sampled_from(["", "x", "xy"]), st.integers(1, 2)) | st.builds(Link, st.sampled_from("xy")),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
roots = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("ab"), things, max_size=2), st.sampled_from("ij")), max_size=8
)


def look(root: dict[str, Any], location: str) -> Thing | None:
    thing: Thing | None = root
    for name in location.split("/")[1:]:
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing


def plain_identity(thing: Thing | None, *, whole: bool) -> str:
    """Return a text that is the same for equal versions; times count below a folder alone."""
    if thing is None:
        return ""
    if isinstance(thing, dict):
        return repr({name: plain_identity(below, whole=True) for name, below in sorted(thing.items())})
    return (
        repr(thing) if whole else repr((type(thing), getattr(thing, "content", None), getattr(thing, "target", None)))
    )


@given(roots, st.sampled_from(["/a", "/a/b", "/a/b/a"]))
def test_any_history_is_what_looking_at_each_snapshot_gives(
    states: list[tuple[dict[str, Any], str]], location: str
) -> None:
    archive = Archive()
    try:
        for root, host in states:
            archive.add(root, host=host)
        history = archive.history(location)
    finally:
        archive.repository.close()
    expected: dict[str, list[tuple[int, int, int]]] = {}
    for host in "ij":
        line = [
            (day, plain_identity(look(root, location), whole=False))
            for day, (root, of) in enumerate(states, 1)
            if of == host
        ]
        if any(identity for _, identity in line):
            for identity, group in groupby(line, key=lambda each: each[1]):
                of_span = [day for day, _ in group]
                expected.setdefault(identity, []).append((of_span[0], of_span[-1], len(of_span)))
    absences = sorted(expected.pop("", []))
    assert sorted(sorted(spans) for spans in days(history.versions)) == sorted(map(sorted, expected.values()))
    assert sorted(span for spans in days(history.absences) for span in spans) == absences
    lasts = [version.last.snapshot.time_ns for version in history.all]
    assert lasts == sorted(lasts, reverse=True)
