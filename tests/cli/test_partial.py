"""Partial snapshots by the command line: when they are made, named, kept and removed."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import pyrestic
from pyrestic.cli import interrupts
from pyrestic.format.snapshot import PARTIAL_TAG
from pyrestic.native.engines import CompiledEngines
from pyrestic.operations.early_end import EarlyEnd, EarlyReason
from pyrestic.operations.partial_snapshots import PartialSnapshots
from pyrestic.repository.locking import LockMode
from tests.support.cli import PASSWORD, Caller

FILES = [f"folder {number}/file {each}" for number in range(4) for each in range(3)]


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    call = Caller(tmp_path)
    call.create()
    return call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


class Ending:
    """Asks for an early end at the so many-th question; `left` is None for never."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.reason = EarlyReason.INTERRUPTED

    def look(self, early_end: EarlyEnd) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                early_end.request(self.reason)


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Ending:
    # Each small file is read when the walk reaches it.
    monkeypatch.setattr(CompiledEngines, "may_read_batches", False)
    ending = Ending()
    original = EarlyEnd.ensure_unwanted

    def look(early_end: EarlyEnd) -> None:
        ending.look(early_end)
        original(early_end)

    monkeypatch.setattr(EarlyEnd, "ensure_unwanted", look)
    return ending


def early(source: Path) -> int:
    """Return at which question the first folders are complete: each folder above them asks one, too."""
    return len(source.parts) + 8


