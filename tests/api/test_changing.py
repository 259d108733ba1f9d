"""What an opened repository does to snapshots, beside the real restic."""

import json
import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pyrestic
from pyrestic.report import NullReporter, Progress
from tests.support.damage import find_file, flip
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic


@pytest.fixture
def place(tmp_path: Path, newest: Program) -> Path:
    """Five daily snapshots of restic and one of another host."""
    place = make_quick_repository(tmp_path / "repository")
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    for day in range(1, 6):
        (source / "folder" / f"file {day}").write_text(str(day) * 1000)
        newest.run("backup", source, "--host=here", f"--time=2024-03-0{day} 12:00:00", repository=place)
    newest.run("backup", source, "--host=there", "--tag=kept", "--time=2024-03-01 12:00:00", repository=place)
    return place


def opened(place: Path, **more: Any) -> pyrestic.OpenRepository:
    return pyrestic.open_repository(place, password=PASSWORD, **more)


def ids(snapshots: "list[pyrestic.OpenSnapshot] | tuple[pyrestic.OpenSnapshot, ...]") -> list[str]:
    return [snapshot.id for snapshot in snapshots]


def test_a_plan_of_forget_says_what_restic_says_and_running_it_removes_just_that(place: Path, newest: Program) -> None:
    policy = ("--keep-daily=2", "--keep-tag=kept", "--keep-within=2d", "--group-by=host")
    # The order of restic's groups is random.
    theirs = sorted(
        newest.run("forget", "--dry-run", "--json", *policy, repository=place).json, key=lambda group: group["host"]
    )
    with opened(place) as repository:
        plan = repository.plan_forget(keep_daily=2, keep_tags=[["kept"]], keep_within="2d", group_by=["host"])
        assert [group.host for group in plan.groups] == [each["host"] for each in theirs]
        for ours, group in zip(plan.groups, theirs, strict=True):
            assert ids(ours.remove) == [each["id"] for each in group["remove"] or ()]
            assert [(kept.snapshot.id, list(kept.reasons)) for kept in ours.keep] == [
                (each["id"], reason["matches"]) for each, reason in zip(group["keep"], group["reasons"], strict=True)
            ]
        assert len(newest.snapshots(place)) == 6
        assert set(plan.run()) == set(ids(plan.remove))
        assert {each["id"] for each in newest.snapshots(place)} == {kept.snapshot.id for kept in plan.keep}
        assert plan.run() == tuple(sorted(ids(plan.remove)))
        newest.run("forget", plan.keep[0].snapshot.id, repository=place, code=11)
    newest.run("forget", plan.keep[0].snapshot.id, repository=place)
    with opened(place) as repository, pytest.raises(pyrestic.PyresticError, match="was closed"):
        plan.run()
    newest.run("check", repository=place)


def test_a_plan_is_not_run_when_what_it_keeps_is_gone(place: Path, newest: Program) -> None:
    with opened(place, lock=False) as repository:
        plan = repository.plan_forget(keep_last=1)
        newest.run("forget", plan.keep[0].snapshot.id, repository=place)
        with pytest.raises(pyrestic.PyresticError, match="which was to be kept, is gone"):
            plan.run()
        assert len(newest.snapshots(place)) == 5
        removed = repository.forget([repository.snapshot(), repository.snapshots()[0].short_id])
        assert len(removed) == 2
        assert len(newest.snapshots(place)) == 3
        with pytest.raises(pyrestic.UsageError, match="no matching ID"):
            repository.forget([repository.snapshot(), "0000"])
        assert len(newest.snapshots(place)) == 3


def test_a_policy_that_makes_no_sense_is_refused(place: Path) -> None:
    with opened(place) as repository:
        for policy, words in (
            ({}, "no policy"),
            ({"unsafe_allow_remove_all": True}, "unless a snapshot filter"),
            ({"keep_last": -1}, "0 or more"),
            ({"keep_within": "-1d"}, "negative"),
            ({"keep_within": "x"}, "no number"),
            ({"keep_tags": [["absent"]]}, "refusing to delete last snapshot"),
            ({"keep_last": 1, "group_by": "host"}, "pass group_by as a list"),
        ):
            with pytest.raises(pyrestic.UsageError, match=words):
                repository.plan_forget(**policy)
        every = repository.snapshots(host="there")
        assert ids(repository.plan_forget(every, unsafe_allow_remove_all=True).remove) == ids(every)


def test_tags_are_changed_as_restic_changes_them(place: Path, newest: Program) -> None:
    with opened(place) as repository:
        first = repository.snapshots()[0]
        changed = repository.tag([first, "latest"], add=["a", "b"])
        assert len(changed) == 2
        assert changed[0].old == first.id
        renewed = repository.snapshot(changed[0].new)
        assert (renewed.tags, renewed.original) == (
            ("kept", "a", "b") if "kept" in first.tags else ("a", "b"),
            first.id,
        )
        assert repository.tag([renewed], remove=["a", "absent"])[0].old == renewed.id
        assert repository.tag([], set_to=["x"]) == ()
        assert len(repository.tag(None, set_to=["x"])) == 6
        for wrong in ({}, {"add": ["a"], "set_to": ["b"]}):
            with pytest.raises(pyrestic.UsageError, match="either set_to"):
                repository.tag(None, **wrong)  # type: ignore[arg-type]
    assert [each["tags"] for each in newest.snapshots(place)] == [["x"]] * 6
    newest.run("check", repository=place)


