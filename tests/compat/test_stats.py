"""Stats beside the real restic: same sums, same words, same JSON, same exit codes."""

import os
from pathlib import Path

import pytest

from tests.compat.test_fixtures import MANIFEST, unpack
from tests.support.both_programs import Beside, make_beside, remove_pack_of
from tests.support.quick_repository import make_quick, make_quick_repository

pytestmark = pytest.mark.restic

MODES = ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"]
ONE_SNAPSHOT = [
    line for mode in MODES for line in (f"stats --mode {mode} {{short1}}", f"stats {{s4}} --json --mode={mode}")
]
MORE = [
    "stats --host one --tag a",
    "stats -H two --tag ''",
    "stats {short3} latest",
    "stats {short3} {short3} --json",
    "stats -q {short3}",
    "stats -v {short3}",
    "stats --host nobody",
    "stats --host nobody --json",
    "stats --host nobody --mode raw-data",
    "stats latest --host one",
    "stats nothing",
    "stats nothing {short2} --json",
    "stats {short2}:dir",
    "stats {short2} --tag x",
    "LOCKED stats {short2}",
    "stats --path {source}/dir --json",
    "stats --tag c --json",
    "stats --mode debug",
    "stats --mode debug --json",
]
# The last snapshot that restic counts is one or the other.
ALL_SNAPSHOTS = [line for mode in MODES for line in (f"stats --mode {mode}", f"stats --json --mode {mode}")]
LAST = r"\[time\].*\n"
REFUSED = ["stats --mode foo", "stats --mode '' --json", "stats --mode", "stats --frob", "stats -m raw-data"]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """The repository of this module."""
    return make_beside(tmp_path_factory.mktemp("stats"))


def test_the_sums_of_one_snapshot_are_shown_alike(beside: Beside) -> None:
    assert beside.differences(ONE_SNAPSHOT) == []


def test_the_sums_of_all_snapshots_are_shown_alike(beside: Beside) -> None:
    assert beside.differences([*ALL_SNAPSHOTS, "stats --host two"], without=LAST) == []


def test_snapshots_are_chosen_alike(beside: Beside) -> None:
    assert beside.differences(MORE) == []
    assert beside.differences(["stats", "stats --host ''", "stats --host one"], without=LAST, RESTIC_HOST="two") == []


def test_what_is_wrong_is_refused_alike(beside: Beside) -> None:
    assert beside.differences(REFUSED) == []


def test_lengths_of_files_and_blobs_are_told_to_those_who_look_for_them(beside: Beside) -> None:
    theirs = beside.restic("--no-lock", "stats", "--mode", "debug").stderr.decode().split("\n")
    ours = beside.pyrestic("--no-lock", "stats", "--mode", "debug").err.split("\n")
    assert [line.rstrip() for line in ours] == [line.rstrip() for line in theirs]
    assert len(ours) > 40


def test_a_tree_that_cannot_be_read_ends_the_count(beside: Beside) -> None:
    damaged = beside.copy("damaged")
    folder = "{short2}:{source}/dir/sub/deep".format(**beside.names)
    remove_pack_of(damaged, "tree", beside.restic("ls", "--json", folder).messages[0]["tree"])
    lines = [f"--no-cache stats --mode {mode} {{short3}}" for mode in MODES]
    assert damaged.differences(lines, without=LAST) == []
    ours = damaged.pyrestic("--no-cache", "stats", beside.names["s3"])
    assert ours.code == 1
    assert "error walking snapshot" in ours.err


def test_hard_links_and_compression_count_alike(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(4):
        folder = source / f"folder {number}"
        folder.mkdir(parents=True)
        (folder / "text").write_bytes(b"the same line again and again\n" * 5000 * (number + 1))
        (folder / "noise").write_bytes(os.urandom(50_000))
        os.link(folder / "text", source / f"text {number}")
        os.link(source / "folder 0" / "noise", folder / "linked noise")
    beside = Beside(tmp_path, make_quick_repository(tmp_path / "repository"))
    beside.restic("backup", "-q", "--compression=off", source / "folder 1")
    beside.restic("backup", "-q", "--compression=max", source)
    (source / "folder 2" / "text").unlink()
    beside.restic("backup", "-q", "--compression=max", source)
    lines = [*ALL_SNAPSHOTS, *(line.split(" {")[0] + " latest" for line in ONE_SNAPSHOT)]
    assert beside.differences(lines, without=LAST) == []


@pytest.mark.parametrize("name", ["0.14-v1", "0.18-v2-snapshots", "0.19-v2-off"])
def test_repositories_of_every_release_are_counted_alike(name: str, tmp_path: Path) -> None:
    repository = unpack(name, tmp_path)
    make_quick(repository, MANIFEST["password"])
    beside = Beside(tmp_path, repository)
    assert beside.differences([f"stats --json --mode {mode}" for mode in MODES]) == []
    snapshots = beside.restic("--no-lock", "snapshots", "--json").json
    beside.names |= {"first": snapshots[0]["id"], "last": snapshots[-1]["id"]}
    assert beside.differences(["diff {first} {last} --json --metadata", "find * --json", "find -l *"]) == []
