"""Which dates, machines and paths are recognized in the folders of other backup programs."""

import os
from pathlib import Path

import pytest

from pyrestic.errors import UsageError
from pyrestic.localfs.dated_trees import DatedTree, find_dated_trees
from pyrestic.localfs.scan import SourceTree

SECOND = 10**9


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch, zone_again: None) -> None:
    monkeypatch.setenv("TZ", "UTC")


def make(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def find(folder: Path, *paths: str, layout: str = "") -> list[DatedTree]:
    return find_dated_trees(os.fsencode(folder), layout, [os.fsencode(path) for path in paths])


def shown(tree: DatedTree) -> list[tuple[float, list[str]]]:
    return [(date.time_ns / SECOND, [os.fsdecode(path) for path in date.paths]) for date in tree.dates]


def leaves(tree: SourceTree, location: str = "") -> dict[str, str]:
    """Where the files of each source are."""
    found = {location or "/": os.fsdecode(tree.path)} if tree.is_leaf else {}
    for name, child in tree.children.items():
        found |= leaves(child, f"{location}/{os.fsdecode(name)}")
    return found


def make_back_in_time(profile: Path, date: str, includes: dict[str, int], *files: str, host: str = "laptop") -> Path:
    folder = profile / date
    make(folder / "backup", *files)
    (folder / "info").write_text(f"snapshot_date={date[:15]}\nsnapshot_machine={host}\nsnapshot_profile_id=1\n")
    lines = [f"profile1.snapshots.include.{number}.value={path}" for number, path in enumerate(includes, 1)]
    (folder / "config").write_text("\n".join([*lines, "profile2.snapshots.include.1.value=/other"]))
    return folder


@pytest.mark.parametrize(
    "given", ["", "backintime", "backintime/laptop", "backintime/laptop/me", "backintime/laptop/me/1"]
)
def test_back_in_time_is_found_from_the_disk_down_to_the_profile(tmp_path: Path, given: str) -> None:
    profile = tmp_path / "backintime" / "laptop" / "me" / "1"
    folder = make_back_in_time(profile, "20260301-143000-123", {"/home/me": 0, "/gone": 0}, "home/me/notes", "etc/x")
    make_back_in_time(profile, "20260228-090000", {"/home/me": 0}, "home/me/notes")
    make(profile / "new_snapshot" / "backup", "home/me/partial")
    (profile / "last_snapshot").symlink_to("20260301-143000-123")
    (tree,) = find(tmp_path / given)
    assert tree.host == "laptop"
    assert shown(tree) == [(1772269200.0, ["/home/me"]), (1772375400.0, ["/home/me"])]
    assert leaves(tree.dates[1].find_sources()) == {"/home/me": f"{folder}/backup/home/me"}


def test_profiles_and_machines_of_back_in_time_are_trees_of_their_own(tmp_path: Path) -> None:
    for machine in ("one", "two"):
        make_back_in_time(
            tmp_path / "backintime" / machine / "me" / "1", "20260301-143000-123", {"/etc": 0}, "etc/x", host=machine
        )
    assert [tree.host for tree in find(tmp_path)] == ["one", "two"]


def test_paths_of_back_in_time_without_its_settings_are_those_with_files(tmp_path: Path) -> None:
    folder = make_back_in_time(tmp_path, "20260301-143000-123", {}, "home/me/a", "home/me/b", "etc/x")
    (folder / "config").unlink()
    (tree,) = find(tmp_path)
    assert shown(tree)[0][1] == ["/etc", "/home/me"]
    assert shown(find(tmp_path, "/home/me/a", "/none")[0])[0][1] == ["/home/me/a"]


def test_everything_of_a_machine_is_found_where_it_was_copied(tmp_path: Path) -> None:
    """Back In Time can include the root; the root of this machine is not asked."""
    folder = make_back_in_time(tmp_path, "20260301-143000-123", {"/": 0}, "only-there/x")
    (tree,) = find(tmp_path)
    assert leaves(tree.dates[0].find_sources()) == {"/only-there": f"{folder}/backup/only-there"}


def test_a_source_inside_another_is_found_once(tmp_path: Path) -> None:
    folder = make_back_in_time(
        tmp_path, "20260301-143000-123", {"/home/me": 0, "/home/me/a": 0}, "home/me/a/x", "home/me/b"
    )
    (tree,) = find(tmp_path)
    assert leaves(tree.dates[0].find_sources()) == {
        "/home/me/a": f"{folder}/backup/home/me/a",
        "/home/me/b": f"{folder}/backup/home/me/b",
    }


def test_a_link_in_a_copy_does_not_lead_to_the_files_of_today(tmp_path: Path) -> None:
    make(tmp_path, "today/me/notes")
    copies = tmp_path / "copies"
    folder = make_back_in_time(copies, "20260301-143000-123", {"/home/me": 0, "/etc": 0, "/../../today/me": 0}, "etc/x")
    (folder / "backup" / "home").symlink_to(tmp_path / "today")
    (tree,) = find(copies)
    assert shown(tree)[0][1] == ["/etc"]


def make_rotated(root: Path, **times: int) -> None:
    for name, seconds in times.items():
        folder = root / name.replace("_", ".")
        make(folder, "localhost/home/me/notes", "localhost/home/me/more", "server/etc/x", "server/usr/local/y")
        os.utime(folder, (seconds, seconds))


def test_rotated_folders_have_the_time_of_the_folder_and_a_tree_for_each_machine(tmp_path: Path) -> None:
    make_rotated(tmp_path, hourly_0=3000, hourly_1=2000, daily_0=1000)
    make(tmp_path / ".sync", "localhost/home/me/notes")
    here, server = find(tmp_path)
    assert (here.host, server.host) == ("", "server")
    assert shown(here) == [(1000.0, ["/home/me"]), (2000.0, ["/home/me"]), (3000.0, ["/home/me"])]
    assert shown(server)[0] == (1000.0, ["/etc", "/usr/local"])
    assert leaves(server.dates[0].find_sources()) == {
        "/etc": f"{tmp_path}/daily.0/server/etc",
        "/usr/local": f"{tmp_path}/daily.0/server/usr/local",
    }
    assert shown(find(tmp_path, "/home")[0])[0][1] == ["/home"]


def test_a_date_in_a_name_is_the_time(tmp_path: Path) -> None:
    names = {
        "2026-03-01": 1772323200,
        "20260302": 1772409600,
        "home-2026-03-03_14-30": 1772548200,
        "2026-03-04T14:30:05": 1772634605,
        "2026-03-05-143005.backup": 1772721005,
        "20260306-143005": 1772807405,
        "2026-03-07T143005Z": 1772893805,
    }
    for name in (*names, "notes", "2026", "2026-13-01", "2026-02-30", "120260301"):
        make(tmp_path, f"{name}/file")
    (tmp_path / "latest-2026-03-09").symlink_to("2026-03-01")
    make(tmp_path, "2026-03-08")
    (tree,) = find(tmp_path, "/home/me")
    assert [(date.folder.decode().rpartition("/")[2], date.time_ns // SECOND) for date in tree.dates] == list(
        names.items()
    )


def test_a_dated_folder_has_the_files_of_a_path_or_complete_paths_or_those_of_machines(tmp_path: Path) -> None:
    make(tmp_path / "content", "2026-03-01/notes")
    (tree,) = find(tmp_path / "content", "/home/me")
    assert leaves(tree.dates[0].find_sources()) == {"/home/me": f"{tmp_path}/content/2026-03-01"}
    make(tmp_path / "whole", "2026-03-01/home/me/notes", "2026-03-01/etc/x")
    (tree,) = find(tmp_path / "whole")
    assert shown(tree)[0][1] == ["/etc", "/home/me"]
    (tree,) = find(tmp_path / "whole", "/home", "/etc")
    assert leaves(tree.dates[0].find_sources())["/home"] == f"{tmp_path}/whole/2026-03-01/home"
    make(tmp_path / "machines", "2026-03-01/box/home/me/notes", "2026-03-01/other/x")
    assert [tree.host for tree in find(tmp_path / "machines", "/home/me")] == ["box"]


def test_the_folders_above_a_path_that_is_elsewhere_have_metadata_from_somewhere(tmp_path: Path) -> None:
    make(tmp_path, "copies/2026-03-01/notes", "there/x")
    (tree,) = find(tmp_path / "copies", f"{tmp_path}/there/gone/me")
    node, paths = tree.dates[0].find_sources(), []
    while node.children:
        (node,) = node.children.values()
        paths.append(os.fsdecode(node.path))
    date = f"{tmp_path}/copies/2026-03-01"
    assert paths[-3:] == [f"{tmp_path}/there", date, date]


@pytest.mark.parametrize(
    ("files", "paths", "complaint"),
    [
        ([], [], "no dated backups"),
        (["notes/x"], ["/home/me"], "no dated backups"),
        (["2026-03-01/notes"], [], "does not show which folder it is a backup of"),
        (["hourly.0/Documents/notes"], [], "does not show which folder it is a backup of"),
        (["2026-03-01/notes"], ["/home/me", "/etc"], "has none of these paths"),
        (["2026-03-01/notes", "20260301/notes"], ["/home/me"], "have the same time"),
    ],
)
def test_what_is_not_known_is_an_error(tmp_path: Path, files: list[str], paths: list[str], complaint: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(UsageError, match=complaint):
        find(tmp_path, *paths)


def test_a_layout_that_is_named_is_the_only_one_looked_for(tmp_path: Path) -> None:
    make(tmp_path, "hourly.0/localhost/etc/x", "2026-03-01/etc/x")
    assert find(tmp_path, "/etc", layout="dated")[0].dates[0].folder.endswith(b"2026-03-01")
    assert find(tmp_path, "/etc", layout="rsnapshot")[0].dates[0].folder.endswith(b"hourly.0")
    with pytest.raises(UsageError, match="no dated backups"):
        find(tmp_path, "/etc", layout="backintime")


def test_a_date_whose_root_is_a_link_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "today", "home/me/secret")
    copies = tmp_path / "copies"
    make(copies, "2026-03-02/laptop/home/me/notes")
    (copies / "2026-03-01").mkdir()
    (copies / "2026-03-01" / "laptop").symlink_to(tmp_path / "today")
    (tree,) = find(copies)
    assert [os.fsdecode(date.folder) for date in tree.dates] == [f"{copies}/2026-03-02"]
    date = tmp_path / "profile" / "20260301-143000-123"
    date.mkdir(parents=True)
    (date / "backup").symlink_to(tmp_path / "today")
    with pytest.raises(UsageError, match="contains no dated backups"):
        find(tmp_path / "profile", "/home/me", layout="backintime")


def test_settings_that_are_a_pipe_or_a_link_are_not_read(tmp_path: Path) -> None:
    folder = make_back_in_time(tmp_path, "20260301-143000-123", {}, "home/me/notes", "home/you/notes")
    for name in ("info", "config"):
        (folder / name).unlink()
    os.mkfifo(folder / "info")
    (tmp_path / "elsewhere").write_text("profile1.snapshots.include.1.value=/home/me\n")
    (folder / "config").symlink_to(tmp_path / "elsewhere")
    (tree,) = find(tmp_path)
    assert (tree.host, [os.fsdecode(path) for path in tree.dates[0].paths]) == ("", ["/home"])


def test_a_name_that_is_not_utf_8_is_the_one_that_the_snapshot_gets(tmp_path: Path) -> None:
    os.makedirs(os.fsencode(tmp_path) + b"/copies/2026-03-01/m\xff/home/me")
    assert [tree.host for tree in find(tmp_path / "copies")] == ["m\ufffd"]
    folder = make_back_in_time(tmp_path / "profile", "20260301-143000-123", {}, "home/me/notes")
    (folder / "info").write_bytes(b"snapshot_machine=m\xff\n")
    assert [tree.host for tree in find(tmp_path / "profile")] == ["m\ufffd"]


def test_dates_that_no_snapshot_can_have_are_ignored(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}/home/me/notes" for name in ("0001-01-01", "1960-01-01", "2026-13-01", "2026-03-01")))
    (tree,) = find(tmp_path)
    assert [os.path.basename(date.folder) for date in tree.dates] == [b"2026-03-01"]
