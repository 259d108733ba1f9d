"""History beside the real restic: what it says is compared with what restic lists and dumps of each snapshot."""

import hashlib
import json
import os
import stat
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.both_programs import ZONE, Beside
from tests.support.quick_repository import make_quick_repository

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """The repository of this module: a folder of texts that change, come back, move and vanish."""
    folder = tmp_path_factory.mktemp("versions")
    beside = Beside(folder, make_quick_repository(folder / "repository"))
    home = folder / "home"
    (home / "docs").mkdir(parents=True)
    (home / "docs" / "same").write_text("same\n")
    texts = ["one\n", "one\ntwo\n", "one\ntwo\n", "ONE\ntwo\n", "one\ntwo\n", "", "one\ntwo\nthree"]
    for day, text in enumerate(texts, 1):
        path = home / "docs" / "notes.txt"
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)
            moment = 1_700_000_000 + 60 * len(text) + text.startswith("ONE")
            os.utime(path, (moment, moment))
        if day == 3:
            (home / "docs" / "image").write_bytes(b"\0\1\2")
            os.symlink("notes.txt", home / "docs" / "link")
        if day == 4:
            (home / "docs" / "image").write_bytes(b"\0\1\2\3")
            (home / "docs" / "link").unlink()
            os.symlink("elsewhere", home / "docs" / "link")
        if day == 6:
            (home / "papers").mkdir()
            (home / "docs" / "image").rename(home / "papers" / "picture")
        beside.restic("backup", "-q", "--host=h", "--time", f"2024-01-0{day} 12:00:00", home)
    beside.names |= {f"s{day}": one["id"] for day, one in enumerate(beside.restic("snapshots", "--json").json, 1)}
    beside.names |= {"home": str(home), "notes": f"{home}/docs/notes.txt"}
    return beside


@pytest.fixture(scope="module")
def listed(beside: Beside) -> list[tuple[str, dict[str, Any]]]:
    """Of each snapshot, oldest first, its ID and what `ls` lists, by paths."""
    found = []
    for snapshot in beside.restic("snapshots", "--json", "--no-lock").json:
        nodes = beside.restic("ls", "--json", "--no-lock", snapshot["id"]).messages[1:]
        found.append((snapshot["id"], {node["path"]: node for node in nodes}))
    return found


def identity_by_restic(beside: Beside, snapshot: str, nodes: dict[str, Any], location: str) -> str:
    """Return a text that is the same for the same content at a location, "" for nothing."""
    if location not in nodes:
        return ""
    if nodes[location]["type"] == "dir":
        below = [node for path, node in sorted(nodes.items()) if path.startswith(location + "/")]
        return repr([(node["path"], node["type"], node.get("size"), node["mtime"]) for node in below])
    return hashlib.sha256(beside.restic("dump", "--no-lock", snapshot, location).stdout).hexdigest()


def spans(versions: list[dict[str, Any]]) -> list[list[tuple[str, str, int]]]:
    """Return first and last snapshot and count of the spans of each version."""
    return sorted(
        sorted((span["first"]["id"], span["last"]["id"], span["count"]) for span in version["spans"])
        for version in versions
    )


@pytest.mark.parametrize("location", ["docs/notes.txt", "docs/same", "docs/image", "docs", "papers", ""])
def test_versions_are_what_restic_gives_of_each_snapshot(
    beside: Beside, listed: list[tuple[str, dict[str, Any]]], location: str
) -> None:
    path = os.path.normpath(f"{beside.names['home']}/{location}")
    (ours,) = beside.pyrestic("history", "--json", path).json
    expected: dict[str, list[tuple[str, str, int]]] = {}
    absent = []
    seen = [(snapshot, identity_by_restic(beside, snapshot, nodes, path)) for snapshot, nodes in listed]
    for identity, group in groupby(seen, key=lambda each: each[1]):
        snapshots = [snapshot for snapshot, _ in group]
        span = (snapshots[0], snapshots[-1], len(snapshots))
        if identity:
            expected.setdefault(identity, []).append(span)
        else:
            absent.append([span])
    present = [version for version in ours["versions"] if version["state"] == "present"]
    assert spans(present) == sorted(sorted(found) for found in expected.values())
    assert spans([version for version in ours["versions"] if version["state"] == "absent"]) == sorted(absent)
    assert [version["came_back"] for version in present] == [len(version["spans"]) > 1 for version in present]


