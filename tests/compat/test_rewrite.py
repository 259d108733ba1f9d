"""Rewrite beside the real restic: the same snapshots with the same trees, in the same words."""

from pathlib import Path
from typing import Any

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import BlobType, FileType
from pyrestic.repository.repository import Repository
from tests.support.both_programs import Beside, make_beside, parse_json
from tests.support.compared_repositories import Twins
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD

pytestmark = pytest.mark.restic

LINES = [
    "--exclude *.txt",
    "-e dir/sub -e /nothing {short1} --forget",
    "--exclude {source}/dir --exclude !{source}/dir/big.bin {s1} {short3} -vv",
    "--iexclude EMPTY --host two --forget",
    "--exclude-file {folder}/patterns --iexclude-file {folder}/patterns {short2} -n",
    "-i *.txt -vv {short1} {short5}",
    "--include {source}/dir/sub --iinclude new {short2}",
    "--include-file {folder}/patterns --iinclude-file {folder}/patterns latest",
    "--include nothing.at.all --forget",
    "--exclude / {short1}",
    "--exclude nothing.at.all",
    "--snapshot-summary",
    "-s --new-host other {short4}",
    "--new-host other --tag a,b --forget",
    "--new-time 2020-06-01\t1:02:03 --new-host x {short1} --dry-run --forget",
    "--new-time 1999-12-31\t23:59:59 {short1} -q",
    "--exclude * {short1} {short2} --forget",
    "{short1}:/x nothing --new-host x --path {source}",
    "--new-host= -s=true --host nobody",
]
REFUSED = [
    "",
    "{short1} --forget",
    "--exclude a --include b",
    "--exclude-file x --iinclude-file y",
    "--new-time yesterday {short1}",
    "--new-time 2020-02-30\t00:00:00 {short1}",
    "--exclude [ {short1}",
    "--exclude-file {folder}/nothing {short1}",
    "--snapshot-summary=x",
]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """A repository with five snapshots, one of them without a summary, and a file with patterns."""
    folder = tmp_path_factory.mktemp("rewrite")
    made = make_beside(folder)
    made.names["folder"] = str(folder)
    (folder / "patterns").write_text("# comment\nbig.BIN\n*.txt\n\n")
    repository = Repository.open(LocalBackend(str(made.repository)), PASSWORD)
    old = Snapshot(time="2023-01-01T00:00:00+01:00", tree=made.names["t4"], paths=["/old"], hostname="two")
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(old))
    repository.close()
    return made


@pytest.fixture
def twins(beside: Beside, tmp_path: Path) -> Twins:
    return Twins(beside, tmp_path)


@pytest.mark.parametrize("line", LINES)
def test_snapshots_are_rewritten_alike(twins: Twins, line: str) -> None:
    theirs, ours = twins.run(f"rewrite {line}")
    assert ours.code == theirs.code == 0
    assert ours.lines == theirs.lines
    assert ours.snapshots == theirs.snapshots
    assert (ours.blobs, ours.files["snapshots"]) == (theirs.blobs, theirs.files["snapshots"])
    if "--forget" in line and "-n" not in line:
        twins.check()


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_is_refused_alike(twins: Twins, line: str) -> None:
    theirs, ours = twins.run(f"rewrite {line}".rstrip())
    assert ours.code == theirs.code == 1
    assert ours.lines == theirs.lines
    assert ours.snapshots == theirs.snapshots
    if "exclusive" in "".join(theirs.errors) or "Nothing to do" in "".join(theirs.errors):
        assert ours.errors == theirs.errors


def store(repository: Repository, tree: bytes) -> str:
    """Store a snapshot of a tree; return the ID of the tree."""
    root = repository.saver.save(BlobType.TREE, tree).id
    repository.flush()
    snapshot = Snapshot(time="2024-01-01T00:00:00Z", tree=root.hex(), paths=["/"], hostname="h")
    repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    return root.hex()


def test_trees_of_later_versions_are_refused_rather_than_cut(tmp_path: Path) -> None:
    beside = Beside(tmp_path, make_quick_repository(tmp_path / "repository"))
    repository = Repository.open(LocalBackend(str(beside.repository)), PASSWORD)
    node = b'{"name":"f","type":"file","mode":420,"mtime":"2024-01-01T00:00:00Z","atime":"2024-01-01T00:00:00Z",'
    node += b'"ctime":"2024-01-01T00:00:00Z","uid":0,"gid":0,"colour":"red","content":null}'
    store(repository, b'{"nodes":[' + node + b"]}\n")
    repository.close()
    folder = tmp_path / "twins"
    folder.mkdir()
    twins = Twins(beside, folder)
    theirs, ours = twins.run("rewrite --exclude x --forget")
    assert ours.code == theirs.code == 1
    assert ours.lines == theirs.lines
    assert ours.errors == theirs.errors
    assert 'cannot encode tree at "/" without losing information' in ours.errors[-1]
    assert ours.snapshots == theirs.snapshots
    # What does not touch trees is possible.
    theirs, ours = twins.run("rewrite --new-host x --forget")
    assert (ours.code, ours.lines, ours.snapshots) == (theirs.code, theirs.lines, theirs.snapshots)


def test_json_ends_with_the_snapshots_that_were_replaced(beside: Beside, tmp_path: Path) -> None:
    twins = Twins(beside, tmp_path)
    words: list[Any] = ["rewrite", "--json", "--new-host", "x", beside.names["s2"], "--repo", twins.ours]
    (dry,) = parse_json(beside.ours(*words, "-n", RESTIC_REPOSITORY=None).out)
    assert dry["replaced"] == [{"old": beside.names["s2"], "new": None}]
    (summary,) = parse_json(beside.ours(*words, RESTIC_REPOSITORY=None).out)
    (replaced,) = summary["replaced"]
    assert (twins.ours / "snapshots" / replaced["new"]).exists()
    assert (summary["emptied"], summary["dry_run"]) == ([], False)
    shown = twins.beside.theirs.run("cat", "snapshot", replaced["new"], "--no-lock", repository=twins.ours).json
    assert (shown["hostname"], shown["original"], shown["tags"]) == ("x", beside.names["s2"], ["a", "b", "rewrite"])
