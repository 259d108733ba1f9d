"""An older state of a repository, or hidden snapshots, are noticed by whoever has seen them before."""

import json
import shutil
from pathlib import Path

import pytest

from pyrestic.localfs.snapshot_log import MAX_SNAPSHOTS, Seen, SeenBook
from tests.support.cli import Caller

GONE = "snapshots seen earlier from this machine are gone"
OLDER = "this may be an older state"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    """A repository with three snapshots that this user made."""
    caller = Caller(tmp_path)
    caller.create()
    for text in ("one", "two", "three"):
        (tmp_path / "file").write_text(text)
        assert caller("backup", "file").code == 0
    return caller


def snapshots(call: Caller) -> list[Path]:
    """Return the snapshot files, oldest first."""
    return sorted((call.repository / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize(
    "line",
    [
        "snapshots",
        "snapshots --json",
        "-q snapshots",
        "check",
        "backup file",
        "restore latest --target t",
        "--no-cache ls latest",
    ],
)
def test_an_older_state_is_told_once(call: Caller, line: str) -> None:
    newest = snapshots(call)[-1]
    newest.unlink()
    good = call("--json", "cat", "config")
    assert GONE not in good.err
    outcome = call(*line.split())
    assert outcome.code == 0
    assert GONE in outcome.err
    assert OLDER in outcome.err
    assert newest.name[:8] in outcome.err
    assert GONE not in outcome.out
    assert GONE not in call(*line.split()).err


def test_a_hidden_snapshot_in_the_middle_is_told_without_the_worse_guess(call: Caller) -> None:
    snapshots(call)[1].unlink()
    outcome = call("snapshots")
    assert GONE in outcome.err
    assert OLDER not in outcome.err


@pytest.mark.parametrize(
    "line",
    [
        "forget --keep-last 1",
        "forget latest",
        "forget --keep-last 1 --prune",
        "tag --add x",
        "rewrite --forget --exclude nothing --new-host x",
    ],
)
def test_what_this_user_removes_is_not_told(call: Caller, line: str) -> None:
    assert call("snapshots").code == 0
    outcome = call(*line.split())
    assert outcome.code == 0, outcome.err
    assert GONE not in outcome.err
    assert GONE not in call("snapshots").err


def test_a_dry_run_changes_nothing_that_is_remembered(call: Caller) -> None:
    call("backup", "--dry-run", "file")
    call("forget", "--dry-run", "--keep-last", "1")
    assert GONE not in call("snapshots").err


def test_another_user_has_seen_nothing(call: Caller, tmp_path: Path) -> None:
    snapshots(call)[-1].unlink()
    assert GONE not in call("snapshots", XDG_STATE_HOME=str(tmp_path / "another")).err
    assert GONE not in call("snapshots", HOME=None, XDG_STATE_HOME=None).err
    assert GONE in call("snapshots").err


def test_another_repository_in_the_same_place_is_another(call: Caller) -> None:
    shutil.rmtree(call.repository)
    call.create()
    assert GONE not in call("snapshots").err


def test_a_damaged_snapshot_is_there(call: Caller) -> None:
    path = snapshots(call)[-1]
    path.chmod(0o600)
    path.write_bytes(b"x" * 100)
    shutil.rmtree(call.folder / "cache")
    outcome = call("snapshots")
    assert outcome.code == 1
    assert GONE not in outcome.err


def test_a_note_that_makes_no_sense_is_begun_anew(call: Caller) -> None:
    (note,) = (call.folder / ".local/state/pyrestic/seen").glob("*.json")
    for text in (
        "{",
        "[]",
        '{"version":1}',
        '{"version":1,"snapshots":{"zz":[1,""]}}',
        '{"version":1,"snapshots":{"aa":3}}',
    ):
        note.write_text(text)
        assert call("snapshots").code == 0
        assert len(json.loads(note.read_text())["snapshots"]) == 3


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    book = SeenBook(str(tmp_path / "state"), "ab" * 32)
    many = {number.to_bytes(32): Seen(number, "host") for number in range(MAX_SNAPSHOTS + 5)}
    book.update(many, set())
    assert len(book.read()) == MAX_SNAPSHOTS
    assert min(seen.time_ns for seen in book.read().values()) == 5
    book.update({}, {(7).to_bytes(32)})
    assert (7).to_bytes(32) not in book.read()
