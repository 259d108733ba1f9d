"""Each feature of a backup by the command line and the Python API.

Both have it from operations.backup: without it there, its test fails for both.
"""

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pyrestic
from pyrestic.backend.local import LocalBackend
from pyrestic.errors import LockedError, PyresticError
from pyrestic.handle import BlobType
from pyrestic.localfs import scan
from pyrestic.operations.archive_tree import TreeArchiver
from pyrestic.report import NullReporter
from pyrestic.repository.held_lock import HeldLock
from pyrestic.repository.locks import Lock
from pyrestic.repository.repository import Repository
from tests.support.cli import PASSWORD, Caller

BackingUp = Callable[..., str]
"""Backs up a source, with arguments of the Python API; returns an error's message, or ""."""


def by_command_line(call: Caller, source: Path, **options: Any) -> str:
    flags = []
    for name, value in options.items():
        if name == "scan":
            flags += ["-v", "-v"]
            continue
        if isinstance(value, datetime):
            value = f"{value:%Y-%m-%d %H:%M:%S}"
        for each in value if isinstance(value, list) else [value]:
            flag = f"--{name.replace('tags', 'tag').replace('_', '-')}"
            flags += [flag] if each is True else [flag, str(each)]
    outcome = call("backup", source, *flags)
    return outcome.err if outcome.code else ""


def by_api(call: Caller, source: Path, **options: Any) -> str:
    with pyrestic.open_repository(call.repository, password=PASSWORD, environment=call.environment) as repository:
        try:
            repository.backup([source], **options)
        except PyresticError as error:
            return str(error)
    return ""