def test_the_answer_is_the_same_cold_warm_and_without_an_index(beside: Beside) -> None:
    paths = (beside.names["home"], beside.names["notes"])
    cache = beside.folder / "another cache"
    answers: list[Any] = []
    for flags in (["--no-cache"], [], [], ["--no-cache"]):
        assert cache.exists() is bool(answers[1:])
        words = [*flags, "--no-lock", "history", "--json", *paths]
        answers.append(beside.pyrestic(*words, XDG_CACHE_HOME=str(cache)).json)
    assert answers.count(answers[0]) == len(answers)
    (index,) = (cache / "pyrestic" / "history").glob("*.sqlite")
    assert index.stem == beside.restic("cat", "config").json["id"]
    assert stat.S_IMODE(index.stat().st_mode) == 0o600


def test_the_table_tells_each_version_and_absence(beside: Beside) -> None:
    names = beside.names
    lines = beside.pyrestic("history", names["notes"]).out.splitlines()
    assert lines[0] == f"{names['notes']}:"
    assert lines[1].split() == ["#", "Modified", "Size", "Change", *["First", "snapshot", "Last", "snapshot"], "Count"]
    rows = [line.split() for line in lines[3:-3]]
    newest, oldest = names["s7"][:8], names["s1"][:8]
    noon = "12:00:00"
    assert rows[0][0] == "1"
    assert rows[0][3:] == [
        "13",
        "B",
        "+13",
        "B",
        newest,
        "2024-01-07",
        noon,
        newest,
        "2024-01-07",
        noon,
        "1",
        "current",
    ]
    absence = names["s6"][:8]
    assert rows[1] == [absence, "2024-01-06", noon, absence, "2024-01-06", noon, "1", "absent"]
    assert rows[2][-3:] == ["3", "came", "back"]
    assert rows[2][5:9] == [names["s2"][:8], "2024-01-02", noon, names["s5"][:8]]
    assert rows[-1][0] == "4"
    assert rows[-1][-7:] == [oldest, "2024-01-01", noon, oldest, "2024-01-01", noon, "1"]
    assert lines[-2:] == ["Timestamps shown in Europe/Berlin", "4 versions in 7 snapshots"]


def test_filters_choose_the_snapshots(beside: Beside) -> None:
    notes = beside.names["notes"]
    for flags, count in (
        (("--after", "2024-01-03", "--before", "2024-01-04"), 2),
        (("--host", "h", "--path", beside.names["home"]), 7),
        (("--before", "2024-01-01"), 1),
    ):
        assert beside.pyrestic("history", "--json", notes, *flags).json[0]["snapshots"] == count, flags
    for flags in (("--host", "other"), ("--tag", "none")):
        outcome = beside.pyrestic("history", "--json", notes, *flags)
        assert (outcome.code, outcome.json[0]["versions"]) == (1, [])
        assert f"no snapshot contains {notes}" in outcome.err


