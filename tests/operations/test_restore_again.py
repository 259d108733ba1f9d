"""A restore that was interrupted goes on where it was, and believes nothing that somebody touched."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.handle import FileType, Handle
from pyrestic.operations import restore_tree
from pyrestic.operations.restore_files import FilePlan, compare_existing
from tests.support.cli import Caller
from tests.support.restic import ROOT
from tests.support.sourcetree import describe, difference

pytestmark = pytest.mark.process

MIB = 1 << 20
KILLS = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository of a folder with a large file, some of a megabyte, and many small ones."""
    folder = tmp_path_factory.mktemp("again")
    call = Caller(folder)
    call.create()
    dice = random.Random(9)
    (folder / "source" / "small").mkdir(parents=True)
    (folder / "source" / "large").write_bytes(dice.randbytes(5 * MIB))
    for number in range(8):
        (folder / "source" / f"file {number}").write_bytes(dice.randbytes(MIB))
    for number in range(50):
        (folder / "source" / "small" / f"{number}").write_bytes(dice.randbytes(1000))
    assert call("backup", "--pack-size", "4", folder / "source").code == 0
    return call


class Watch:
    """What restores in this process read: bytes of packs, and files of the target that were compared."""

    def __init__(self) -> None:
        self.fetched = 0
        self.compared: set[str] = set()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    load, load_into = LocalBackend.load, LocalBackend.load_into

    def counted(self: LocalBackend, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        data = load(self, handle, offset, length)
        watch.fetched += len(data) if handle.type is FileType.PACK else 0
        return data

    def counted_into(self: LocalBackend, handle: Handle, offset: int, room: memoryview) -> None:
        load_into(self, handle, offset, room)
        watch.fetched += len(room) if handle.type is FileType.PACK else 0

    def noted(file: FilePlan, *words: object, **more: object) -> None:
        watch.compared.add(os.fsdecode(file.location))
        compare_existing(file, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalBackend, "load", counted)
    monkeypatch.setattr(LocalBackend, "load_into", counted_into)
    monkeypatch.setattr(restore_tree, "compare_existing", noted)
    return watch


def words(made: Caller, target: Path, *flags: str) -> list[str]:
    return ["restore", f"latest:{made.folder}/source", "--target", str(target), *flags]


def notes(made: Caller) -> list[Path]:
    folder = made.folder / ".local" / "state" / "pyrestic" / "restores"
    return list(folder.iterdir()) if folder.exists() else []


def run_and_kill(made: Caller, target: Path, seconds: float, *, noted: bool) -> int:
    """Start a restore, kill it some time after its first file, or its first note; return how it ended."""
    command = [sys.executable, "-m", "pyrestic", "--no-lock", "--limit-download", "7000", *words(made, target)]
    process = subprocess.Popen(
        command,
        env=made.environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while (
        not (notes(made) if noted else any(target.glob("*"))) and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.slow
def test_after_a_kill_at_any_moment_the_next_run_ends_the_work_and_reads_less(
    made: Caller, tmp_path: Path, watch: Watch
) -> None:
    whole = made(*words(made, tmp_path / "whole"))
    assert whole.code == 0, whole.err
    from_scratch = watch.fetched
    expected = describe(made.folder / "source")
    dice = random.Random(10)
    killed = noted = 0
    for number in range(KILLS):
        target = tmp_path / f"target {number}"
        # Half of the kills come before anything was noted, which happens once a second.
        code = run_and_kill(made, target, dice.uniform(0, 0.5) if number % 2 else 0, noted=not number % 2)
        killed += code == -signal.SIGKILL
        noted += bool(notes(made))
        left = {f"/{path.relative_to(target)}": path.stat().st_mtime for path in target.rglob("*") if path.is_file()}
        finished = sum(
            path.stat().st_size for path in target.rglob("*") if path.stat().st_mtime_ns in expected_times(made)
        )
        watch.fetched = 0
        watch.compared.clear()
        outcome = made(*words(made, target))
        assert outcome.code == 0, outcome.err
        assert difference(expected, describe(target)) == []
        assert watch.fetched <= from_scratch
        assert watch.fetched < from_scratch or not finished
        assert watch.compared <= set(left)
        assert notes(made) == []
    assert killed == KILLS
    assert noted


def expected_times(made: Caller) -> set[int]:
    return {path.stat().st_mtime_ns for path in (made.folder / "source").rglob("*") if path.is_file()}


def interrupted(made: Caller, target: Path) -> None:
    """Restore what does not need one of the packs, as a run that was interrupted then."""
    packs = sorted((made.repository / "data").glob("??/*"), key=lambda path: path.stat().st_size)
    moved = packs[-1].with_name("away")
    packs[-1].rename(moved)
    outcome = made(*words(made, target))
    moved.rename(packs[-1])
    assert outcome.code == 1
    assert len(notes(made)) == 1


def test_finished_files_are_not_looked_at_again_and_touched_ones_are(
    made: Caller, tmp_path: Path, watch: Watch
) -> None:
    target = tmp_path / "target"
    interrupted(made, target)
    finished = {
        f"/{path.relative_to(target)}"
        for path in target.rglob("*")
        if path.is_file() and path.stat().st_mtime_ns in expected_times(made)
    }
    chosen = min(finished)
    touched = target / chosen[1:]
    before = touched.stat()
    touched.write_bytes(bytes(before.st_size))
    os.utime(touched, ns=(before.st_atime_ns, before.st_mtime_ns))
    watch.compared.clear()
    planned = made(*words(made, target, "--dry-run"))
    assert planned.code == 0
    assert len(notes(made)) == 1
    assert watch.compared & finished == {chosen}
    watch.compared.clear()
    outcome = made(*words(made, target))
    assert outcome.code == 0, outcome.err
    assert watch.compared & finished == {chosen}
    assert difference(describe(made.folder / "source"), describe(target)) == []
    assert notes(made) == []
    # What is whole is compared again by the next run, as by restic.
    watch.compared.clear()
    assert made(*words(made, target)).code == 0
    assert finished <= watch.compared


@pytest.mark.parametrize("flags", [["--overwrite", "always"], ["--ownership-by-name"]], ids=" ".join)
def test_who_asks_for_always_or_for_other_metadata_gets_everything_compared(
    made: Caller, tmp_path: Path, watch: Watch, flags: list[str]
) -> None:
    target = tmp_path / "target"
    interrupted(made, target)
    files = {f"/{path.relative_to(target)}" for path in target.rglob("*") if path.is_file()}
    watch.compared.clear()
    assert made(*words(made, target, *flags)).code == 0
    assert files <= watch.compared
    for note in notes(made):
        note.unlink()


def test_a_note_that_cannot_be_kept_costs_nothing_but_itself(made: Caller, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = made(*words(made, tmp_path / "target"), XDG_STATE_HOME=str(tmp_path / "file"))
    assert outcome.code == 0, outcome.err
    assert difference(describe(made.folder / "source"), describe(tmp_path / "target")) == []
    shutil.rmtree(tmp_path / "target")
