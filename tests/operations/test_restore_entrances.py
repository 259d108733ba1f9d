"""Each feature of a restore by the command line, the Python API and the page.

All three have it from operations.restore: without it there, its test fails for all three.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pyrestic
from pyrestic.api.restore import make_options
from pyrestic.backend.local import LocalBackend
from pyrestic.engine_types import Stamp
from pyrestic.errors import PyresticError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType
from pyrestic.localfs import new_files, restore_metadata, write
from pyrestic.localfs.free_space import Spaces
from pyrestic.localfs.target_root import TargetRoot
from pyrestic.localfs.user_folders import find_own_folder, find_state_folder
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations import restore_tree
from pyrestic.operations.restore_files import FilePlan, compare_existing
from pyrestic.report import NullReporter
from pyrestic.repository.opening import find_engines
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.web.jobs import JobState, RestoreJob, Restores, TargetRules
from pyrestic.web.site import Site
from tests.operations.test_preflight import store_huge_file
from tests.support.cli import PASSWORD, Caller
from tests.support.engines import keep_code

pytestmark = pytest.mark.process

Restoring = Callable[..., str]
"""Restores the latest snapshot to a folder, with arguments of the Python API; returns an error's message, or ""."""

MIB = 1 << 20
MANY = 600
OLD, SAME, NEW = 1_500_000_000, 1_600_000_000, 1_700_000_000


def by_command_line(call: Caller, target: Path, **options: Any) -> str:
    flags = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            flags += [flag] if each is True else [flag, str(each)]
    outcome = call("restore", "latest", "--target", target, *flags)
    assert bool(outcome.code) == bool(outcome.err), outcome.err
    return outcome.err


def by_api(call: Caller, target: Path, **options: Any) -> str:
    environment = call.environment
    with pyrestic.open_repository(call.repository, password=PASSWORD, environment=environment) as repository:
        try:
            repository.snapshot().restore(target, **options)
        except PyresticError as error:
            return str(error)
    return ""


def by_page(call: Caller, target: Path, **options: Any) -> str:
    with serving(call) as (site, restores):
        spot = site.find(site.catalog.snapshots()[0], b"/")
        try:
            job = wait_for(restores.prepare(spot, str(target), make_options(**options)))
            if job.state is JobState.READY:
                job = wait_for(restores.start(job.number))
        except PyresticError as error:
            return str(error)
        assert bool(job.message) == (job.state is JobState.FAILED)
        return job.message


class serving:  # noqa: N801 - used as a function
    """Opens what the pages of a repository work with."""

    def __init__(self, call: Caller) -> None:
        engines = find_engines(find_own_folder(call.environment), keep=True)
        self._repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD, engines=engines)
        self._repository.load_index(NullReporter())
        self._site = Site(self._repository, SnapshotFilter(), NullReporter(), title="")
        self._root = TargetRoot("/", [str(call.repository)])
        self._environment = call.environment

    def __enter__(self) -> tuple[Site, Restores]:
        rules = TargetRules("/", root=self._root)
        restores = Restores(
            self._repository,
            rules,
            NullReporter(),
            state_folder=find_state_folder(self._environment),
        )
        return self._site, restores

    def __exit__(self, *_: object) -> None:
        self._site.close()
        self._repository.close()
        self._root.close()


def wait_for(job: RestoreJob) -> RestoreJob:
    deadline = time.monotonic() + 60
    while job.under_way:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return job


@pytest.fixture(params=[by_command_line, by_api, by_page], ids=["command line", "api", "page"])
def entrance(request: pytest.FixtureRequest) -> Restoring:
    """One of the three ways to a restore."""
    chosen: Restoring = request.param
    return chosen