def snapshots(call: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("snapshots", "--json").json
    return found


def files(call: Caller, name: str = "latest") -> set[str]:
    entries = [json.loads(line) for line in call("ls", name, "--json").out.splitlines()[1:]]
    return {os.path.relpath(one["path"], call.folder / "source") for one in entries if one["type"] == "file"}


def test_an_interrupted_first_backup_leaves_a_snapshot_of_what_is_complete(
    call: Caller, source: Path, ending: Ending
) -> None:
    ending.left = early(source)
    outcome = call("backup", "--partial", "--tag", "mine", source)
    assert outcome.code == 130
    assert "saved, partial" in outcome.out
    assert "Warning: the backup ended early: interrupted" in outcome.err
    (only,) = snapshots(call)
    assert only["tags"] == ["mine", PARTIAL_TAG]
    assert only["paths"] == [str(source)]
    assert only["partial"] is True
    assert set() < files(call) < set(FILES)
    assert call("check", "--read-data").code == 0


def test_the_finished_backup_reads_nothing_twice_and_removes_what_it_replaces(
    call: Caller, source: Path, ending: Ending
) -> None:
    ending.left = early(source)
    call("backup", "--partial", source)
    (partial,) = snapshots(call)
    complete = len(files(call))
    ending.left = None
    outcome = call("backup", "--partial", "--json", source)
    summary = json.loads(outcome.out.splitlines()[-1])
    assert (outcome.code, summary["files_unmodified"], summary["files_new"]) == (0, complete, len(FILES) - complete)
    assert "partial" not in summary
    (only,) = snapshots(call)
    assert (only["parent"], only.get("tags")) == (partial["id"], None)
    assert files(call) == set(FILES)


def test_what_a_partial_snapshot_lacks_is_looked_up_in_the_last_complete_one(
    call: Caller, source: Path, ending: Ending
) -> None:
    call("backup", source)
    ending.left = early(source)
    call("backup", "--force", "--partial", source)
    complete, partial = (files(call, one["id"]) for one in snapshots(call))
    assert partial < complete
    ending.left = None
    (source / FILES[-1]).write_text("changed")
    summary = json.loads(call("backup", "--json", source).out.splitlines()[-1])
    assert (summary["files_unmodified"], summary["files_changed"], summary["files_new"]) == (len(FILES) - 1, 1, 0)
    assert [one.get("partial") for one in snapshots(call)] == [None, None]


def test_with_a_parent_the_rest_is_as_it_was(call: Caller, source: Path, ending: Ending) -> None:
    call("backup", source)
    for name in (FILES[0], FILES[-1]):
        (source / name).write_text("changed")
    ending.left, ending.reason = early(source), EarlyReason.TIME_LIMIT
    outcome = call("backup", "--time-limit", "1h", "--json", source)
    summary = json.loads(outcome.out.splitlines()[-1])
    assert (outcome.code, summary["partial"], summary["ended_early"]) == (3, True, "time limit reached")
    assert files(call) == set(FILES)
    target = call.folder / "target"
    call("restore", f"latest:{source}", "--target", target)
    assert (target / FILES[0]).read_text() == "changed"
    assert (target / FILES[-1]).read_text() == FILES[-1]
    first, partial = snapshots(call)
    assert (partial["parent"], partial["tags"]) == (first["id"], [PARTIAL_TAG])


def test_each_partial_snapshot_replaces_the_one_that_it_continues(call: Caller, source: Path, ending: Ending) -> None:
    seen = []
    for more in (0, 3):
        ending.left = early(source) + more
        assert call("backup", "--partial", source).code == 130
        seen.append(files(call))
        assert len(snapshots(call)) == 1
    assert seen[0] < seen[1]


def test_nothing_new_means_no_snapshot(call: Caller, source: Path, ending: Ending) -> None:
    ending.left = 0
    outcome = call("backup", "--partial", source)
    assert (outcome.code, snapshots(call)) == (130, [])
    assert "nothing new is complete, so no snapshot" in outcome.out


@pytest.mark.usefixtures("ending")
def test_checkpoints_replace_one_another_and_go_with_the_finished_backup(
    call: Caller, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = []
    original = PartialSnapshots.take
    monkeypatch.setattr(PartialSnapshots, "seconds_left", lambda _: 0.0)

    def take(self: Any, tree: Any) -> None:
        original(self, tree)
        notes.append(len(os.listdir(call.repository / "snapshots")))

    monkeypatch.setattr(PartialSnapshots, "take", take)
    outcome = call("backup", "--checkpoint", "30m", "-v", source)
    assert outcome.code == 0
    assert outcome.out.count("checkpoint: snapshot") > 3
    assert max(notes) == 1
    (only,) = snapshots(call)
    assert "tags" not in only


def test_a_run_that_could_not_read_all_leaves_the_partial_snapshot_that_it_continued(
    call: Caller, source: Path, ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending.left = early(source)
    call("backup", "--partial", source)
    ending.left = None
    original = os.open

    def fail(path: Any, *arguments: Any, **named: Any) -> int:
        if path == b"file 2":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "open", fail)
    assert call("backup", "--force", source).code == 3
    assert call("backup", "--force", "--parent", "", source).code == 3
    monkeypatch.undo()
    assert any(one.get("partial") for one in snapshots(call))


def test_a_foreign_lock_keeps_the_partial_snapshot_for_forget(call: Caller, source: Path, ending: Ending) -> None:
    ending.left = early(source)
    call("backup", "--partial", source)
    ending.left = None
    with pyrestic.open_repository(call.repository, password=PASSWORD, environment=call.environment) as repository:
        other = pyrestic.open_repository(call.repository, password=PASSWORD, environment=call.environment)
        with other, other._working(LockMode.APPEND, None, None):
            repository.backup([source])
            assert [one.partial for one in repository.snapshots()] == [True, False]
    assert call("forget", "--keep-last", "10").code == 0
    assert ["partial" in one for one in snapshots(call)] == [False]


def test_forget_keeps_partial_ones_only_if_asked(call: Caller, source: Path, ending: Ending) -> None:
    ending.left = early(source)
    call("backup", "--partial", source)
    ending.left = None
    assert "partial snapshot" in call("forget", "--keep-last", "1").out
    call("backup", "--force", source)
    call("forget", "--keep-last", "1", "--keep-partial")
    assert len(snapshots(call)) == 2
    decided = call("forget", "--keep-last", "1", "--json").json
    assert [one.get("partial") for one in decided[0]["remove"]] == [True]
    assert [one.get("partial") for one in snapshots(call)] == [None]


def test_every_command_that_shows_it_says_that_it_is_partial(call: Caller, source: Path, ending: Ending) -> None:
    ending.left = early(source)
    call("backup", "--partial", source)
    assert "1 partial, ended early" in call("snapshots").out
    assert "(partial, ended early)" in call("restore", "latest", "--target", call.folder / "target").out
    assert "(partial, ended early)" in call("ls", "latest").out
    shown = call("history", source / FILES[0])
    assert "partial, ended early" in shown.out
    (history,) = call("history", "--json", source / FILES[0]).json
    assert history["versions"][0]["spans"][0]["first"]["partial"] is True


@pytest.mark.parametrize("flag", ["--partial", "--checkpoint=30m", "--time-limit=1h"])
@pytest.mark.parametrize("other", ["--stdin", "--dry-run"])
def test_streams_and_dry_runs_make_none(call: Caller, source: Path, flag: str, other: str) -> None:
    outcome = call("backup", flag, other, *([source] if other == "--dry-run" else []))
    assert outcome.code == 1
    assert f"{other} makes no partial snapshots" in outcome.err


def test_a_duration_must_be_longer_than_nothing(call: Caller, source: Path) -> None:
    for flag in ("--checkpoint", "--time-limit"):
        outcome = call("backup", flag, "0s", source)
        assert (outcome.code, "must be longer than nothing" in outcome.err) == (1, True)


def test_programs_end_a_backup_by_an_event(call: Caller, source: Path, ending: Ending) -> None:
    event = threading.Event()
    with pyrestic.open_repository(call.repository, password=PASSWORD, environment=call.environment) as repository:
        event.set()
        done = repository.backup([source], end_early=event)
        assert (done.snapshot, done.ended_early) == (None, True)
        ending.left = early(source)
        done = repository.backup([source], end_early=threading.Event(), checkpoint_seconds=100, time_limit_seconds=1e6)
        assert done.snapshot is not None
        assert (done.snapshot.partial, done.ended_early) == (True, True)
        ending.left = None
        done = repository.backup([source])
        assert done.snapshot is not None
        assert (done.snapshot.partial, done.ended_early) == (False, False)
        with pytest.raises(pyrestic.UsageError):
            repository.backup([source], time_limit_seconds=0)


def test_a_signal_before_there_is_anything_to_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_asked", [])
    heard: list[int] = []
    interrupts._hear(signal.SIGUSR2, None)
    with interrupts.ending_early(heard.append):
        assert heard == [signal.SIGUSR2]
        interrupts._hear(signal.SIGUSR2, None)
    assert heard == [signal.SIGUSR2] * 2
