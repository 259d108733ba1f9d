"""Sources, however they are named, come together as the very tree that the real restic makes of them."""

from pathlib import Path

import pytest

from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

CASES: list[list[str]] = [
    ["."],
    ["./a/", "b"],
    ["a", "a/x", "a"],
    ["a/x", "a/2"],
    ["a", "../a"],
    ["../a/z", "a/x"],
    [".."],
    ["../../top/a", "../a"],
    [".", "a", "../a"],
    ["{top}", "{top}/w/a"],
    ["{top}/w/a", "a"],
    ["//{top}//w/./b/../a"],
    ["link", "../link/x"],
    ["4", "a", "missing"],
    ["missing"],
    ["a/../b", "../w"],
    [".", "--exclude", "a"],
    ["a", "--exclude", "a"],
    ["a", "--exclude", "{top}/w/a/x"],
    ["{top}", "{top}/w/a", "--exclude", "w"],
]


def states_above(path: Path) -> list[tuple[int, int]]:
    """Return what a snapshot has of the folders above: other programs make files in some of them, such as /dev/shm."""
    return [(status.st_ctime_ns, status.st_nlink) for status in (folder.stat() for folder in path.parents)]


@pytest.mark.restic
@pytest.mark.slow
def test_any_combination_of_sources_gives_the_same_tree(pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    top = tmp_path / "sources" / "top"
    for name in ("w/a/x/1", "w/a/2", "w/b/3", "w/4", "a/z/5", "6", "w/a-1/7"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (top / "link").symlink_to("w/a")
    (top / "w" / "link").symlink_to("a")
    repository = make_quick_repository(tmp_path / "repository")
    pyrestic.environment()
    newest.environment()
    for case in CASES:
        words = [word.replace("{top}", str(top)) for word in case]
        for _ in range(20):
            before = states_above(top)
            results = [
                program.run("backup", "--force", *words, repository=repository, cwd=top / "w", code=None)
                for program in (newest, pyrestic)
            ]
            if states_above(top) == before:
                break
        else:
            pytest.fail("the folders above the sources never stay as they are")
        assert results[0].code == results[1].code, case
        if results[0].code != 1:
            theirs, ours = newest.snapshots(repository)[-2:]
            assert (ours["tree"], ours["paths"]) == (theirs["tree"], theirs["paths"]), case
