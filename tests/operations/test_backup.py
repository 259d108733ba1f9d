"""Backups and restores through our own parts, in memory where that is enough."""

import json
import os
import random
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.format.index_file import Columns
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import hash_id
from pyrestic.localfs import scan
from pyrestic.localfs.select import BackupSelector
from pyrestic.operations.archive_snapshot import BackupResult, SnapshotDetails, archive_files
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.salvage import salvage
from pyrestic.report import NullReporter
from pyrestic.repository.index import Index
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from tests.support.backends import RecordingBackend
from tests.support.cli import Caller
from tests.support.repositories import make_repository, open_again
from tests.support.sourcetree import describe, difference, make_source


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    caller = Caller(tmp_path)
    caller.create()
    return caller


def backup(call: Caller, source: Path, *flags: str) -> dict[str, object]:
    outcome = call("backup", "--json", *flags, str(source))
    assert outcome.code == 0, outcome.err
    summary: dict[str, object] = json.loads(outcome.out.splitlines()[-1])
    return summary


@pytest.mark.process
def test_everything_awkward_comes_back_as_it_was(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_source(source, large=True)
    backup(call, source)
    outcome = call("restore", f"latest:{source}", "--target", str(tmp_path / "target"), "--verify")
    assert outcome.code == 0, outcome.err
    assert difference(describe(source), describe(tmp_path / "target")) == []


def test_unchanged_files_are_not_opened_and_changed_ones_are_read(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / f"{number}").write_text(f"content {number}")
    first = backup(call, source)
    assert (first["files_new"], first["data_blobs"]) == (20, 20)
    second = backup(call, source)
    assert (second["files_unmodified"], second["files_new"], second["data_blobs"]) == (20, 0, 0)
    (source / "3").write_text("other")
    os.utime(source / "4")
    third = backup(call, source)
    assert (third["files_changed"], third["files_unmodified"], third["data_blobs"]) == (2, 18, 1)
    forced = backup(call, source, "--force")
    assert (forced["files_new"], forced["data_blobs"]) == (20, 0)


def test_a_missing_blob_is_read_from_the_source_again(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(random.Random(1).randbytes(100_000))
    backup(call, source)
    for path in (call.repository / "index").iterdir():
        path.unlink()
    outcome = call("backup", str(source))
    assert outcome.code == 3
    assert call("check", "--read-data").code in (0, 1)
    restored = call("restore", f"latest:{source}", "--target", str(tmp_path / "target"))
    assert restored.code == 0, restored.err
    assert (tmp_path / "target" / "file").read_bytes() == (source / "file").read_bytes()


def test_of_unchanged_files_only_those_with_lost_parts_are_read_again(tmp_path: Path) -> None:
    names = [f"file-{number}" for number in range(5)]
    for name in names:
        (tmp_path / name).write_text(f"content of {name}")
    repository = make_repository()
    first = snapshot_of(repository, tmp_path, NullReporter())
    again = open_again(repository)
    lost = hash_id(b"content of file-3")
    columns = again.index.all_columns()
    kept = (columns.ids != np.frombuffer(lost, dtype=np.uint8)).any(axis=1)
    again.index = again.loader._index = Index()
    again.index.add_columns([Columns(columns.packs, *(column[kept] for column in columns[1:]))])
    report = RecordingReporter()
    second = snapshot_of(again, tmp_path, report, first)
    assert second.tree == first.tree
    assert (second.summary.files_unmodified, second.summary.data_blobs) == (5, 1)
    assert [os.path.basename(name) for name in report.names] == ["file-3"]
    assert again.load_blob(BlobHandle(BlobType.DATA, lost)) == b"content of file-3"


class RecordingReporter(NullReporter):
    """Notes which items had errors."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def error(self, item: str, error: Exception) -> None:
        self.names.append(item)


def snapshot_of(
    repository: Repository, source: Path, report: NullReporter, parent: BackupResult | None = None
) -> BackupResult:
    stored = None
    if parent is not None and parent.id is not None:
        stored = StoredSnapshot(parent.id, Snapshot(time="2024-01-01T00:00:00Z", tree=parent.tree.hex()))
    tree, options = scan.resolve([bytes(source)]), SnapshotDetails(0, [str(source)], "host")
    progress = BackupProgress("backup", "B")
    return archive_files(repository, tree, BackupSelector(), options, report, progress, parent=stored)


def test_a_file_that_comes_in_parts_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"from a slow place")
    repository = make_repository()
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, length: read(descriptor, min(length, 5)))
    result = snapshot_of(repository, tmp_path, NullReporter())
    monkeypatch.undo()
    assert result.summary.total_bytes_processed == 17
    assert repository.load_blob(BlobHandle(BlobType.DATA, hash_id(b"from a slow place"))) == b"from a slow place"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named_and_the_rest_is_saved(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "open").write_text("open")
    (source / "shut").write_text("shut")
    (source / "shut").chmod(0)
    outcome = call("backup", str(source))
    assert outcome.code == 3
    assert "shut" in outcome.err


def test_a_snapshot_is_skipped_when_nothing_changed_and_that_was_asked_for(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere" / "source"
    source.mkdir(parents=True)
    (source / "file").write_text("content")
    call.cwd = source
    assert call("backup", ".").code == 0
    count = len(call("snapshots", "--json").json)
    assert call("backup", "--skip-if-unchanged", ".").code == 0
    assert len(call("snapshots", "--json").json) == count
    (source / "file").write_text("other content")
    assert call("backup", "--skip-if-unchanged", ".").code == 0
    assert len(call("snapshots", "--json").json) == count + 1


def test_a_dry_run_changes_nothing(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    before = sorted(path for path in call.repository.rglob("*") if path.is_file())
    summary = backup(call, source, "--dry-run")
    assert summary["dry_run"] is True
    assert summary["data_added"] != 0
    assert sorted(path for path in call.repository.rglob("*") if path.is_file()) == before


def test_packs_of_a_killed_run_are_taken_over() -> None:
    repository = make_repository()
    source = random.Random(2)
    blobs = [source.randbytes(5000) for _ in range(50)]
    saved = [repository.saver.save(BlobType.DATA, data).id for data in blobs]
    repository.flush()
    for identifier in list(repository.list_ids(FileType.INDEX)):
        repository.remove(FileType.INDEX, identifier)
    killed = open_again(repository)
    assert not killed.index.has((BlobType.DATA, saved[0]))
    found = salvage(killed, NullReporter())
    assert set(found) == {pack for pack, _ in killed.index.by_pack()}
    assert all(killed.saver.save(BlobType.DATA, data).known for data in blobs)
    assert len(open_again(killed).index) == 50
    assert salvage(open_again(killed), NullReporter()) == []


def test_a_pack_that_is_no_pack_is_left_alone_by_the_take_over() -> None:
    repository = make_repository(RecordingBackend(MemoryBackend()))
    repository.backend.save(Handle(FileType.PACK, "ab" * 32), b"half of something")
    assert salvage(repository, NullReporter()) == []


@pytest.mark.process
def test_a_restore_needs_few_open_files(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(300):
        folder = source / f"{number % 40}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}").write_bytes(random.Random(number).randbytes(3000))
    backup(call, source)
    command = [sys.executable, "-m", "pyrestic", "restore", f"latest:{source}", "--target", str(tmp_path / "target")]
    done = subprocess.run(
        command,
        env=call.environment | {"PYTHONPATH": os.environ["PYTHONPATH"]},
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert done.returncode == 0, done.stderr
    assert difference(describe(source), describe(tmp_path / "target")) == []


def test_restore_does_not_write_through_a_link_in_the_target(call: Caller, tmp_path: Path) -> None:
    source, target, outside = tmp_path / "source", tmp_path / "target", tmp_path / "outside"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_text("from the snapshot")
    (source / "plain").write_text("from the snapshot")
    backup(call, source)
    target.mkdir()
    outside.mkdir()
    (outside / "file").write_text("not yours")
    (target / "folder").symlink_to(outside)
    (target / "plain").symlink_to(outside / "file")
    outcome = call("restore", f"latest:{source}", "--target", str(target))
    assert outcome.code == 0, outcome.err
    assert (outside / "file").read_text() == "not yours"
    assert not (target / "folder").is_symlink()
    assert difference(describe(source), describe(target)) == []


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("always", "snapshot"), ("if-changed", "snapshot"), ("if-newer", "local, newer"), ("never", "local, newer")],
)
def test_existing_files_are_treated_as_the_overwrite_mode_says(
    call: Caller, tmp_path: Path, mode: str, expected: str
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "file").write_text("snapshot")
    os.utime(source / "file", (1000, 1000))
    backup(call, source)
    target.mkdir()
    (target / "file").write_text("local, newer")
    assert call("restore", f"latest:{source}", "--target", str(target), "--overwrite", mode).code == 0
    assert (target / "file").read_text() == expected


def test_delete_removes_what_the_snapshot_does_not_have_and_nothing_else(call: Caller, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "kept").write_text("kept")
    backup(call, source)
    (target / "folder" / "more").mkdir(parents=True)
    (target / "folder" / "more" / "gone").write_text("gone")
    (target / "gone").write_text("gone")
    (tmp_path / "outside").write_text("stays")
    arguments = ["restore", f"latest:{source}", "--target", str(target)]
    assert call(*arguments, "--delete", "--dry-run").code == 0
    assert (target / "gone").exists()
    assert call(*arguments, "--delete").code == 0
    assert difference(describe(source), describe(target)) == []
    assert (tmp_path / "outside").read_text() == "stays"


@pytest.mark.process
def test_sparse_files_have_holes(call: Caller, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "zeros").write_bytes(bytes(4 << 20) + b"end")
    backup(call, source)
    assert call("restore", f"latest:{source}", "--target", str(target), "--sparse").code == 0
    status = (target / "zeros").stat()
    assert (target / "zeros").read_bytes() == (source / "zeros").read_bytes()
    assert status.st_blocks * 512 < status.st_size // 2


def test_new_files_are_private_until_their_mode_is_restored(call: Caller, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "secret").write_text("secret")
    (source / "secret").chmod(0o600)
    backup(call, source)
    assert call("restore", f"latest:{source}", "--target", str(tmp_path / "target")).code == 0
    assert stat.S_IMODE((tmp_path / "target" / "secret").stat().st_mode) == 0o600