def test_rewrite_gives_the_trees_that_restic_gives(place: Path, tmp_path: Path, newest: Program) -> None:
    with opened(place) as repository:
        before = repository.snapshots()
        assert repository.rewrite(exclude=["file 1"], dry_run=True).replaced[0].new == ""
        assert ids(repository.snapshots()) == ids(before)
        new_time = datetime(2020, 1, 1, tzinfo=UTC)
        done = repository.rewrite(["latest"], exclude=["file 1"], new_host="elsewhere", new_time=new_time)
        (replaced,) = done.replaced
        ours = repository.snapshot(replaced.new)
        assert (ours.hostname, ours.time, ours.tags) == ("elsewhere", new_time, ("rewrite",))
    newest.run("rewrite", "--exclude=file 1", replaced.old, repository=place)
    made = [each for each in newest.snapshots(place) if each.get("original") == replaced.old]
    assert [each["tree"] for each in made] == [ours.tree] * 2
    with opened(place) as repository:
        gone = repository.rewrite(include=["file 2"], forget=True)
        assert len(gone.replaced) >= 5
        with pytest.raises(pyrestic.UsageError, match="mutually exclusive"):
            repository.rewrite(include=["a"], exclude=["b"])
        with pytest.raises(pyrestic.UsageError, match="nothing to do"):
            repository.rewrite()
    newest.run("check", "--read-data", repository=place)


def test_snapshots_are_repaired_as_restic_repairs_them(place: Path, newest: Program) -> None:
    with opened(place) as repository:
        content = repository.snapshot().entry(place.parent / "source" / "folder" / "file 5").content
    index = [json.loads(newest.run("cat", "index", path.name, repository=place).stdout) for path in _index(place)]
    packs = [pack for one in index for pack in one["packs"]]
    lost = next(pack["id"] for pack in packs if content[0] in [blob["id"] for blob in pack["blobs"]])
    next(place.glob(f"data/*/{lost}")).unlink()
    newest.run("repair", "index", repository=place)
    with opened(place) as repository:
        would = repository.repair_snapshots(dry_run=True)
        assert would.losses
        done = repository.repair_snapshots(forget=True)
        assert [one.old for one in done.replaced] == [one.old for one in would.replaced]
        assert repository.repair_snapshots().replaced == ()
    newest.run("check", "--read-data", repository=place)


def _index(place: Path) -> list[Path]:
    return sorted((place / "index").iterdir())


def test_a_snapshot_file_that_is_damaged_is_removed_when_it_is_named(place: Path, newest: Program) -> None:
    damaged = find_file(place, "snapshot")
    flip(damaged)
    with opened(place) as repository:
        with pytest.raises(pyrestic.DamageError):
            repository.repair_snapshots()
        with pytest.raises(pyrestic.DamageError):
            repository.repair_snapshots([damaged.name])
        done = repository.repair_snapshots([damaged.name], forget=True)
        assert (done.removed_unreadable, done.replaced) == ((damaged.name,), ())
    newest.run("check", repository=place)


def test_a_copy_is_found_by_restic_and_not_made_twice(place: Path, tmp_path: Path, newest: Program) -> None:
    other = make_quick_repository(tmp_path / "other")
    with opened(place) as source, opened(other) as target:
        first = target.copy(source, ["latest"])
        assert (len(first.copied), len(first.skipped)) == (1, 0)
        rest = target.copy(source)
        assert (len(rest.copied), len(rest.skipped)) == (5, 1)
        assert rest.skipped[0] == first.copied[0]
        assert {one.source for one in rest.copied} | {first.copied[0].source} == set(ids(source.snapshots()))
        # What came is known to the opened repository.
        assert [entry.name for entry in target.snapshot(first.copied[0].id).walk() if entry.is_file]
    newest.run("check", "--read-data", repository=other)
    assert newest.run("copy", "--from-repo", place, repository=other, RESTIC_FROM_PASSWORD=PASSWORD).code == 0
    assert len(newest.snapshots(other)) == 6


class Stopper(NullReporter):
    """Asks for the end when so many lines have been told or counters shown."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.cancel = threading.Event()
        self._left = after

    def note(self, message: str, level: int = 1) -> None:
        self._count()

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        self._count()
        return super().show(progress)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.cancel.set()


@pytest.mark.parametrize("after", range(0, 12, 2))
def test_wherever_a_verb_is_cancelled_restic_finds_nothing_wrong(
    place: Path, tmp_path: Path, newest: Program, after: int
) -> None:
    other = make_quick_repository(tmp_path / "other")
    before = {each["tree"] for each in newest.snapshots(place)}
    with opened(place, lock=False) as repository, opened(other) as target:
        for verb in (
            lambda stop: target.copy(repository, report=stop, cancel=stop.cancel),
            lambda stop: repository.tag(None, add=["x"], report=stop, cancel=stop.cancel),
            lambda stop: repository.rewrite(exclude=["file 3"], report=stop, cancel=stop.cancel),
            lambda stop: repository.repair_snapshots(report=stop, cancel=stop.cancel),
        ):
            try:
                verb(Stopper(after))
            except pyrestic.CancelledError:
                continue
        assert repository.snapshots() != []
        assert target.copy(repository, report=NullReporter()).skipped is not None
    for one in (place, other):
        checked = newest.run("check", "--read-data", repository=one)
        assert "error" not in checked.text.replace("no errors were found", "")
        assert list((one / "locks").iterdir()) == []
    assert before <= {each["tree"] for each in newest.snapshots(place)}


def test_forget_that_is_cancelled_removes_no_more(place: Path, newest: Program) -> None:
    with opened(place) as repository:
        stop = Stopper(0)
        with pytest.raises(pyrestic.CancelledError):
            repository.forget(repository.snapshots(), report=stop, cancel=stop.cancel)
        assert repository.snapshots() != []
    newest.run("check", repository=place)
