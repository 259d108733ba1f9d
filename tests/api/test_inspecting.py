"""What an opened repository tells of its content, beside the real restic."""

import os
import shutil
import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pyrestic
from pyrestic.report import NullReporter, Progress
from tests.support.damage import find_file, flip
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "One.txt").write_text("one" * 2000)
    (source / "two.txt").write_text("two" * 3000)
    (source / "same.txt").write_text("two" * 3000)
    (source / "link").symlink_to("two.txt")
    return source


@pytest.fixture
def place(tmp_path: Path, source: Path, newest: Program) -> Path:
    """Two snapshots of restic that differ in a file that went, one that came, and one that changed."""
    place = make_quick_repository(tmp_path / "repository")
    newest.run("backup", source, repository=place)
    (source / "folder" / "One.txt").unlink()
    (source / "three").write_text("three")
    (source / "two.txt").write_text("changed")
    newest.run("backup", source, repository=place)
    return place


def locks(place: Path) -> int:
    return len(list((place / "locks").iterdir()))


def test_diff_tells_what_restic_tells(place: Path, source: Path, newest: Program) -> None:
    first, second = (each["id"] for each in newest.snapshots(place))
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        found = repository.diff(repository.snapshot("latest~1"), "latest", metadata=True)
        below = repository.diff(f"{first}:{source}/folder", f"{second}:{source}/folder")
    messages = newest.run("diff", "--json", "--metadata", first, second, repository=place).messages
    assert [(one["path"], one["modifier"]) for one in messages[:-1]] == list(found.changes)
    sums = messages[-1]
    assert sums["changed_files"] == found.changed_files
    for side, ours in (("added", found.added), ("removed", found.removed)):
        assert sums[side] == {name: getattr(ours, name) for name in sums[side]}
    assert below.changes == (pyrestic.Change("/One.txt", "-"),)


def test_find_names_the_entries_and_the_uses_that_restic_names(place: Path, source: Path, newest: Program) -> None:
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        found = repository.find(["one.*", "t*"], ignore_case=True)
        early = repository.find(["*"], newest=datetime(2001, 1, 1, tzinfo=UTC))
        only = repository.find(["*.txt"], snapshots=[repository.snapshot("latest~1")])
        file = repository.snapshot("latest~1").entry(source / "two.txt")
        folder = repository.snapshot("latest~1").entry(source / "folder")
        uses = repository.find_uses(blobs=file.content)
        tree_uses = repository.find_uses(trees=[folder.subtree])
        pack = next(place.glob("data/*/*")).name
        pack_uses = repository.find_uses(packs=[pack])
        with pytest.raises(pyrestic.UsageError, match="one of blobs, trees and packs"):
            repository.find_uses(blobs=["x"], trees=["y"])
    theirs = newest.run("find", "--json", "-i", "one.*", "t*", repository=place).json
    assert [(one.snapshot.id, one.entry.path, one.entry.size) for one in found.entries] == [
        (each["snapshot"], match["path"], match.get("size", 0)) for each in theirs for match in each["matches"]
    ]
    assert early.entries == ()
    assert {Path(one.entry.path).name for one in only.entries} == {"One.txt", "two.txt", "same.txt"}
    for ours, flag, names in (
        (uses, "--blob", file.content),
        (tree_uses, "--tree", [folder.subtree]),
        (pack_uses, "--pack", [pack]),
    ):
        theirs = newest.run("find", "--json", flag, *names, repository=place).json
        assert sorted((one.snapshot.id, one.path, one.blob, one.parent_tree) for one in ours.uses) == sorted(
            (each["snapshot"], each["path"], each["id"], each.get("parent_tree", "")) for each in theirs
        )
    assert len(uses.uses) == 3


