"""How sources come together as one tree; tests/compat compares the trees with the real restic's."""

import os
from pathlib import Path

import pytest

from pyrestic.errors import UsageError
from pyrestic.localfs.scan import SourceTree, Totals, clean, measure, read_directory, resolve, working_directory


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("w/a/x/1", "w/a/2", "w/b/3", "w/4", "a/5", "w/a-1/6"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path


def leaves(tree: SourceTree, prefix: bytes = b"") -> dict[bytes, tuple[bytes, bool]]:
    """Return where each leaf stands in the snapshot, where it comes from, and whether it was named."""
    found = {}
    for name, child in tree.children.items():
        if child.is_leaf:
            found[prefix + b"/" + name] = (child.path, child.explicit)
        found |= leaves(child, prefix + b"/" + name)
    return found


def test_relative_sources_stand_at_the_top(here: Path) -> None:
    assert leaves(resolve([b"a", b"./b/", b"a"])) == {b"/a": (b"a", True), b"/b": (b"b", True)}


def test_absolute_sources_keep_their_way(here: Path) -> None:
    source = bytes(here / "a")
    tree = resolve([source])
    assert leaves(tree) == {source: (source, True)}
    assert tree.children[source.split(b"/")[1]].path == b"/" + source.split(b"/")[1]


def test_a_folder_without_name_is_replaced_by_its_entries(here: Path) -> None:
    expected = {b"/" + name: (name, False) for name in (b"4", b"a", b"a-1", b"b")}
    assert leaves(resolve([b"."])) == expected
    assert leaves(resolve([b".."])) == {b"/a": (b"../a", False), b"/w": (b"../w", False)}


def test_a_source_inside_another_keeps_the_rest_of_it(here: Path) -> None:
    assert leaves(resolve([b"a", b"a/x"])) == {b"/a/2": (b"a/2", False), b"/a/x": (b"a/x", True)}
    assert leaves(resolve([b"a/x", b"a"])) == {b"/a/2": (b"a/2", False), b"/a/x": (b"a/x", True)}


def test_equal_names_from_different_places_stand_side_by_side(here: Path) -> None:
    assert leaves(resolve([b"a", b"../a"])) == {b"/a": (b"a", True), b"/a-1": (b"../a", True)}


def test_a_source_named_like_a_side_by_side_one_is_kept_too(here: Path) -> None:
    assert leaves(resolve([b"../a", b"a", b"a-1"])) == {
        b"/a": (b"../a", True),
        b"/a-1": (b"a", True),
        b"/a-1-1": (b"a-1", True),
    }


def test_a_folder_to_be_replaced_by_its_entries_has_to_be_readable(here: Path) -> None:
    (here / "w" / "link").symlink_to("missing")
    with pytest.raises(UsageError, match="link"):
        resolve([b"link", b"link/below"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"", b"."), (b"/", b"/"), (b"//", b"/"), (b"//a//b/", b"/a/b"), (b"a/../..", b".."), (b"/..", b"/")],
)
def test_paths_are_cleaned_as_in_go(path: bytes, expected: bytes) -> None:
    assert clean(path) == expected


def test_names_are_sorted_by_their_bytes_and_links_not_followed(tmp_path: Path) -> None:
    for name in (b"b", b"\xff", "é".encode(), b"B", b"a\n"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).touch()
    assert read_directory(bytes(tmp_path)) == [b"B", b"a\n", b"b", "é".encode(), b"\xff"]
    (tmp_path / "link").symlink_to(".")
    with pytest.raises(OSError, match="Not a directory"):
        read_directory(bytes(tmp_path / "link"))


def test_measuring_counts_what_a_backup_will_see(here: Path) -> None:
    (here / "w" / "link").symlink_to("a")
    told: list[Totals] = []
    measure(resolve([b"."]), lambda path: not path.endswith(b"/x"), lambda *_: True, told.append, lambda: False)
    assert told[-1] == Totals(4, 3, len("w/a/2") + len("w/b/3") + len("w/4") + len("w/a-1/6"))


def test_measuring_passes_over_what_vanished_and_stops_on_request(here: Path) -> None:
    tree = resolve([b"a", b"b"])
    (here / "w" / "b" / "3").unlink()
    (here / "w" / "b").rmdir()
    told: list[Totals] = []
    failed: list[tuple[bytes, str, str | None]] = []

    def note(path: bytes, verb: str, error: OSError) -> None:
        failed.append((path, verb, error.strerror))

    measure(tree, lambda _: True, lambda *_: True, told.append, lambda: False, note)
    assert told[-1].files == 2
    assert failed == [(b"b", "lstat", "No such file or directory")]
    measure(tree, lambda _: True, lambda *_: True, told.append, lambda: True)
    assert told[-1] == Totals(0, 0, 0)


def test_the_working_directory_is_the_one_the_shell_shows(here: Path) -> None:
    (here / "link").symlink_to("w")
    assert working_directory({"PWD": str(here / "link")}) == bytes(here / "link")
    for shown in (str(here), "w", "", "/no/such"):
        assert working_directory({"PWD": shown}) == bytes(here / "w")
    assert working_directory({}) == bytes(here / "w")
