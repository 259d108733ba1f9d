"""Diff beside the real restic: same changes, same sums, same JSON, same exit codes."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.both_programs import Beside, make_beside, remove_pack_of

pytestmark = pytest.mark.restic

ALIKE = [
    "diff {short1} {short2}",
    "diff {s1} {s2} --json",
    "diff {short2} {short1}",
    "diff --metadata {short1} {short2}",
    "diff --metadata {short1} {short2} --json",
    "diff {short2} {short3}",
    "diff --metadata {short2} {short3}",
    "diff {short3} {short4} --json",
    "diff {short4} {short3} --metadata",
    "diff {short1} {short4}",
    "diff {short4} {short1} --json --metadata",
    "diff {short5} {short1}",
    "diff {short1} {short1}",
    "diff {short1} {short1} --json",
    "diff {short1}:{source}/dir {short4}:{source}/dir",
    "diff {short1}:{source}/dir/ {short4}:{source}/dir --json",
    "diff {short1}:{source}/dir/sub {short1}:{source}/dir",
    "diff {short1}:{source} {short2}:{source}/Empty",
    "diff {short1}:{source}/Empty {short2}:{source}",
    "diff {short1}:/ {short2}:",
    "diff -q {short1} {short4}",
    "diff --quiet --json {short1} {short4}",
    "diff -v {short1} {short2}",
    "LOCKED diff {short2} {short4} --metadata=false",
    "diff {short6} {short7}",
    "diff {short6} {short7} --json --metadata",
    "diff {short7} {short6}",
    "diff {short7} {short1}",
]
REFUSED = [
    "diff",
    "diff --json",
    "diff {short1}",
    "diff {short1} {short2} {short3}",
    "diff {short1} nothing",
    "diff '' {short1}",
    "diff :/ {short1}",
    "diff {short1} {missing}",
    "diff {short1}:/nothing {short2}",
    "diff {short1}:{source}/a.txt {short2}",
    "diff {short1} {short2}:{source}/new/below",
    "diff {short1} {short2} --frob",
    "diff {short1} {short2} --metadata=x",
    "diff {short1} {short2} --host one",
]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """The repository of this module, with two snapshots more: of a file whose content rots, and of moved ones."""
    beside = make_beside(tmp_path_factory.mktemp("diff"))
    beside.names["missing"] = "ab" * 32
    folder = beside.folder / "rotten"
    folder.mkdir()
    (folder / "file").write_bytes(b"as it was")
    (folder / "type").write_bytes(b"a file")
    (folder / "old").mkdir()
    (folder / "old" / "file").write_bytes(b"moved")
    shutil.copytree(folder / "old", folder / "copy")
    _backup(beside, 6, folder)
    (folder / "file").write_bytes(b"as it is.")
    (folder / "type").unlink()
    (folder / "type").mkdir()
    (folder / "old").rename(folder / "new")
    _backup(beside, 7, folder)
    return beside


def _backup(beside: Beside, number: int, folder: Path) -> None:
    times = (1_600_000_000, 1_600_000_000)
    os.utime(folder / "file", times)
    beside.restic("backup", "-q", "--ignore-ctime", "--ignore-inode", "--force", folder)
    found = beside.restic("snapshots", "--json", "latest").json[0]
    beside.names |= {f"s{number}": found["id"], f"short{number}": found["short_id"]}


def test_changes_and_sums_are_shown_alike(beside: Beside) -> None:
    assert beside.differences(ALIKE) == []


def test_what_is_wrong_is_refused_alike(beside: Beside) -> None:
    assert beside.differences(REFUSED) == []


def test_ours_takes_latest_where_restic_refuses_it(beside: Beside) -> None:
    newest = beside.restic("snapshots", "--json").json[-1]["short_id"]
    oldest = beside.restic("snapshots", "--json").json[-2]["short_id"]
    for kind in ("snapshot", "tree"):
        assert beside.restic("cat", kind, "latest", code=None).code == 1
        assert beside.pyrestic("cat", kind, "latest").out == beside.restic("cat", kind, newest).text
    assert beside.restic("diff", "latest", oldest, code=None).code == 1
    assert beside.pyrestic("diff", "latest", "latest~1").out == beside.restic("diff", newest, oldest).text


def test_damaged_folders_are_passed_over(beside: Beside) -> None:
    damaged = beside.copy("damaged")
    folder = "{short2}:{source}/dir/sub/deep".format(**beside.names)
    tree = beside.restic("ls", "--json", folder).messages[0]["tree"]
    remove_pack_of(damaged, "tree", tree)
    lines = ["diff {short1} {short2}", "diff {short1} {short4}", "diff {short3} {short4} --json"]
    lines += ["diff {short2} {short1}", "diff {short1}:{source}/dir {short5}"]
    assert damaged.differences([f"--no-cache {line}" for line in lines]) == []
    ours = damaged.pyrestic("--no-cache", "diff", beside.names["s3"], beside.names["s4"])
    assert ours.code == 0
    assert ours.err.startswith("error: ")
    assert f"-    {beside.names['source']}/dir/sub/\n" in ours.out