@pytest.mark.parametrize("mode", ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"])
def test_stats_counts_what_restic_counts(place: Path, newest: Program, mode: "pyrestic.StatsMode") -> None:
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        every, one = repository.stats(mode=mode), repository.stats(["latest"], mode=mode)
    for ours, names in ((every, []), (one, ["latest"])):
        theirs = newest.run("stats", "--json", "--mode", mode, *names, repository=place).json
        assert ours.bytes == theirs["total_size"]
        assert ours.files == theirs.get("total_file_count", 0)
        assert ours.blobs == theirs.get("total_blob_count", 0)
        assert ours.snapshots == theirs["snapshots_count"]
        assert ours.compression_ratio == pytest.approx(theirs.get("compression_ratio", 0))
        assert ours.compression_space_saving == pytest.approx(theirs.get("compression_space_saving", 0))


def test_check_finds_nothing_wrong_where_nothing_is(place: Path, newest: Program) -> None:
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        found = repository.check(read_data=True)
        assert (found.ok, found.errors, found.findings, found.complete) == (True, 0, (), True)
        assert sorted(found.verified_packs) == sorted(path.name for path in place.glob("data/*/*"))
        assert set(repository.check(read_data_subset="1/1").verified_packs) == set(found.verified_packs)
        assert repository.check().verified_packs == ()
        # The lock that it had before it was alone.
        assert locks(place) == 1
        assert repository.snapshot().entries() != []
    assert locks(place) == 0


@pytest.mark.parametrize("kind", ["data pack", "tree pack", "index", "snapshot"])
def test_check_counts_errors_where_restic_does(place: Path, newest: Program, kind: str) -> None:
    flip(find_file(place, kind))
    code = newest.run("check", "--read-data", repository=place, code=None).code
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        found = repository.check(read_data=True)
    assert found.ok == (code == 0)
    assert found.complete == (kind != "index")
    assert bool(found.broken_packs) == (kind.endswith("pack"))


def test_check_waits_for_nobody_and_is_alone(place: Path) -> None:
    with (
        pyrestic.open_repository(place, password=PASSWORD),
        pyrestic.open_repository(place, password=PASSWORD) as repository,
    ):
        with pytest.raises(pyrestic.LockedError):
            repository.check()
        # It can be used as before.
        assert len(repository.snapshots()) == 2
        assert locks(place) == 2
    with (
        pyrestic.open_repository(place, password=PASSWORD),
        pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository,
    ):
        assert repository.check().ok


def test_a_check_with_a_budget_goes_round_and_a_drill_compares(place: Path, tmp_path: Path, source: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    with pyrestic.open_repository(place, password=PASSWORD, environment=home) as repository:
        packs = len(list(place.glob("data/*/*")))
        covered = [repository.check(budget=1).coverage for _ in range(packs)]
        assert [one.never for one in covered if one is not None] == list(reversed(range(packs)))
        drilled = repository.drill(seed=1)
        assert drilled.ok
        assert {Path(one.path).name for one in drilled.picked} == {"two.txt", "same.txt", "three"}
        assert (drilled.files, drilled.compared, drilled.previous) == (3, 3, None)
        assert repository.drill(seed=1).previous is not None
        before = (source / "same.txt").stat()
        (source / "same.txt").write_text("twx" * 3000)
        os.utime(source / "same.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
        again = repository.drill(seed=1)
        assert (again.ok, again.differing, again.damaged) == (False, (str(source / "same.txt"),), ())
        with pytest.raises(pyrestic.UsageError, match="some bytes"):
            repository.drill(budget=0)


class Stopper(NullReporter):
    """Asks for the end as soon as the verb shows a counter, or tells something."""

    def __init__(self) -> None:
        super().__init__()
        self.cancel = threading.Event()
        self.labels: list[str] = []

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        self.labels.append(progress.label)
        self.cancel.set()
        return super().show(progress)


def test_a_verb_that_is_cancelled_ends_with_an_error_and_leaves_no_lock(place: Path, newest: Program) -> None:
    with pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository:
        stop = Stopper()
        with pytest.raises(pyrestic.CancelledError):
            repository.check(read_data=True, report=stop, cancel=stop.cancel)
        assert stop.labels[0] == "index files loaded"
        stop = Stopper()
        with pytest.raises(pyrestic.CancelledError):
            repository.stats(report=stop, cancel=stop.cancel)
        done = threading.Event()
        done.set()
        for verb in (
            lambda: repository.find(["x"], cancel=done),
            lambda: repository.find_uses(blobs=["x"], cancel=done),
            lambda: repository.diff("latest~1", "latest", cancel=done),
            lambda: repository.drill(cancel=done),
        ):
            with pytest.raises(pyrestic.CancelledError):
                verb()
        # And it can be used as before.
        assert repository.stats().snapshots == 2
    assert locks(place) == 0
    newest.run("check", repository=place)


def test_what_the_cache_holds_does_not_hide_damage(place: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pyrestic.open_repository(place, password=PASSWORD, cache_dir=cache) as repository:
        repository.find(["*"])
        shutil.rmtree(place / "snapshots")
        (place / "snapshots").mkdir()
        find_file(place, "tree pack").unlink()
        assert not repository.check().ok