def put(path: Path, content: bytes, moment: int = SAME) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (moment, moment))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository of many small files, and a few of other kinds."""
    folder = tmp_path_factory.mktemp("entrances")
    call = Caller(folder)
    call.create()
    source = folder / "source"
    dice = random.Random(3)
    for name in ("older", "newer", "same stamp", "right"):
        put(source / name, b"as it was")
    put(source / "top" / "a.txt", b"a")
    put(source / "top" / "sub" / "b.txt", b"b")
    put(source / "top" / "c.o", b"c")
    put(source / "holes", bytes(2 * MIB) + b"end")
    put(source / "program", b"#!/bin/sh")
    (source / "program").chmod(0o4755)
    os.setxattr(source / "program", b"user.one", b"1")
    os.setxattr(source / "program", b"user.two", b"2")
    for number in range(2):
        put(source / f"large {number}", dice.randbytes(5 * MIB))
    for number in range(MANY):
        put(source / "many" / f"{number}", b"%d" % number)
    call.cwd = source
    assert call("backup", ".", "--pack-size", "4").code == 0
    call.cwd = folder
    return call


@pytest.fixture
def call(made: Caller, tmp_path: Path) -> Caller:
    """The same repository for a user of whom nothing is kept yet."""
    call = Caller(tmp_path)
    call.repository = made.repository
    call.environment["RESTIC_REPOSITORY"] = str(made.repository)
    return call


def found(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


REPLACED = {
    "always": {"older", "newer", "same stamp"},
    "if-changed": {"older", "newer"},
    "if-newer": {"older"},
    "never": set(),
}


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", REPLACED)
def test_what_exists_is_overwritten_as_asked(call: Caller, tmp_path: Path, entrance: Restoring, overwrite: str) -> None:
    target = tmp_path / "target"
    for name, moment in (("older", OLD), ("newer", NEW), ("same stamp", SAME)):
        put(target / name, b"different", moment)
    assert entrance(call, target, overwrite=overwrite, include=["older", "newer", "same stamp"]) == ""
    there = {path.name: path.read_bytes() for path in target.iterdir()}
    assert {name for name, content in there.items() if content == b"as it was"} == REPLACED[overwrite]
    assert len(there) == 3


def test_delete_removes_what_the_snapshot_does_not_have(call: Caller, tmp_path: Path, entrance: Restoring) -> None:
    target = tmp_path / "target"
    put(target / "top" / "extra", b"x")
    put(target / "extra.o", b"x")
    put(target / "right" / "in the way", b"x")
    assert entrance(call, target, delete=True, exclude=["*.o", "many", "large*"]) == ""
    assert not (target / "top" / "extra").exists()
    assert (target / "right").read_bytes() == b"as it was"
    # What is excluded is left alone.
    assert (target / "extra.o").exists()
    assert "include or exclude" in entrance(call, Path("/"), delete=True)


def test_sparse_leaves_holes(call: Caller, tmp_path: Path, entrance: Restoring) -> None:
    for sparse in (False, True):
        target = tmp_path / f"sparse {sparse}"
        assert entrance(call, target, include=["holes"], **({"sparse": True} if sparse else {})) == ""
        assert (target / "holes").read_bytes() == bytes(2 * MIB) + b"end"
        taken = (target / "holes").stat().st_blocks * 512
        assert (taken < MIB) == sparse


def test_verify_reads_back_what_was_written(
    call: Caller, tmp_path: Path, entrance: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = TargetWriter.close

    def close_and_damage(writer: TargetWriter) -> None:
        close(writer)
        path = Path(os.fsdecode(writer.root)) / "top" / "a.txt"
        if path.exists():
            path.write_bytes(b"!")

    monkeypatch.setattr(TargetWriter, "close", close_and_damage)
    assert entrance(call, tmp_path / "believed", include=["*.txt"]) == ""
    assert entrance(call, tmp_path / "verified", include=["*.txt"], verify=True) != ""


def test_patterns_select(call: Caller, tmp_path: Path, entrance: Restoring) -> None:
    assert entrance(call, tmp_path / "in", include=["*.txt"]) == ""
    assert found(tmp_path / "in") == {"top/a.txt", "top/sub/b.txt"}
    assert entrance(call, tmp_path / "out", exclude=["many", "large*", "/top/sub", "holes", "program"]) == ""
    assert found(tmp_path / "out") == {"older", "newer", "same stamp", "right", "top/a.txt", "top/c.o"}
    assert "mutually exclusive" in entrance(call, tmp_path / "both", include=["a"], exclude=["b"])


def test_components_are_stripped(call: Caller, tmp_path: Path, entrance: Restoring) -> None:
    assert entrance(call, tmp_path / "target", strip_components=1, include=["/top"]) == ""
    assert found(tmp_path / "target") == {"a.txt", "sub/b.txt", "c.o"}


def test_what_gives_rights_is_left_out(call: Caller, tmp_path: Path, entrance: Restoring) -> None:
    for options, mode in (({}, 0o4755), ({"no_privileged": True}, 0o755)):
        target = tmp_path / f"{mode:o}"
        assert entrance(call, target, include=["program"], **options) == ""
        assert (target / "program").stat().st_mode & 0o7777 == mode


def test_attributes_are_selected(call: Caller, tmp_path: Path, entrance: Restoring) -> None:
    for option in ("include_xattr", "exclude_xattr"):
        target = tmp_path / option
        assert entrance(call, target, include=["program"], **{option: ["user.one"]}) == ""
        expected = ["user.one"] if option == "include_xattr" else ["user.two"]
        assert os.listxattr(target / "program") == expected


def test_owners_are_looked_up_by_name(tmp_path: Path, entrance: Restoring, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Caller(tmp_path)
    call.create()
    store_file_of_another(call.repository, "nobody", 12345)
    asked: set[str] = set()
    lookup = restore_metadata.user_id

    def user_id(name: str) -> int | None:
        asked.add(name)
        return lookup(name)

    monkeypatch.setattr(restore_metadata, "user_id", user_id)
    assert entrance(call, tmp_path / "by number") == ""
    assert asked == set()
    assert entrance(call, tmp_path / "by name", ownership_by_name=True) == ""
    assert asked == {"nobody"}
    if os.geteuid() == 0:
        assert (tmp_path / "by number" / "file").stat().st_uid == 12345
        assert (tmp_path / "by name" / "file").stat().st_uid == lookup("nobody")


def store_file_of_another(folder: Path, user: str, number: int) -> None:
    """Store a snapshot of a file whose owner's name and number do not belong together here."""
    opened = Repository.open(LocalBackend(str(folder)), PASSWORD)
    node = Node(name="file", type="file", content=[], mode=0o644, user=user, uid=number, gid=number)
    tree = opened.saver.save(BlobType.TREE, encode_tree([node])).id
    opened.flush()
    snapshot = Snapshot(time="2030-01-01T00:00:00Z", tree=tree.hex(), hostname="host", paths=["/"])
    opened.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    opened.close()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The files of the target whose content restores have compared."""
    locations: set[str] = set()

    def noted(file: FilePlan, *words: Any, **more: Any) -> None:
        locations.add(os.fsdecode(file.location))
        compare_existing(file, *words, **more)

    monkeypatch.setattr(restore_tree, "compare_existing", noted)
    return locations


def test_an_interrupted_restore_does_not_look_at_finished_files_again(
    call: Caller, tmp_path: Path, entrance: Restoring, compared: set[str]
) -> None:
    target, journals = tmp_path / "target", tmp_path / ".local" / "state" / "pyrestic" / "restores"
    packs = sorted((call.repository / "data").glob("??/*"), key=lambda path: path.stat().st_size)
    away = packs[-1].with_name("away")
    packs[-1].rename(away)
    try:
        # Ends with errors, as a run that was interrupted then: part of the files are finished.
        assert entrance(call, target) != ""
    finally:
        away.rename(packs[-1])
    assert len(list(journals.iterdir())) == 1
    finished = {f"/many/{number}" for number in range(MANY) if (target / "many" / f"{number}").exists()}
    assert finished
    chosen = min(finished)
    content = (target / chosen[1:]).read_bytes()
    (target / chosen[1:]).write_bytes(bytes(len(content)))
    os.utime(target / chosen[1:], (SAME, SAME))
    compared.clear()
    assert entrance(call, target) == ""
    assert compared & finished == {chosen}
    assert (target / chosen[1:]).read_bytes() == content
    assert list(journals.iterdir()) == []
    # After a restore that ended well everything is compared, as by restic.
    compared.clear()
    assert entrance(call, target) == ""
    assert finished <= compared


def test_many_small_files_are_written_in_batches(
    call: Caller, tmp_path: Path, entrance: Restoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_code(tmp_path / "cache" / "pyrestic", "file_writer")
    make, written = new_files.make_new, 0

    def count(*words: Any) -> list[Stamp | None]:
        nonlocal written
        stamps = make(*words)
        written += sum(stamp is not None for stamp in stamps)
        return stamps

    monkeypatch.setattr(write, "make_new", count)
    assert entrance(call, tmp_path / "target", include=["many"]) == ""
    assert written == MANY
    assert {path.name: path.read_bytes() for path in (tmp_path / "target" / "many").iterdir()} == {
        f"{number}": b"%d" % number for number in range(MANY)
    }


def test_too_little_space_is_an_error_before_anything_is_written(tmp_path: Path, entrance: Restoring) -> None:
    call = Caller(tmp_path)
    call.create()
    target = tmp_path / "not there" / "target"
    free = Spaces(bytes(target)).target.free_bytes
    assert free is not None
    store_huge_file(call.repository, free + (1 << 30))
    assert "has room for" in entrance(call, target)
    assert not target.parent.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(folder)]
    if subprocess.run(line, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_page_asks_for_free_space_again_when_a_restore_is_started(call: Caller, small_disk: Path) -> None:
    with serving(call) as (site, restores):
        spot = site.find(site.catalog.snapshots()[0], b"/")
        job = wait_for(restores.prepare(spot, str(small_disk / "target"), make_options(include=["large 0"])))
        assert job.plan is not None
        assert job.plan.fits
        (small_disk / "filler").write_bytes(bytes(10 * MIB))
        job = wait_for(restores.start(job.number))
    assert "has room for" in job.message
    assert not (small_disk / "target").exists()
