"""Sources that somebody swaps while the walk is on: nothing outside the tree is ever in the snapshot.

A secret lies beside the source, in folders and files of the same names. Before the N-th system call of the walk
something of the source becomes a link to its like there, or a pipe, a device or another folder. It may be as it was
again after that very call. N goes through all calls that the walk makes.
"""

import base64
import ctypes
import os
import resource
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import PyresticError
from pyrestic.localfs import scan
from pyrestic.localfs.select import BackupSelector, reject_if_present
from pyrestic.native.file_reader import _FUNCTIONS, ManyReaderMaker
from pyrestic.operations import file_batches
from pyrestic.operations.archive_snapshot import SnapshotDetails, archive_files
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from tests.support.engines import GivenEngines, blob_code, reader_code
from tests.support.repositories import PASSWORD, make_repository

SECRET = b"this is for root alone"
BATCH = 3
CALLS = ("open", "stat", "lstat", "fstat", "listdir", "scandir", "readlink", "listxattr", "getxattr")
Reader = Callable[[], ManyReaderMaker | None]


@dataclass(frozen=True)
class Swap:
    """What becomes of which path of the source."""

    path: str
    make: Callable[[Path, Path], object]
    """Given the path, and its like outside."""

    def do(self, root: Path) -> None:
        """Put the path aside, and something else in its place."""
        path = root / "source" / self.path
        path.rename(root / "aside")
        self.make(path, root / "outside" / self.path)

    def undo(self, root: Path) -> None:
        """Put everything back."""
        path = root / "source" / self.path
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        (root / "aside").rename(path)


def link(path: Path, like: Path) -> None:
    path.symlink_to(like)


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def device(path: Path, _: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def folder(path: Path, _: Path) -> None:
    path.mkdir()


SWAPS = [
    *(Swap(path, link) for path in ("top", "top/inner", "top/file", "top/inner/rich", "top/large")),
    Swap("top/file", pipe),
    Swap("top/file", folder),
    Swap("top/inner", pipe),
    Swap("top/inner", folder),
    Swap("top/pipe", link),
]
if os.geteuid() == 0:
    SWAPS += [Swap("top/file", device), Swap("top/large", device)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for side, content in (("source", b"for everybody"), ("outside", SECRET)):
        inner = tmp_path / side / "top" / "inner"
        inner.mkdir(parents=True)
        (inner.parent / "file").write_bytes(content)
        (inner.parent / "large").write_bytes(content * 8000)
        (inner.parent / "pipe").write_bytes(content) if side == "outside" else os.mkfifo(inner.parent / "pipe")
        (inner / "rich").write_bytes(content)
        (inner / "link").symlink_to(content)
        for number in range(2 * BATCH):
            (inner / f"small {number}").write_bytes(content + bytes([number]))
        for path in (inner, inner / "rich"):
            os.setxattr(path, "user.told", content)
    return tmp_path


class Meddler:
    """Swaps before a call of the system, counted from 0, and, if told so, back after it."""

    def __init__(self, root: Path, swap: Swap, at: int, *, back: bool) -> None:
        self.calls = 0
        self._root, self._swap, self._at, self._back = root, swap, at, back
        self._lock = threading.Lock()

    def tidy(self) -> None:
        """Put back what was swapped and is not back."""
        if self.calls > self._at and not self._back:
            self._swap.undo(self._root)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and counts."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                now = self.calls == self._at
                self.calls += 1
            if now:
                self._swap.do(self._root)
            try:
                return function(*arguments, **named)
            finally:
                if now and self._back:
                    self._swap.undo(self._root)

        return counted


def counting(maker: ManyReaderMaker, meddler: Meddler) -> Reader:
    """Return what gives a compiled reader whose every opening is counted."""
    kind = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 5)
    opening = _FUNCTIONS.index("syscall")
    original = kind(int(maker.table[opening]))
    callback = kind(meddler.around(lambda *arguments: int(original(*arguments))))
    table = maker.table.copy()
    table[opening] = ctypes.cast(callback, ctypes.c_void_p).value or 0
    changed = maker._replace(table=table)
    # The callback lives as long as what is returned.
    return lambda callback=callback: changed  # type: ignore[misc]


@pytest.fixture
def backend() -> MemoryBackend:
    made = MemoryBackend()
    make_repository(made)
    return made


def run(root: Path, backend: MemoryBackend, reader: Reader | None) -> Repository:
    """Back the source up, and return the repository."""
    code = blob_code() if reader is not None else None
    engines = GivenEngines(blobs=lambda: code, reader=reader)
    repository = Repository.open(backend, PASSWORD, engines=engines)
    rules = [reject_if_present("NO_BACKUP:x", lambda _: None)]
    try:
        archive_files(
            repository,
            scan.resolve([bytes(root / "source" / "top")]),
            BackupSelector(by_status=rules),
            SnapshotDetails(0, ["source"], "host"),
            NullReporter(),
            BackupProgress("backup", "B"),
        )
    except PyresticError as error:
        assert "nothing could be saved" in str(error)  # noqa: PT017 - the only error that may be raised
    repository.flush()
    return repository


def check_nothing_told(repository: Repository) -> None:
    forms = (SECRET, base64.b64encode(SECRET))
    for blob in repository.index.blobs():
        data = repository.load_blob(blob.handle)
        assert not any(form in data for form in forms), data[:2000]


def attack(
    root: Path,
    backend: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
    maker: ManyReaderMaker | None,
    meddler: Meddler,
) -> None:
    """Back up while the meddler swaps."""
    with monkeypatch.context() as patch:
        patch.setattr(file_batches, "_FILES", BATCH)
        for name in CALLS:
            patch.setattr(os, name, meddler.around(getattr(os, name)))
        repository = run(root, backend, None if maker is None else counting(maker, meddler))
    meddler.tidy()
    check_nothing_told(repository)
    repository.close()


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("reads", ["one by one", "in batches"])
@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: f"{swap.path} {swap.make.__name__}".replace("/", " "))
def test_what_is_swapped_at_any_call_tells_nothing_from_outside(
    root: Path,
    backend: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
    swap: Swap,
    reads: str,
    step: int,
) -> None:
    maker = reader_code() if reads == "in batches" else None
    for back in (False, True) if swap.make is link else (False,):
        # Each kind of swap begins at another call.
        at, calls = SWAPS.index(swap) % step, 0
        while at <= max(calls, step):
            meddler = Meddler(root, swap, at, back=back)
            attack(root, backend, monkeypatch, maker, meddler)
            calls = meddler.calls
            at += step
        assert calls > 20