@pytest.fixture(params=[by_command_line, by_api], ids=["command line", "api"])
def entrance(request: pytest.FixtureRequest) -> BackingUp:
    """One of the two ways to a backup."""
    chosen: BackingUp = request.param
    return chosen


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    call = Caller(tmp_path)
    call.create()
    return call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of small files, one of which has another type, size or marker than the others."""
    folder = tmp_path / "source"
    for name, content in {
        "a.txt": b"a",
        "b.O": b"b",
        "long": bytes(3000),
        "marked/.nobackup": b"",
        "marked/file": b"x",
        "cache/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55",
        "cache/file": b"x",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def saved(call: Caller, source: Path) -> set[str]:
    """Return the files in the latest snapshot, relative to the source."""
    listed = call("ls", "latest", "--json").out.splitlines()[1:]
    entries = [json.loads(line) for line in listed]
    return {os.path.relpath(one["path"], source) for one in entries if one["type"] == "file"}


def latest(call: Caller) -> dict[str, Any]:
    snapshots: list[dict[str, Any]] = call("snapshots", "--json").json
    return snapshots[-1]


ALL = {"a.txt", "b.O", "long", "marked/.nobackup", "marked/file", "cache/CACHEDIR.TAG", "cache/file"}
LEFT_OUT: list[tuple[dict[str, Any], set[str]]] = [
    ({"exclude": ["*.txt"]}, {"a.txt"}),
    ({"iexclude": ["*.o"]}, {"b.O"}),
    ({"exclude_caches": True}, {"cache/file"}),
    ({"exclude_if_present": [".nobackup"]}, {"marked/file"}),
    ({"exclude_larger_than": 2000}, {"long"}),
]


@pytest.mark.parametrize(("options", "left_out"), LEFT_OUT, ids=lambda value: next(iter(value)))
def test_rules_leave_files_out(
    call: Caller, source: Path, entrance: BackingUp, options: dict[str, Any], left_out: set[str]
) -> None:
    assert entrance(call, source, **options) == ""
    missing = ALL - saved(call, source)
    assert left_out <= missing
    assert missing <= left_out | {"marked/.nobackup"}
    if "exclude" in options:
        assert latest(call)["excludes"] == ["*.txt"]


def test_what_pyrestic_keeps_for_itself_is_left_out(call: Caller, tmp_path: Path, entrance: BackingUp) -> None:
    kept = tmp_path / "cache" / "pyrestic" / "mine"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    assert entrance(call, tmp_path, exclude=["repository"]) == ""
    files = saved(call, tmp_path)
    assert "file" in files
    assert not [name for name in files if name.startswith("cache/")]


def test_other_file_systems_are_left_out(call: Caller, entrance: BackingUp, tmp_path: Path) -> None:
    source = tmp_path / "links"
    source.mkdir()
    told: list[tuple[bytes, ...]] = []

    def reject(targets: list[bytes], _: bytes) -> Callable[[bytes, os.stat_result], bool]:
        told.append(tuple(targets))
        return lambda path, _: path.endswith(b"/elsewhere")

    (source / "elsewhere").mkdir()
    (source / "here").write_bytes(b"x")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pyrestic.localfs.select.reject_other_devices", reject)
        assert entrance(call, source, one_file_system=True) == ""
    assert told == [(bytes(source),)]


def test_a_snapshot_says_what_it_was_told(call: Caller, source: Path, entrance: BackingUp) -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert entrance(call, source, host="elsewhere", tags=["one", "two"], time=moment) == ""
    snapshot = latest(call)
    assert (snapshot["hostname"], snapshot["tags"]) == ("elsewhere", ["one", "two"])
    assert snapshot["time"].startswith("2024-05-06T07:08:09")
    assert snapshot["paths"] == [str(source)]
    assert snapshot["program_version"].startswith("pyrestic ")


def test_the_parent_is_that_of_the_same_host_and_paths_or_the_named_one(
    call: Caller, source: Path, entrance: BackingUp
) -> None:
    assert entrance(call, source) == ""
    first = latest(call)
    assert first.get("parent") is None
    assert entrance(call, source) == ""
    assert latest(call)["parent"] == first["id"]
    assert latest(call)["summary"]["files_unmodified"] == len(ALL)
    assert entrance(call, source, force=True) == ""
    assert latest(call).get("parent") is None
    assert latest(call)["summary"]["files_new"] == len(ALL)
    assert entrance(call, source, host="elsewhere") == ""
    assert latest(call).get("parent") is None
    assert entrance(call, source, parent=first["id"]) == ""
    assert latest(call)["parent"] == first["id"]


def test_nothing_new_makes_no_snapshot_if_that_was_asked_for(
    call: Caller, source: Path, entrance: BackingUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The folders above it, which change, are not part of the snapshot.
    call.cwd = source
    monkeypatch.chdir(source)
    here = Path(".")
    assert entrance(call, here) == ""
    first = latest(call)
    assert entrance(call, here, skip_if_unchanged=True) == ""
    assert latest(call) == first
    (source / "a.txt").write_bytes(b"other")
    assert entrance(call, here, skip_if_unchanged=True) == ""
    assert latest(call) != first


def test_a_changed_inode_or_ctime_does_not_count_if_it_is_ignored(
    call: Caller, source: Path, entrance: BackingUp
) -> None:
    assert entrance(call, source) == ""
    (source / "a.txt").chmod(0o600)
    os.utime(source / "a.txt", ns=(1, (source / "a.txt").stat().st_mtime_ns))
    for options, unmodified in (({"ignore_ctime": True}, len(ALL)), ({"ignore_inode": True}, len(ALL))):
        first = call("snapshots", "--json").json[0]["id"]
        assert entrance(call, source, parent=first, **options) == ""
        assert latest(call)["summary"]["files_unmodified"] == unmodified
    assert entrance(call, source, parent=call("snapshots", "--json").json[0]["id"]) == ""
    assert latest(call)["summary"]["files_unmodified"] == len(ALL) - 1


def test_access_times_are_stored_if_asked_for(call: Caller, source: Path, entrance: BackingUp) -> None:
    os.utime(source / "a.txt", (1_000_000_000, 1_600_000_000))
    for options, year in (({}, "2020"), ({"with_atime": True}, "2001")):
        assert entrance(call, source, force=True, **options) == ""
        line = next(one for one in call("ls", "latest", "--json").out.splitlines() if "/a.txt" in one)
        assert f'"atime":"{year}' in line


def test_the_sources_are_counted_beforehand(
    call: Caller, source: Path, entrance: BackingUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    measure = scan.measure

    def count(*words: Any) -> None:
        measured.append(words)
        measure(*words)

    monkeypatch.setattr(scan, "measure", count)
    assert entrance(call, source, scan=True) == ""
    assert len(measured) == 1


@pytest.mark.process
def test_packs_of_an_interrupted_run_are_taken_over(call: Caller, source: Path, entrance: BackingUp) -> None:
    # A pack that no index names, and the lock of a process that is gone.
    repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    repository.saver.save(BlobType.DATA, b"a")
    repository.flush()
    repository.close()
    for index in (call.repository / "index").iterdir():
        index.unlink()
    child = os.fork()
    if child == 0:
        opened = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
        Lock(opened, NullReporter(), exclusive=False).acquire()
        os._exit(0)
    os.waitpid(child, 0)
    packs = set((call.repository / "data").glob("??/*"))
    assert entrance(call, source, exclude=["marked", "cache", "long", "b.O"]) == ""
    # The content of the one file is known by now, so only trees are stored.
    assert latest(call)["summary"]["data_blobs"] == 0
    assert len(set((call.repository / "data").glob("??/*")) - packs) == 1


def test_a_lost_lock_makes_no_snapshot(
    call: Caller, source: Path, entrance: BackingUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = TreeArchiver.archive

    def archive_and_lose(archiver: TreeArchiver, *words: Any) -> bytes:
        tree = archive(archiver, *words)

        def lost(_: HeldLock) -> None:
            raise LockedError("the lock was lost")

        monkeypatch.setattr(HeldLock, "ensure_held", lost)
        return tree

    monkeypatch.setattr(TreeArchiver, "archive", archive_and_lose)
    assert "lock was lost" in entrance(call, source)
    monkeypatch.undo()
    assert call("snapshots", "--json").json == []


def stream_by_command_line(call: Caller) -> None:
    line = ("backup", "--stdin-from-command", "--stdin-filename", "dumps/shop.sql", "--", "printf", "streamed")
    assert call(*line).code == 0


def stream_by_api(call: Caller) -> None:
    with pyrestic.open_repository(call.repository, password=PASSWORD, environment=call.environment) as repository:
        assert repository.backup_stream(io.BytesIO(b"streamed"), "dumps/shop.sql").snapshot is not None


@pytest.mark.process
@pytest.mark.parametrize("store", [stream_by_command_line, stream_by_api], ids=["command line", "api"])
def test_a_stream_becomes_a_file(call: Caller, store: Callable[[Caller], None]) -> None:
    store(call)
    assert latest(call)["paths"] == ["/dumps/shop.sql"]
    assert call("dump", "latest", "/dumps/shop.sql").out == "streamed"