def test_a_path_is_that_of_this_folder_or_as_it_is_stored(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = beside.names["notes"]
    expected = beside.pyrestic("history", notes).out
    monkeypatch.setattr(beside.ours, "cwd", Path(beside.names["home"]) / "docs")
    for path in ("notes.txt", "./../docs/notes.txt", notes[1:], notes + "/"):
        assert beside.pyrestic("history", path).out == expected, path
    outcome = beside.pyrestic("history", "no-such", "notes.txt")
    assert outcome.code == 1
    assert "no snapshot contains no-such\n" in outcome.err
    assert outcome.out.endswith(expected)


def test_diff_shows_lines_that_changed_between_two_versions(beside: Beside) -> None:
    names = beside.names
    lines = beside.pyrestic("history", "--diff", names["notes"]).out.splitlines()
    assert lines[0].startswith(f"--- {names['notes']} (2023-11-14 ")
    assert lines[0].endswith(f", snapshot {names['s2'][:8]})")
    assert lines[1].endswith(f", snapshot {names['s7'][:8]})")
    assert lines[2:] == ["@@ -1,2 +1,3 @@", " one", " two", "+three", "\\ No newline at end of file"]
    lines = beside.pyrestic("history", "--diff", "--versions", "4,2", names["notes"]).out.splitlines()
    assert lines[3:] == [" one", "+two"]
    image = beside.pyrestic("history", "--diff", f"{names['home']}/docs/image").out
    assert image.startswith("Binary files ")
    link = beside.pyrestic("history", "--diff", f"{names['home']}/docs/link").out.splitlines()
    assert link[3:] == ["-notes.txt", "+elsewhere"]


def test_diff_of_folders_shows_what_restics_diff_shows(beside: Beside) -> None:
    docs = f"{beside.names['home']}/docs"
    theirs = beside.restic("diff", f"{beside.names['s6']}:{docs}", f"{beside.names['s7']}:{docs}", "--metadata").text
    ours = beside.pyrestic("history", "--diff", docs).out.splitlines()
    assert ours[2:] == theirs.split("\n\n")[1].splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no path specified"),
        (["--versions", "1,2", "{notes}"], "--versions needs --diff"),
        (["--diff", "{notes}", "{home}"], "--diff takes one path"),
        (["--diff", "--json", "{notes}"], "--diff and --json are mutually exclusive"),
        (["--diff", "--versions", "5,1", "{notes}"], "there are only 4 versions"),
        (["--diff", "{home}/docs/same"], "there is only one version"),
        (["--diff", "{home}/nothing"], "no snapshot contains"),
        (["--diff", "--versions", "0,1", "{notes}"], "expected two numbers"),
        (["--diff", "--versions", "1", "{notes}"], "expected two numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(beside: Beside, words: list[str], message: str) -> None:
    outcome = beside.pyrestic("--no-lock", "history", *(word.format(**beside.names) for word in words))
    assert outcome.code == 1
    assert message in outcome.err


def test_follow_finds_the_content_under_another_name(beside: Beside) -> None:
    names = beside.names
    old, new = f"{names['home']}/docs/image", f"{names['home']}/papers/picture"
    for path, other, snapshots in ((old, new, ["s6", "s7"]), (new, old, ["s3", "s4", "s5"])):
        (found,) = beside.pyrestic("history", "--follow", "--json", path).json
        (followed,) = found["other_names"]
        assert (found["path"], followed["path"]) == (path, other)
        held = [span for version in followed["versions"] if "size" in version["spans"][0] for span in version["spans"]]
        assert held[0]["last"]["id"] == names[snapshots[-1]]
        assert held[-1]["first"]["id"] == names[snapshots[0]]
        text = beside.pyrestic("history", "--follow", path).out
        assert text.index(f"{new}:") < text.index(f"{old}:")
    whole = beside.pyrestic("history", "--follow", "--diff", "--versions", "3,1", new).out
    assert f"Binary files {old} (" in whole
    assert "other_names" not in beside.pyrestic("history", "--follow", "--json", names["notes"]).json[0]


def test_deleted_entries_are_what_no_newer_snapshot_lists(
    beside: Beside, listed: list[tuple[str, dict[str, Any]]]
) -> None:
    home = beside.names["home"]
    last = {path: (snapshot, node) for snapshot, nodes in listed for path, node in nodes.items()}
    gone = {path: found for path, found in last.items() if path.startswith(home) and path not in listed[-1][1]}
    (found,) = beside.pyrestic("history", "--deleted", "--json", home).json
    assert found["path"] == home
    assert {one["path"]: one["last"]["id"] for one in found["deleted"]} == {path: gone[path][0] for path in gone}
    assert {one["path"]: one["size"] for one in found["deleted"]} == {
        path: node["size"] for path, (_, node) in gone.items()
    }
    assert list(gone) == [f"{home}/docs/image"]
    lines = beside.pyrestic("history", "--deleted", f"{home}/docs", f"{home}/papers").out.splitlines()
    (row,) = [line for line in lines if line.endswith(f"  {home}/docs/image")]
    assert row.split()[2] == beside.names["s5"][:8]
    assert "0 deleted entries" in lines


def test_deleted_tells_what_is_no_folder(beside: Beside) -> None:
    notes = beside.names["notes"]
    outcome = beside.pyrestic("history", "--deleted", notes)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"no snapshot contains a folder {notes}" in outcome.err
    outcome = beside.pyrestic("history", "--deleted", "--diff", notes)
    assert (outcome.code, outcome.out) == (1, "")
    assert "--deleted and --diff are mutually exclusive" in outcome.err


def test_each_version_of_a_file_is_restored_once_with_its_date(beside: Beside, tmp_path: Path) -> None:
    notes = beside.names["notes"]
    target = tmp_path / "target"
    outcome = beside.pyrestic("restore", "--all-versions", notes, "--target", target, "--verify")
    assert outcome.code == 0, outcome.err
    assert f"restoring 4 versions of {notes} in 7 snapshots\n" in outcome.out
    expected = {}
    for version in beside.pyrestic("history", "--json", notes).json[0]["versions"]:
        if version["state"] == "present":
            when = datetime.fromisoformat(version["spans"][0]["mtime"]).astimezone(ZoneInfo(ZONE))
            name = f"notes_{when:%Y-%m-%d_%H.%M.%S}.txt"
            expected[name] = beside.restic("dump", version["spans"][0]["first"]["id"], notes).stdout, when.timestamp()
    found = {path.name: (path.read_bytes(), path.stat().st_mtime) for path in target.iterdir()}
    assert found == expected
    assert len(found) == 4
    again = beside.pyrestic("restore", "--all-versions", notes, "--target", target, "--json")
    assert json.loads(again.out.splitlines()[-1])["files_skipped"] == 4
    one = tmp_path / "one"
    flags = ("--before", "2024-01-01", "--dry-run")
    assert beside.pyrestic("restore", "--all-versions", notes, "--target", one, *flags).code == 0
    assert not one.exists()


def test_each_version_of_a_folder_is_restored_as_restic_restores_it(beside: Beside, tmp_path: Path) -> None:
    docs = f"{beside.names['home']}/docs"
    assert beside.pyrestic("restore", "--all-versions", docs, "--target", tmp_path / "ours").code == 0
    versions = beside.pyrestic("history", "--json", docs).json[0]["versions"]
    restored = sorted(os.listdir(tmp_path / "ours"))
    assert len(restored) == len(versions) == 7
    contents = []
    for version in versions:
        theirs = tmp_path / version["spans"][0]["first"]["id"]
        beside.restic("restore", f"{theirs.name}:{docs}", "--target", theirs)
        contents.append(walk_files(theirs))
    assert sorted(walk_files(tmp_path / "ours" / name) for name in restored) == sorted(contents)


def walk_files(folder: Path) -> list[tuple[str, bytes, int]]:
    return sorted(
        (str(path.relative_to(folder)), path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def test_links_stay_within_a_version(tmp_path: Path) -> None:
    beside = Beside(tmp_path, make_quick_repository(tmp_path / "repository"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"first")
    os.link(folder / "a", folder / "b")
    beside.restic("backup", "-q", folder)
    with (folder / "a").open("wb") as file:
        file.write(b"second")
    beside.restic("backup", "-q", folder)
    for path in (folder, folder / "a"):
        assert beside.pyrestic("restore", "--all-versions", path, "--target", tmp_path / f"all {path.name}").code == 0
    first, second = sorted((tmp_path / "all folder").iterdir())
    assert [(each / "b").read_bytes() for each in (first, second)] == [b"first", b"second"]
    assert (first / "a").samefile(first / "b")
    assert not (first / "a").samefile(second / "a")
    assert sorted(path.read_bytes() for path in (tmp_path / "all a").iterdir()) == [b"first", b"second"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--all-versions takes one path"),
        (["{notes}", "{home}"], "--all-versions takes one path"),
        (["{notes}", "--include", "x"], "--all-versions cannot be combined"),
        (["{notes}", "--delete"], "--all-versions cannot be combined"),
        (["{notes}", "--strip-components", "1"], "--all-versions cannot be combined"),
        (["{home}/nothing"], "no snapshot contains"),
    ],
)
def test_what_makes_no_sense_with_all_versions_is_refused(beside: Beside, words: list[str], message: str) -> None:
    named = [word.format(**beside.names) for word in words]
    outcome = beside.pyrestic("--no-lock", "restore", "--all-versions", "--target", "/nowhere", *named)
    assert outcome.code == 1
    assert message in outcome.err
