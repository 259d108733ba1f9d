"""Tag beside the real restic: same words, same exit codes, and the same snapshots afterwards."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.format.gojson import format_time
from pyrestic.handle import FileType
from pyrestic.repository.repository import Repository
from tests.support.both_programs import Beside, make_beside, parse_json
from tests.support.cli import Outcome
from tests.support.incomplete import as_restic
from tests.support.restic import PASSWORD

pytestmark = pytest.mark.restic

IDS = re.compile(r"[0-9a-f]{64}")
CHANGES = [
    "tag --add x",
    "tag --add=x,y --add z {short1}",
    "tag --add a,b,b {short2} -v",
    "tag --set x {s1} --json",
    "tag --set a,b {short2}",
    "tag --set \tspaced\t,out,\t --set more {short2}",
    "tag --set äöü€,<&> --json {short1} {short3}",
    "tag --set '' {short2}",
    "tag --set '' --set '' --json",
    "tag --set , --set x {short3}",
    "tag --add '' {short1} -v",
    "tag --remove a {short2}",
    "tag --remove a,b",
    "tag --remove b --remove a --add c -v",
    "tag --add k,l,m,n --remove k,m {short1}",
    "tag --remove nothing --json",
    "tag --add q --remove q {short1} --json",
    "tag --add x --host two",
    "tag --add x -H one --tag a",
    "tag --add x --tag '' --json",
    "tag --add x --path {source}/dir -q",
    "tag --add x latest",
    "tag --add x latest --host one --json",
    "tag --add x {short1} {s1} {short1}",
    "tag --add x nothing",
    "tag --add x nothing {short1} --tag q --json",
    "tag --add x {short1}:dir",
    "tag --add x --host nobody --json",
    "tag --no-lock --add x {short1}",
    "tag -vv --set x {short1}",
]
REFUSED = [
    "tag",
    "tag --json",
    "tag {short1}",
    "tag --set x --add y",
    "tag --set '' --remove y --json",
    "tag --set",
    "tag --frob",
    "tag --add x --set=",
]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    """The repository of this module; it is never changed itself."""
    return make_beside(tmp_path_factory.mktemp("tag"))


def state(beside: Beside) -> list[dict[str, Any]]:
    """Return what the real restic says of all snapshots, without the IDs that a change makes anew."""
    found = beside.restic("--no-lock", "snapshots", "--json").json
    return [{name: value for name, value in one.items() if name not in ("id", "short_id")} for one in found]


def restore(beside: Beside, files: dict[Path, bytes]) -> None:
    for path in (beside.repository / "snapshots").iterdir():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


def without_ids(text: str) -> list[str]:
    """Return an output without IDs; snapshots come in an order of chance."""
    return sorted(IDS.sub("ID", text).splitlines())


def test_tags_are_changed_alike(beside: Beside) -> None:
    files = {path: path.read_bytes() for path in (beside.repository / "snapshots").iterdir()}
    different = []
    for line in CHANGES:
        words = ["" if word == "''" else word.format(**beside.names).replace("\t", " ") for word in line.split(" ")]
        theirs = beside.restic(*words, code=None)
        their_state = state(beside)
        restore(beside, files)
        ours: Outcome = beside.pyrestic(*words)
        results = (
            (theirs.code, without_ids(theirs.stdout.decode()), their_state),
            (as_restic(theirs.code, ours.code, ours.err)[0], without_ids(ours.out), state(beside)),
        )
        restore(beside, files)
        if results[0] != results[1]:
            different.append(f"{line}\nrestic:   {results[0]}\npyrestic: {results[1]}")
    assert different == []


def test_what_is_wrong_is_refused_alike(beside: Beside) -> None:
    assert beside.differences(REFUSED) == []


def test_a_new_id_is_told_and_the_first_one_is_kept_over_all_changes(beside: Beside) -> None:
    changed = beside.copy("changed")
    first = changed.names["s1"]
    one, summary = parse_json(changed.pyrestic("tag", "--json", "--add", "x", first).out)
    assert one["message_type"] == "changed"
    assert one["old_snapshot_id"] == first
    assert summary == {"message_type": "summary", "changed_snapshots": 1}
    (theirs, _) = changed.restic("tag", "--json", "--set", "y", one["new_snapshot_id"]).messages
    (ours, _) = map(
        json.loads, changed.pyrestic("tag", "--json", "--set", "z", theirs["new_snapshot_id"]).out.splitlines()
    )
    stored = changed.restic("--no-lock", "cat", "snapshot", ours["new_snapshot_id"]).json
    assert stored["original"] == first
    assert stored["tags"] == ["z"]
    assert len(list((changed.repository / "snapshots").iterdir())) == 5
    changed.restic("check")


def test_the_host_of_the_environment_chooses_the_snapshots(beside: Beside) -> None:
    changed = beside.copy("host")
    changed.pyrestic("tag", "--add", "x", RESTIC_HOST="two")
    assert ["x" in one.get("tags", []) for one in state(changed)] == [False, False, True, True, True]


def test_a_lock_of_another_machine_ends_it_with_11(beside: Beside) -> None:
    locked = beside.copy("locked")
    repository = Repository.open(LocalBackend(str(locked.repository)), PASSWORD)
    document = {"time": format_time(time.time_ns(), 0), "exclusive": False, "hostname": "elsewhere", "pid": 1}
    repository.save_unpacked(FileType.LOCK, json.dumps(document).encode())
    assert locked.restic("tag", "--add", "x", code=None).code == locked.pyrestic("tag", "--add", "x").code == 11
    assert state(locked) == state(beside)
