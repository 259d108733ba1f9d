"""Forget beside the real restic: the same words, tables, exit codes and snapshots left."""

import re
import shutil
import time
from pathlib import Path

import pytest

from pyrestic.format.snapshot import Snapshot, Summary
from tests.compat.test_retention import TREE, store
from tests.support.cli import Caller
from tests.support.incomplete import as_restic
from tests.support.prunable import make_wasteful_repository, used_blobs, without_clock
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic

# One group each, since the order of groups is random in restic.
SHOWN = [
    "-l 2 --host one",
    "-l 2 --host one -v",
    "-l 2 --host one -c",
    "-l 2 --host one --compact -v",
    "-l 2 -g=host --host two",
    "-d 3 --group-by= -v",
    "-y 1 --group-by=",
    "--keep-daily 2 --keep-tag a,b --keep-tag c --group-by=",
    "--keep-within 1d -H 2 -w 3 -m 4 --group-by=",
    "--keep-within-hourly 2d --keep-within-yearly 1y --group-by=",
    "-l unlimited --keep-yearly unlimited --group-by=",
    "-l 1 --hostname two",
    "-l 1 --tag a,b -g tags",
    "-l 1 --tag= --group-by=",
    "-l 1 --path /b --group-by=",
    "-q -l 1",
    "-l 1 --host nobody",
    "--unsafe-allow-remove-all --host two",
    "--unsafe-allow-remove-all --tag c --group-by= -v",
    "{short}",
    "{short} {id}",
    "latest",
    "latest --host two",
    "{short} --host two",
    "{short}:folder",
    "nothing",
    "-l 1 --host one --prune",
    "--prune --max-unused 0 {short} -v",
    "--prune -q {short}",
    "-l 1 --host one --json",
    "{short} --json",
    "{short} --json --prune",
]
REFUSED = [
    "",
    "-q",
    "--json",
    "--unsafe-allow-remove-all",
    "--keep-tag absent",
    "--keep-tag absent --host one",
    "--keep-within 1d --keep-within-hourly=-5h",
    "--keep-within=-1y",
    "--keep-within 5",
    "--keep-within x",
    "--keep-within-daily 3w",
    "--keep-last x",
    "-l -3",
    "--keep-last=-1",
    "-d 99999999999999999999",
    "-H 1.5",
    "--group-by size -l 1",
    "-l 1 --max-unused 100%",
    "-l 1 --max-repack-size x",
    "-l 1 --repack-smaller-than 0",
    "--no-lock -l 1",
    "-l 1 --frob",
    "-l",
    "-Z",
    "--json -l x",
    "-l 1 --host one --group-by host,paths --keep-yearly",
]


def make_snapshots() -> list[Snapshot]:
    found = []
    for number in range(14):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_717_200_000 + 33_333 * number))
        found.append(
            Snapshot(
                time=f"{stamp}+02:00",
                tree=TREE,
                hostname=["one", "two", "one", "a host with a long name"][number % 4],
                tags=[["a", "b"], [], ["c"], ["a", "a long tag of many letters"], ["b", "a"]][number % 5],
                paths=["/b", "/a"] if number % 4 == 1 else ["/b"],
                summary=Summary(total_bytes_processed=123_456 * number) if number % 2 else None,
            )
        )
    return found


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_quick_repository(tmp_path_factory.mktemp("forget") / "repository")
    store(folder, make_snapshots())
    return folder


def fill(flags: str, repository: Path) -> list[str]:
    name = min(path.name for path in (repository / "snapshots").iterdir())
    return flags.format(short=name[:8], id=name).split()


@pytest.mark.parametrize("flags", SHOWN)
@pytest.mark.parametrize("dry", [True, False], ids=["dry", "real"])
def test_the_same_is_said_and_removed(flags: str, dry: bool, few: Path, newest: Program, tmp_path: Path) -> None:
    mine, real = tmp_path / "mine", tmp_path / "real"
    shutil.copytree(few, mine)
    shutil.copytree(few, real)
    arguments = ["forget", *fill(flags, few), *["-n"] * dry]
    theirs = newest.run(*arguments, repository=real, code=None)
    ours = Caller(tmp_path)(*arguments, RESTIC_REPOSITORY=str(mine), RESTIC_PASSWORD=PASSWORD)
    code, errors = as_restic(theirs.code, ours.code, ours.err)
    assert code == theirs.code
    shown = [without_clock(text).splitlines() for text in (ours.out, theirs.text)]
    if "--prune" in flags and theirs.code == 1:
        # These snapshots have no trees, so how far the search for used blobs got is chance.
        assert "failed finding blobs" in ours.err
        shown = [[line for line in lines if not line.startswith("[]")] for lines in shown]
    else:
        assert errors == theirs.stderr.decode()
    assert shown[0] == shown[1]
    left = [{path.name for path in (each / "snapshots").iterdir()} for each in (mine, real)]
    assert left[0] == left[1]
    assert list((mine / "locks").iterdir()) == []


@pytest.mark.parametrize("flags", REFUSED)
def test_what_makes_no_sense_is_refused_with_the_same_words(
    flags: str, few: Path, newest: Program, tmp_path: Path
) -> None:
    theirs = newest.run("forget", *flags.split(), repository=few, code=None)
    ours = Caller(tmp_path)("forget", *flags.split(), RESTIC_REPOSITORY=str(few), RESTIC_PASSWORD=PASSWORD)
    assert ours.code == theirs.code == 1
    assert plain(ours.err) == plain(theirs.stderr.decode())
    assert len(list((few / "snapshots").iterdir())) == 14


def plain(text: str) -> str:
    """Return the message: which group comes first is chance in restic, and so is `Fatal:` in front."""
    text = re.sub(r"snapshot group .*", "snapshot group", text)
    return text.replace("Fatal: ", "").strip()


def test_the_host_may_come_from_the_environment(few: Path, newest: Program, tmp_path: Path) -> None:
    for flags in (["-l", "1"], ["-l", "1", "--host", "", "-g", ""], ["-l", "1", "--host", "one"]):
        arguments = ["forget", "-n", *flags]
        theirs = newest.run(*arguments, repository=few, RESTIC_HOST="two")
        ours = Caller(tmp_path)(*arguments, RESTIC_REPOSITORY=str(few), RESTIC_PASSWORD=PASSWORD, RESTIC_HOST="two")
        assert sorted(ours.out.splitlines()) == sorted(theirs.text.splitlines())


@pytest.mark.parametrize("flags", ["-n", "", "-q", "-v", "--json"])
def test_pruning_follows_in_the_same_run(flags: str, pyrestic: Program, newest: Program, tmp_path: Path) -> None:
    mine = make_wasteful_repository(tmp_path / "made", newest, backups=3)
    real = tmp_path / "real"
    shutil.copytree(mine, real)
    arguments = ["forget", "--keep-last", "1", "--prune", "--max-unused", "1%", *flags.split()]
    theirs = newest.run(*arguments, repository=real)
    ours = pyrestic.run(*arguments, repository=mine)
    assert without_clock(ours.text) == without_clock(theirs.text)
    assert ours.stderr == theirs.stderr
    newest.run("check", "--read-data", repository=mine)
    listed = [set(newest.run("list", "blobs", repository=each).text.splitlines()) for each in (mine, real)]
    assert listed[0] == listed[1]
    assert used_blobs(mine) == used_blobs(real)