def test_folders_of_any_depth_are_walked_with_few_open(tmp_path: Path, backend: MemoryBackend) -> None:
    depth = 400
    here = os.open(tmp_path, os.O_RDONLY)
    for number in range(depth):
        # One is met before the folder below, one after it, and one is for a reading thread.
        for name, length in ((b"a", 3), (b"z", 3), (b"zz", 70_000 if number % 40 == 0 else 1)):
            file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here)
            os.write(file, bytes(length))
            os.close(file)
        os.mkdir(b"ddd", dir_fd=here)
        below = os.open(b"ddd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 24, limits[1]))
    try:
        told, progress = NullReporter(), BackupProgress("backup", "B")
        repository = Repository.open(backend, PASSWORD)
        options = SnapshotDetails(0, ["source"], "host")
        result = archive_files(repository, scan.resolve([bytes(tmp_path)]), BackupSelector(), options, told, progress)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert told.errors == []
    assert result.summary.total_files_processed == 3 * depth


def test_a_path_that_is_too_long_for_the_kernel_is_told_as_restic_tells_it(
    tmp_path: Path, backend: MemoryBackend
) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(b"d" * 200, dir_fd=here)
        below = os.open(b"d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    told = NullReporter()
    repository = Repository.open(backend, PASSWORD)
    options = SnapshotDetails(0, ["source"], "host")
    archive_files(
        repository, scan.resolve([bytes(tmp_path)]), BackupSelector(), options, told, BackupProgress("backup", "B")
    )
    (error,) = [str(error) for _, error in told.errors]
    assert error.startswith("lstat /")
    assert error.endswith(": file name too long")
