"""Hundreds of hourly snapshots of a mail file, at night thousands: any version comes back, and old ones go."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import find_tree
from tests.support.prunable import stored_bytes
from tests.support.repositories import QUICK
from tests.support.resource_use import Measured, run_measured
from tests.support.restic import NEWEST, PASSWORD, Program, find_pyrestic, find_restic
from tools.make_history import FOLDER, LOCATION, MIB, POLYNOMIAL, Version, make_history

pytestmark = [pytest.mark.restic, pytest.mark.slow]

DESCRIPTORS = 64
POLICY = ["--keep-hourly", "24", "--keep-daily", "30", "--keep-monthly", "6"]
INBOX = LOCATION.rpartition("/")[2]


class Scale(NamedTuple):
    """How many snapshots there are, and how long the last version is; what the policy keeps of them.

    Less than one byte of `shrinks` stays.
    """

    snapshots: int
    length: int
    kept: int
    shrinks: int


# The policy keeps the last 24 hours, the ends of the days before these, 30 days in all, and the very first. Of 2,000
# hours it keeps the end of January too.
SCALES = [
    pytest.param(Scale(500, 16 * MIB, kept=44, shrinks=3), id="short"),
    pytest.param(Scale(2000, 64 * MIB, kept=54, shrinks=5), id="long", marks=pytest.mark.nightly),
]


@dataclass(frozen=True)
class History:
    """The repository, which no test changes, and what it holds, oldest first."""

    repository: Path
    versions: list[Version]
    scale: Scale


@pytest.fixture(scope="module", params=SCALES)
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Made once, also where several processes run the tests of this module."""
    scale: Scale = request.param
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    name = f"history{scale.snapshots}"
    repository, manifest = folder / name, folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not manifest.exists():
            shutil.rmtree(repository, ignore_errors=True)
            versions = make_history(repository, count=scale.snapshots, length=scale.length, password=PASSWORD)
            manifest.write_text(json.dumps([asdict(version) for version in versions]))
    return History(repository, [Version(**each) for each in json.loads(manifest.read_text())], scale)


@dataclass(frozen=True)
class Alone:
    """A repository with the newest version in one snapshot, by the real restic, and what its restore takes."""

    repository: Path
    restore: Measured


