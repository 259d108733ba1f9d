"""find, diff, stats and tag, on snapshots that our own backup makes."""

import json
import os
from pathlib import Path

import pytest

from tests.support.cli import Caller


def fill(folder: Path) -> Caller:
    """Make a repository with two snapshots of a small folder, the second with a file more and one changed."""
    made = Caller(folder)
    made.create()
    source = made.folder / "source"
    (source / "dir" / "sub").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"hello\n")
    (source / "dir" / "b.md").write_bytes(b"x" * 2000)
    (source / "dir" / "sub" / "c.txt").write_bytes(b"c")
    os.utime(source / "a.txt", (1_600_000_000, 1_600_000_000))
    made.cwd = source
    assert made("backup", ".", "-q", "--time", "2024-01-01 00:00:00", "--tag", "first").code == 0
    (source / "new").write_bytes(b"12345")
    (source / "dir" / "b.md").write_bytes(b"y" * 3000)
    assert made("backup", ".", "-q", "--time", "2024-02-01 00:00:00").code == 0
    return made


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository that no test changes."""
    return fill(tmp_path_factory.mktemp("filled"))


def snapshots(call: Caller) -> list[str]:
    """Return the IDs, oldest first."""
    return [one["id"] for one in call("snapshots", "--json").json]


def test_find_tells_the_newest_snapshot_first(filled: Caller) -> None:
    first, second = snapshots(filled)
    assert filled("find", "a.txt").out == (
        f"Found matching entries in snapshot {second[:8]} from 2024-02-01 00:00:00\n/a.txt\n\n"
        f"Found matching entries in snapshot {first[:8]} from 2024-01-01 00:00:00\n/a.txt\n"
    )
    found = filled("find", "--json", "--reverse", "*.txt").json
    assert [(one["snapshot"], one["hits"]) for one in found] == [(first, 2), (second, 2)]
    assert found[0]["matches"][0]["path"] == "/a.txt"
    assert "name" not in found[0]["matches"][0]
    assert filled("find", "-q", "new", "-s", first).out == ""


def test_find_heeds_times(filled: Caller) -> None:
    (second, _) = filled("find", "--json", "-N", "2020-09-13 12:26:40", "*").json
    assert [match["path"] for match in second["matches"]] == ["/a.txt"]
    assert filled("find", "--json", "-O", "2020-09-13 12:26:41", "a.txt").json == []


def test_find_tells_what_a_tree_and_a_pack_belong_to(filled: Caller) -> None:
    (first, second) = filled("snapshots", "--json").json
    roots = filled("find", "--json", "--tree", first["tree"], second["tree"][:8]).json
    assert {(one["snapshot"], one["path"]) for one in roots} == {(first["id"], "/"), (second["id"], "/")}
    shown = filled("find", "--tree", first["tree"], "--show-pack-id").out.splitlines()
    assert shown[0] == f"Found tree {first['tree']}"
    pack = shown[-2].removeprefix("Object belongs to pack ")
    assert shown[-1].startswith(f" ... Pack {pack[:8]}: <Blob (tree) {first['tree'][:8]}, offset ")
    assert first["tree"] in [one["id"] for one in filled("find", "--json", "--pack", pack).json]


def test_diff_tells_changes_then_sums(filled: Caller) -> None:
    first, second = snapshots(filled)
    lines = filled("diff", first, second).out.splitlines()
    assert lines[:4] == [f"comparing snapshot {first[:8]} to {second[:8]}:", "", "M    /dir/b.md", "+    /new"]
    assert lines[5] == "Files:           1 new,     0 removed,     1 changed"
    *changes, sums = map(json.loads, filled("diff", "--json", f"{second}:dir", f"{first}:/dir").out.splitlines())
    assert changes == [{"message_type": "change", "path": "/b.md", "modifier": "M"}]
    assert sums["message_type"] == "statistics"
    assert sums["source_snapshot"] == f"{second}:dir"
    assert sums["added"]["data_blobs"] == sums["removed"]["data_blobs"] == 1
    assert filled("diff", "latest~1", "latest").out.splitlines() == lines


def test_stats_counts_in_four_ways(filled: Caller) -> None:
    assert filled("stats", "--json").json == {
        "total_size": 6 + 2000 + 1 + 6 + 3000 + 1 + 5,
        "total_file_count": 5 + 6,
        "snapshots_count": 2,
    }
    contents = filled("stats", "--json", "--mode", "files-by-contents").json
    assert contents == {"total_size": 6 + 2000 + 1 + 3000 + 5, "total_file_count": 6, "snapshots_count": 2}
    blobs = filled("stats", "--json", "--mode=blobs-per-file", "latest").json
    assert blobs == {
        "total_size": 6 + 3000 + 1 + 5,
        "total_file_count": 4,
        "total_blob_count": 4,
        "snapshots_count": 1,
    }
    raw = filled("stats", "--json", "--mode", "raw-data").json
    assert raw["total_blob_count"] == 5 + 5
    assert raw["total_size"] < raw["total_uncompressed_size"]
    assert raw["compression_ratio"] > 1
    assert "Stats in raw-data mode:\n" in filled("stats", "--mode", "raw-data").out
    assert filled("stats", "--mode", "other").code == 1


def test_tag_gives_a_snapshot_a_new_id_and_keeps_the_first_one(tmp_path: Path) -> None:
    filled = fill(tmp_path)
    first, second = snapshots(filled)
    changed, summary = map(json.loads, filled("tag", "--json", "--add", "x", "--tag", "first").out.splitlines())
    assert changed["old_snapshot_id"] == first
    assert summary == {"message_type": "summary", "changed_snapshots": 1}
    assert snapshots(filled) == [changed["new_snapshot_id"], second]
    stored = filled("cat", "snapshot", changed["new_snapshot_id"]).json
    assert (stored["tags"], stored["original"]) == (["first", "x"], first)
    text = "create exclusive lock for repository\n"
    assert filled("tag", "--set", "", second).out == text + "no snapshots were modified\n"
    assert filled("tag", "--set", "a,b").out == text + "modified 2 snapshots\n"
    assert filled("check").code == 0
