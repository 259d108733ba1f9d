"""Restores that the pages ask for: where they write, what they are called, what is said of them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.errors import TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.localfs.target_root import TargetRoot
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.web.jobs import JobState, RestoreJob, Restores, TargetRules
from pyrestic.web.site import Site, Spot
from tests.support.cli import Caller


def nothing() -> None:
    """Let a load go on."""


class HookedBackend(LocalBackend):
    """Calls something before it loads from a pack."""

    before: Callable[[], None] = staticmethod(nothing)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file."""
        if handle.type is FileType.PACK:
            self.before()
        return super().load(handle, offset, length)

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill room with bytes of the file."""
        if handle.type is FileType.PACK:
            self.before()
        super().load_into(handle, offset, room)


@dataclass
class Stage:
    """A repository with two versions of a file, and a folder to restore into."""

    tmp_path: Path
    backend: HookedBackend
    site: Site
    restores: Restores
    spots: list[Spot] = field(default_factory=list)

    @property
    def allowed(self) -> Path:
        """Where may be restored."""
        return self.tmp_path / "allowed"

    @property
    def outside(self) -> Path:
        """Where nothing may be written."""
        return self.tmp_path / "outside"

    def prepare(self, spot: Spot, target: Path, overwrite: Overwrite = Overwrite.NEVER) -> RestoreJob:
        """Prepare a restore and wait until it is ready."""
        job = self.restores.prepare(spot, str(target), RestoreOptions(overwrite=overwrite, verify=True))
        return self.wait(job)

    def start(self, job: RestoreJob) -> RestoreJob:
        """Start it and wait for its end."""
        self.restores.start(job.number)
        return self.wait(job)

    def wait(self, job: RestoreJob) -> RestoreJob:
        """Wait until nothing is under way for a job."""
        deadline = time.monotonic() + 60
        while job.under_way:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return job

    def said(self, job: RestoreJob) -> str:
        """Return what the page of a restore says of its end."""
        page = self.site.renderer.page("job.html", active="restores", job=job, state=job.state.value, choices={})
        text = bytes(page.body).decode()
        return " ".join(text[text.index("</h1>") :].split())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    call = Caller(tmp_path)
    call.create()
    folder = tmp_path / "source" / "folder"
    folder.mkdir(parents=True)
    for number, content in enumerate(("old", "newer")):
        (folder / "note.txt").write_text(content)
        os.utime(folder / "note.txt", (1_700_000_000 + number * 86400,) * 2)
        (folder / "other").write_bytes(os.urandom(1000))
        call("backup", "source")
    for name in ("allowed", "outside"):
        (tmp_path / name).mkdir()
    backend = HookedBackend(str(call.repository))
    repository = Repository.open(backend, call.environment["RESTIC_PASSWORD"])
    repository.load_index(NullReporter())
    site = Site(repository, SnapshotFilter(), NullReporter(), title="")
    root = TargetRoot(str(tmp_path / "allowed"), [str(call.repository)])
    rules = TargetRules(str(tmp_path / "allowed"), (str(call.repository),), "", root)
    made = Stage(tmp_path, backend, site, Restores(repository, rules, NullReporter()))
    made.spots = [site.find(stored, b"/source/folder/note.txt") for stored in reversed(site.catalog.snapshots())]
    yield made
    site.close()
    repository.close()
    root.close()


def folder_of(stage: Stage, number: int) -> Spot:
    return stage.site.find(stage.spots[number].stored, b"/source/folder")


def test_two_versions_of_a_file_stand_side_by_side_and_both_are_said_to_be_there(stage: Stage) -> None:
    for spot in stage.spots:
        job = stage.start(stage.prepare(spot, stage.allowed))
        assert job.state is JobState.DONE
        assert "Everything was restored" in stage.said(job)
    dated = time.strftime("note_%Y-%m-%d_%H.%M.%S.txt", time.localtime(1_700_086_400))
    assert {path.name: path.read_text() for path in stage.allowed.iterdir()} == {"note.txt": "old", dated: "newer"}
    assert "with the date in its name" in stage.said(job)
    assert job.whole_target == str(stage.allowed / dated)


def test_a_version_that_is_there_already_is_not_made_again(stage: Stage) -> None:
    for _ in range(2):
        job = stage.start(stage.prepare(stage.spots[0], stage.allowed))
    assert [path.name for path in stage.allowed.iterdir()] == ["note.txt"]
    assert "Everything was restored" in stage.said(job)
    assert "1 existing files were already identical" in stage.said(job)


def test_a_folder_that_is_kept_gets_a_date_for_the_other_one(stage: Stage) -> None:
    for number in (0, 1):
        job = stage.start(stage.prepare(folder_of(stage, number), stage.allowed))
        assert "Everything was restored" in stage.said(job)
    first, second = sorted(stage.allowed.iterdir())
    assert (first.name, (first / "note.txt").read_text()) == ("folder", "old")
    assert second.name.startswith("folder_20")
    assert (second / "note.txt").read_text() == "newer"


@pytest.mark.parametrize("overwrite", [Overwrite.NEVER, Overwrite.IF_NEWER])
def test_everything_is_never_said_when_something_was_left(stage: Stage, overwrite: Overwrite) -> None:
    spot = folder_of(stage, 0) if overwrite is Overwrite.IF_NEWER else folder_of(stage, 1)
    job = stage.prepare(spot, stage.allowed, overwrite)
    # It comes between the look and the start.
    (stage.allowed / "folder").mkdir()
    (stage.allowed / "folder" / "note.txt").write_text("mine")
    stage.start(job)
    assert (stage.allowed / "folder" / "note.txt").read_text() == "mine"
    assert "Not everything was restored" in stage.said(job)
    assert "1 existing files were kept" in stage.said(job)
    assert "Everything was restored" not in stage.said(job)


def test_what_could_not_be_restored_of_a_files_metadata_is_told(stage: Stage) -> None:
    job = stage.start(stage.prepare(stage.spots[0], stage.allowed))
    job.warn("the generic attribute of a file was not restored")
    assert "Not everything was restored" in stage.said(job)
    assert "Missing data" in stage.said(job)


def swap(folder: Path, outside: Path) -> None:
    """Put a link in the place of a folder."""
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(outside)


def assert_refused(stage: Stage, job: RestoreJob) -> None:
    assert job.state is JobState.FAILED
    assert "there is a link" in job.message
    assert list(stage.outside.iterdir()) == []


@pytest.mark.parametrize("swapped", ["target", "above", "made"])
def test_a_folder_swapped_for_a_link_before_the_start_gets_nothing(stage: Stage, swapped: str) -> None:
    target = stage.allowed / "a" / "b"
    if swapped != "made":
        target.mkdir(parents=True)
    job = stage.prepare(stage.spots[0], target)
    assert job.state is JobState.READY
    if swapped == "made":
        (stage.allowed / "a").symlink_to(stage.outside)
    else:
        swap(target if swapped == "target" else target.parent, stage.outside)
    assert_refused(stage, stage.start(job))


def test_a_folder_swapped_for_a_link_while_another_restore_is_under_way_gets_nothing(stage: Stage) -> None:
    target = stage.allowed / "in"
    target.mkdir()
    job = stage.prepare(stage.spots[0], target)
    other = stage.prepare(stage.spots[1], stage.allowed)
    going, goes_on = threading.Event(), threading.Event()

    def wait() -> None:
        going.set()
        assert goes_on.wait(30)

    stage.backend.before = wait
    stage.restores.start(other.number)
    assert going.wait(30)
    swap(target, stage.outside)
    with pytest.raises(TransientError):
        stage.restores.start(job.number)
    goes_on.set()
    stage.wait(other)
    assert other.state is JobState.DONE
    assert_refused(stage, stage.start(job))


def test_a_folder_swapped_for_a_link_during_a_restore_changes_nothing(stage: Stage) -> None:
    target = stage.allowed / "a" / "b"
    target.mkdir(parents=True)
    job = stage.prepare(folder_of(stage, 0), target)
    swaps = [lambda: swap(target.parent, stage.outside)]

    def swap_once() -> None:
        if swaps:
            swaps.pop()()

    stage.backend.before = swap_once
    stage.start(job)
    assert not swaps
    assert list(stage.outside.iterdir()) == []
    # It goes on where it began; reading back finds a link on the way, and says so.
    assert (stage.allowed / "moved" / "b" / "folder" / "note.txt").read_text() == "old"
    assert_refused(stage, job)