@pytest.fixture(scope="module")
def alone(history: History, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    folder = tmp_path_factory.mktemp("alone")
    newest = history.versions[-1]
    source = folder / "source"
    run(history.repository, folder, "restore", f"{newest.snapshot}:{FOLDER}", "--target", str(source))
    repository = back_up_alone(source, folder)
    restored, measured = restore(repository, "latest", "/" + INBOX, folder, "--no-cache")
    assert digest(restored) == newest.sha256
    return Alone(repository, measured)


def back_up_alone(source: Path, folder: Path) -> Path:
    """Let the real restic back up a folder into a new repository that cuts files at the same places."""
    repository = folder / "repository"
    Repository.create(
        LocalBackend(str(repository)),
        PASSWORD,
        polynomial=POLYNOMIAL,
        hostname="host",
        username="user",
        created="2024-01-01T00:00:00Z",
        params=QUICK,
    ).close()
    find_restic(NEWEST, folder).run("backup", "--quiet", ".", repository=repository, cwd=source)
    return repository


def run(repository: Path, folder: Path, *arguments: str) -> Measured:
    """Run this checkout's program with few descriptors, and a folder for temporary files that has to stay untouched."""
    program = find_pyrestic(folder)
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pyrestic", "--repo", str(repository), *arguments]
    environment = program.environment(TMPDIR=str(temporary))
    done = run_measured(command, environment, descriptors=DESCRIPTORS, watched=temporary, cwd=program.home)
    assert done.code == 0, done.stderr
    assert done.files == []
    assert list(temporary.iterdir()) == []
    return done


def restore(repository: Path, name: str, location: str, folder: Path, *flags: str) -> tuple[Path, Measured]:
    """Restore one file into an empty folder; return where it is now, and what that took."""
    target = folder / "target"
    shutil.rmtree(target, ignore_errors=True)
    done = run(repository, folder, "restore", name, "--include", location, "--target", str(target), *flags)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert files == [target / location.lstrip("/")]
    return files[0], done


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Stored:
    """The content of a file: its blobs, and what they take in packs."""

    blobs: list[str]
    length: int


def stored(repository: Path, name: str, folder: str) -> Stored:
    """Look up the mail file of a snapshot."""
    from pyrestic.repository.snapshots import SnapshotFilter, find_snapshot

    opened = Repository.open(LocalBackend(str(repository)), PASSWORD)
    opened.load_index(NullReporter())
    found, _ = find_snapshot(opened, name, SnapshotFilter(), NullReporter())
    nodes = opened.load_tree(find_tree(opened, found.snapshot.tree_id, folder))
    blobs = next(node for node in nodes if node.name == INBOX).content or []
    places = [opened.index.find(BlobHandle(BlobType.DATA, bytes.fromhex(blob))) for blob in set(blobs)]
    opened.close()
    return Stored(blobs, sum(place.length for place in places if place is not None))


@pytest.mark.parametrize("number", [0, 1, 177, -2, -1])
def test_any_version_comes_back_with_few_descriptors_at_the_cost_of_its_own_length(
    number: int, history: History, alone: Alone, tmp_path: Path
) -> None:
    version = history.versions[number]
    restored, done = restore(history.repository, version.snapshot, LOCATION, tmp_path, "--no-cache")
    assert restored.stat().st_size == version.length
    assert digest(restored) == version.sha256
    # The restore of a single snapshot reads the same program, of packs what its blobs take, and a shorter index. What
    # lies between two wanted blobs of a pack is read over if it is short.
    longer = stored(history.repository, version.snapshot, FOLDER).length - stored(alone.repository, "latest", "").length
    indexes = sum(path.stat().st_size for path in (history.repository / "index").iterdir())
    assert done.bytes_read - alone.restore.bytes_read < longer + indexes + version.length // 8
    assert done.peak_kib < 1.5 * alone.restore.peak_kib


def test_a_version_comes_back_by_way_of_the_cache_too(history: History, tmp_path: Path) -> None:
    version = history.versions[304]
    for _ in ("the cache is empty", "the cache is full"):
        restored, _ = restore(history.repository, version.snapshot, LOCATION, tmp_path)
        assert digest(restored) == version.sha256


@pytest.mark.parametrize("flags", [["--no-cache"], []], ids=["without cache", "with cache"])
def test_a_version_is_dumped_with_few_descriptors(flags: list[str], history: History, tmp_path: Path) -> None:
    version = history.versions[200]
    done = run(history.repository, tmp_path, "dump", version.snapshot, LOCATION, *flags)
    assert len(done.stdout) == version.length
    assert hashlib.sha256(done.stdout).hexdigest() == version.sha256


def test_the_history_is_what_backups_would_have_left(history: History, alone: Alone, tmp_path: Path) -> None:
    newest = history.versions[-1].snapshot
    assert stored(history.repository, newest, FOLDER).blobs == stored(alone.repository, "latest", "").blobs
    assert len(list((history.repository / "index").iterdir())) == len(history.versions)
    assert len({version.sha256 for version in history.versions}) == len(history.versions)
    source = tmp_path / "source"
    version = history.versions[300]
    restic = find_restic(NEWEST, tmp_path)
    restic.run("restore", f"{version.snapshot}:{FOLDER}", "--target", source, repository=history.repository)
    assert digest(source / INBOX) == version.sha256
    again = back_up_alone(source, tmp_path)
    assert stored(history.repository, version.snapshot, FOLDER).blobs == stored(again, "latest", "").blobs


@pytest.fixture
def own(history: History, tmp_path: Path) -> Path:
    """A copy of the repository for a test that removes files; those that stay are shared."""
    folder = tmp_path / "own"
    shutil.copytree(history.repository, folder, copy_function=os.link)
    return folder


def test_forget_and_prune_leave_what_the_real_one_would_keep(
    own: Path, history: History, newest: Program, tmp_path: Path
) -> None:
    before = {each["id"] for each in newest.snapshots(own)}
    assert before == {version.snapshot for version in history.versions}
    (theirs,) = newest.run("forget", *POLICY, "--dry-run", "--json", repository=own).json
    (ours,) = json.loads(run(own, tmp_path, "forget", *POLICY, "--json").stdout)
    assert ours == theirs
    kept = {each["id"] for each in theirs["keep"]}
    assert len(kept) == history.scale.kept
    assert {each["id"] for each in newest.snapshots(own)} == kept
    real = tmp_path / "real"
    shutil.copytree(own, real, copy_function=os.link)
    run(own, tmp_path, "prune")
    newest.run("prune", repository=real)
    assert abs(stored_bytes(own) - stored_bytes(real)) < stored_bytes(real) / 20
    assert stored_bytes(own) < stored_bytes(history.repository) / history.scale.shrinks
    newest.run("check", "--read-data", repository=own)
    left = [version for version in history.versions if version.snapshot in kept]
    for version in (left[0], left[len(left) // 2], left[-1]):
        restored, _ = restore(own, version.snapshot, LOCATION, tmp_path)
        assert digest(restored) == version.sha256
