"""Drills: what they pick, what they prove, and what they find."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from pyrestic.localfs.verification_log import Drill, ProofBook
from tests.support.cli import Caller

pytestmark = pytest.mark.process

OFTEN = "often"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository with four snapshots of a folder in which one file changes each time, and another once."""
    folder = tmp_path_factory.mktemp("drill")
    call = Caller(folder)
    call.create()
    source = folder / "source"
    (source / "folder").mkdir(parents=True)
    dice = random.Random(2)
    for number in range(40):
        (source / "folder" / f"{number}").write_bytes(dice.randbytes(1000 + number))
    (source / "large").write_bytes(dice.randbytes(900_000))
    (source / "too large").write_bytes(dice.randbytes(3_000_000))
    for number in range(4):
        (source / "folder" / OFTEN).write_bytes(dice.randbytes(1500))
        if number == 2:
            (source / "folder" / "7").write_bytes(dice.randbytes(1007))
        # Like a day later, so that the order is certain.
        assert call("backup", "--time", f"2024-01-0{number + 1} 12:00:00", source).code == 0
    return call


@pytest.fixture
def made(original: Caller, tmp_path: Path) -> Caller:
    shutil.copytree(original.repository, tmp_path / "repository")
    return Caller(tmp_path)


def summary(call: Caller, *words: str, code: int = 0) -> dict[str, Any]:
    outcome = call("drill", "--json", *words)
    assert outcome.code == code, outcome.err
    found: dict[str, Any] = json.loads(outcome.out.splitlines()[-1])
    return found


def test_the_largest_the_most_changed_and_some_at_random_are_picked_within_the_budget(
    made: Caller, original: Caller
) -> None:
    source = original.folder / "source"
    found = summary(made, "--seed", "5", "--budget", "2820K")
    why = {one["path"]: one["why"] for one in found["picked"]}
    assert why[f"{source}/large"] == "largest"
    assert [path for path, reason in why.items() if reason == "changed"] == [
        f"{source}/folder/{OFTEN}",
        f"{source}/folder/7",
    ]
    assert f"{source}/too large" not in why
    assert "random" in why.values()
    assert sum(one["size"] for one in found["picked"]) <= 2820 << 10
    assert found["files"] == found["compared"] == len(why)
    assert found["bytes"] == sum(one["size"] for one in found["picked"])
    assert (found["damaged"], found["differing"]) == ([], [])


def test_the_same_seed_picks_the_same_files_and_another_one_others(made: Caller) -> None:
    first, again, other, chance = (
        summary(made, "--budget", "20000", *seed) for seed in (["--seed=1"],) * 2 + (["--seed=2"], [])
    )
    assert first["picked"] == again["picked"]
    assert first["picked"] != other["picked"]
    assert summary(made, "--budget", "20000", f"--seed={chance['seed']}")["picked"] == chance["picked"]


def test_a_drill_is_remembered_and_the_next_one_says_how_long_ago_it_was(made: Caller) -> None:
    assert summary(made)["previous_age"] is None
    book = ProofBook(str(made.folder / ".local" / "state" / "pyrestic"), json.loads(made("cat", "config").out)["id"])
    (drill,) = book.read().drills
    assert drill.well
    assert drill.files > 40
    assert 0 <= summary(made)["previous_age"] < 600
    outcome = made("drill", "-v")
    assert outcome.code == 0
    assert "last successful drill: now; the previous one was" in outcome.out
    assert "largest: " in outcome.out
    # A drill that went wrong does not count.
    later = drill.seconds + 1_000_000
    book.add_drill(Drill(later, drill.snapshot, 1, 1, well=False))
    assert summary(made)["previous_age"] >= 0


def test_a_missing_pack_is_told_with_the_files_that_need_it(made: Caller, original: Caller) -> None:
    largest = max((made.repository / "data").glob("??/*"), key=lambda path: path.stat().st_size)
    largest.unlink()
    found = summary(made, "--budget", "100M", code=1)
    damaged = {one["path"] for one in found["damaged"]}
    assert f"{original.folder}/source/too large" in damaged
    assert found["files"] + len(damaged) == len(found["picked"])
    text = made("drill", "--budget", "100M")
    assert text.code == 1
    assert f"{original.folder}/source/too large cannot be restored intact" in text.err
    assert "last successful drill: not this one; no previous one" in text.out


def test_a_damaged_blob_is_told_with_its_file(made: Caller, original: Caller) -> None:
    largest = max((made.repository / "data").glob("??/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    for place in range(0, len(data), 10_000):
        data[place] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(data)
    found = summary(made, "--budget", "100M", code=1)
    assert f"{original.folder}/source/too large" in {one["path"] for one in found["damaged"]}


def test_an_index_that_lacks_a_blob_is_told_with_the_file(made: Caller) -> None:
    index = max((made.repository / "index").iterdir(), key=lambda path: path.stat().st_size)
    index.unlink()
    outcome = made("drill")
    assert outcome.code == 1
    assert "not in the index" in outcome.err


def test_a_file_here_that_differs_though_it_looks_the_same_is_named(
    made: Caller, original: Caller, tmp_path: Path
) -> None:
    source = original.folder / "source"
    kept = tmp_path / "kept"
    shutil.copytree(source, kept)
    victim, changed = source / "folder" / "3", source / "folder" / "4"
    before = victim.stat()
    victim.write_bytes(bytes(before.st_size))
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    # That one was changed by its owner, which is no fault.
    changed.write_bytes(bytes(changed.stat().st_size))
    try:
        found = summary(made, "--budget", "100M", code=1)
        text = made("drill", "--budget", "100M")
    finally:
        shutil.copytree(kept, source, dirs_exist_ok=True)
    assert found["differing"] == [str(victim)]
    assert found["compared"] == len(found["picked"]) - 1
    assert f"{victim} differs from the backup" in text.err


def test_snapshots_are_chosen_as_elsewhere(made: Caller, original: Caller) -> None:
    source = str(original.folder / "source")
    stored = made("snapshots", "--json").json
    first, second, third, last = (one["id"] for one in stored)
    assert summary(made, "--host", stored[0]["hostname"])["snapshot_id"] == last
    assert summary(made, "--after", "2024-01-02", "--before", "2024-01-03", "--path", source)["snapshot_id"] == third
    assert made("tag", "--set", "kept", second).code == 0
    tagged = summary(made, "--tag", "kept")["snapshot_id"]
    assert tagged not in (first, second, third)
    assert made("cat", "snapshot", tagged).json["original"] == second
    outcome = made("drill", "--path", "/elsewhere")
    assert outcome.code == 1
    assert "no snapshot found" in outcome.err


def test_a_folder_of_a_snapshot_can_be_drilled(made: Caller, original: Caller) -> None:
    source = original.folder / "source"
    found = summary(made, f"latest:{source}/folder")
    assert found["files"] == found["compared"] == 41
    assert {os.path.dirname(one["path"]) for one in found["picked"]} == {f"{source}/folder"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--budget", "0"], "--budget must be a size"),
        (["--budget", "much"], "invalid syntax"),
        (["latest", "latest"], "more than one snapshot"),
        (["--host", "nobody"], "no snapshot found"),
        (["latest:/nowhere"], "not found"),
    ],
)
def test_what_makes_no_sense_is_refused(made: Caller, words: list[str], complaint: str) -> None:
    outcome = made("drill", *words)
    assert outcome.code == 1
    assert complaint in outcome.err
