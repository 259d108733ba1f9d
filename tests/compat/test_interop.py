"""Backups travel between pyrestic and each release of the real restic, in both directions."""

import re
from pathlib import Path

import pytest

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program
from tests.support.sourcetree import describe, difference, make_source

pytestmark = pytest.mark.interop

VERSIONS = ("1", "2")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    make_source(folder, large=False)
    return folder


def added_blobs(output: str) -> tuple[int, int]:
    """Return how many data and tree blobs `backup -v` of either tool says it added."""
    data = re.search(r"Data Blobs:\s+(\d+) new", output)
    trees = re.search(r"Tree Blobs:\s+(\d+) new", output)
    assert data is not None, output
    assert trees is not None, output
    return int(data[1]), int(trees[1])


@pytest.mark.restic
@pytest.mark.parametrize("version", VERSIONS)
def test_what_pyrestic_writes_is_whole_for_every_release(
    pyrestic: Program, restic: Program, source: Path, tmp_path: Path, version: str
) -> None:
    repository = tmp_path / "repository"
    pyrestic.run("init", "--repository-version", version, repository=repository)
    pyrestic.run("backup", source, repository=repository)
    restic.run("check", "--read-data", repository=repository)
    restic.run("restore", "latest", "--target", tmp_path / "target", repository=repository)
    restored = describe(tmp_path / "target" / source.relative_to("/"))
    expected = describe(source)
    if restic.name == "restic 0.14":
        # That release cannot restore link targets that are not UTF-8 (restic 0.16 began to store their bytes).
        for tree in (expected, restored):
            tree.pop(b"types/link invalid target", None)
    assert difference(expected, restored) == []


@pytest.mark.restic
@pytest.mark.parametrize("version", VERSIONS)
def test_what_every_release_writes_is_read_back_here(
    pyrestic: Program, restic: Program, source: Path, tmp_path: Path, version: str
) -> None:
    repository = tmp_path / "repository"
    restic.run("init", "--repository-version", version, repository=repository)
    restic.run("backup", source, repository=repository)
    pyrestic.run("check", "--read-data", repository=repository)
    pyrestic.run("restore", "latest", "--target", tmp_path / "target", repository=repository)
    restored = describe(tmp_path / "target" / source.relative_to("/"))
    expected = describe(source)
    if restic.name == "restic 0.14":
        for tree in (expected, restored):
            tree.pop(b"types/link invalid target", None)
    assert difference(expected, restored) == []


@pytest.mark.restic
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"])
def test_both_tools_give_a_folder_the_same_tree_and_add_nothing_to_the_other(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path, zone: str
) -> None:
    repository = tmp_path / "repository"
    make_quick_repository(repository)
    before = pyrestic.run("backup", "-v", ".", repository=repository, cwd=source, TZ=zone)
    assert added_blobs(before.text)[0] > 0
    after = newest.run("backup", "-v", "--force", ".", repository=repository, cwd=source, TZ=zone)
    assert added_blobs(after.text) == (0, 0)
    again = pyrestic.run("backup", "-v", "--force", ".", repository=repository, cwd=source, TZ=zone)
    assert added_blobs(again.text) == (0, 0)
    assert len({snapshot["tree"] for snapshot in newest.snapshots(repository)}) == 1


@pytest.mark.restic
def test_the_newest_release_first_and_pyrestic_second_adds_nothing_either(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    make_quick_repository(repository)
    newest.run("backup", ".", repository=repository, cwd=source)
    forced = pyrestic.run("backup", "-v", "--force", ".", repository=repository, cwd=source)
    assert added_blobs(forced.text) == (0, 0)
    incremental = pyrestic.run("backup", "--json", ".", repository=repository, cwd=source)
    summary = incremental.messages[-1]
    assert summary["files_new"] == summary["files_changed"] == summary["data_added"] == 0
    assert len({snapshot["tree"] for snapshot in pyrestic.snapshots(repository)}) == 1


@pytest.mark.restic
def test_an_unchanged_folder_is_recognised_by_the_other_tool(
    pyrestic: Program, newest: Program, source: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    make_quick_repository(repository)
    # The contents alone: folders above the source change while the test makes its own files.
    pyrestic.run("backup", ".", repository=repository, cwd=source)
    theirs = newest.run("backup", "--json", ".", repository=repository, cwd=source).messages[-1]
    ours = pyrestic.run("backup", "--json", ".", repository=repository, cwd=source).messages[-1]
    for summary in (theirs, ours):
        assert summary["files_new"] == summary["files_changed"] == summary["data_added"] == 0, summary
    assert [snapshot.get("parent") is not None for snapshot in newest.snapshots(repository)] == [False, True, True]


@pytest.mark.restic
@pytest.mark.parametrize("compression", ["auto", "off", "fastest", "better", "max"])
def test_every_compression_is_read_by_the_newest_release(
    pyrestic: Program, newest: Program, tmp_path: Path, compression: str
) -> None:
    repository, folder = tmp_path / "repository", tmp_path / "folder"
    folder.mkdir()
    (folder / "text").write_text("some words that repeat, some words that repeat\n" * 20_000)
    make_quick_repository(repository)
    pyrestic.run("backup", "--compression", compression, folder, repository=repository)
    newest.run("check", "--read-data", repository=repository)
    dumped = newest.run("dump", "latest", folder / "text", repository=repository)
    assert dumped.stdout == (folder / "text").read_bytes()
