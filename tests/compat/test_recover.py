"""Recover beside the real restic: the same roots in the same words, and a snapshot that both can read."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.both_programs import Beside, make_beside, parse_json
from tests.support.compared_repositories import Twins, blobs_of, files_of, snapshots_of

pytestmark = pytest.mark.restic


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """A repository with five snapshots."""
    return make_beside(tmp_path_factory.mktemp("recover"))


@pytest.fixture(scope="module")
def forgotten(beside: Beside) -> dict[int, Beside]:
    """The repository without its third snapshot, and without the second, too."""
    made = {}
    for count in (1, 2):
        made[count] = beside.copy(f"without {count}")
        for number in (3, 2)[:count]:
            (made[count].repository / "snapshots" / beside.names[f"s{number}"]).unlink()
    return made


def without_chance(snapshots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return snapshots without what is of the moment: a recovered one has the time, and its folders have it too."""
    return [
        {name: value for name, value in snapshot.items() if name not in ("time", "tree") or "tags" not in snapshot}
        if snapshot.get("tags") == ["recovered"]
        else snapshot
        for snapshot in snapshots
    ]


@pytest.mark.parametrize("line", ["recover -v", "recover -q", "recover any words"])
def test_a_forgotten_snapshot_is_found_alike(forgotten: dict[int, Beside], tmp_path: Path, line: str) -> None:
    twins = Twins(forgotten[1], tmp_path)
    theirs, ours = twins.run(line)
    assert ours.code == theirs.code == 0
    assert ours.lines == theirs.lines
    assert ours.errors == theirs.errors
    assert without_chance(ours.snapshots) == without_chance(theirs.snapshots)
    assert (len(ours.blobs), ours.files) == (len(theirs.blobs), theirs.files)
    if line == "recover -v":
        twins.check()
        assert len(ours.snapshots) == 5
        short = twins.beside.names["t3"][:8]
        listed = twins.beside.theirs.run("ls", "latest", "--path", "/recover", repository=twins.ours).text
        assert f"\n/{short}\n" in listed


def test_without_an_index_it_is_made_first(forgotten: dict[int, Beside], tmp_path: Path) -> None:
    twins = Twins(forgotten[1], tmp_path)
    for repository in (twins.theirs, twins.ours):
        shutil.rmtree(repository / "index")
        (repository / "index").mkdir()
    theirs, ours = twins.run("recover")
    assert (ours.code, ours.lines, ours.errors) == (theirs.code, theirs.lines, theirs.errors)
    assert without_chance(ours.snapshots) == without_chance(theirs.snapshots)


def test_where_nothing_is_lost_nothing_is_stored(beside: Beside, tmp_path: Path) -> None:
    twins = Twins(beside, tmp_path)
    theirs, ours = twins.run("recover", ordered=True)
    assert (ours.code, ours.lines, ours.errors) == (theirs.code, theirs.lines, theirs.errors)
    assert "found 0 unreferenced roots" in ours.lines
    assert ours.snapshots == snapshots_of(beside.repository)
    assert ours.blobs == blobs_of(beside.repository)


def test_several_roots_become_several_folders(forgotten: dict[int, Beside], tmp_path: Path) -> None:
    """Restic 0.19.1 fails here whenever chance does not give it the roots in order."""
    twins = Twins(forgotten[2], tmp_path)
    names = twins.beside.names
    outcome = twins.beside.ours("recover", "--json", "--repo", twins.ours, RESTIC_REPOSITORY=None)
    (summary,) = parse_json(outcome.out)
    assert summary["roots"] == sorted([names["t2"], names["t3"]])
    twins.check()
    tree = twins.beside.theirs.run("cat", "tree", summary["snapshot_id"], repository=twins.ours).json
    assert [(node["name"], node["subtree"]) for node in tree["nodes"]] == [
        (root[:8], root) for root in summary["roots"]
    ]
    assert files_of(twins.ours)["snapshots"] == 4
    # What is recovered is referred to again.
    again = twins.beside.ours("recover", "--json", "--repo", twins.ours, RESTIC_REPOSITORY=None)
    assert parse_json(again.out) == [{"message_type": "summary", "roots": [], "snapshot_id": None}]
