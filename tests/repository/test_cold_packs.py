"""Packs in cold storage are requested together before an operation reads them, and waited for."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import Buffer

from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.objects import ObjectBackend
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, BackendError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.operations.check import Check, read_index_files
from pyrestic.operations.copy import Copy
from pyrestic.operations.prune import plan_prune
from pyrestic.operations.prune_options import PruneOptions, UnusedLimit
from pyrestic.operations.restore import Restore
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_root import Contents
from pyrestic.report import NullReporter
from pyrestic.repository import cold_packs
from pyrestic.repository.cold_packs import warm_up_packs
from pyrestic.repository.repository import Repository, RepositoryOptions
from pyrestic.repository.snapshots import load_snapshots
from tests.support.repositories import PASSWORD, make_repository
from tests.support.stores import MemoryStore

OPTIONS = RepositoryOptions(pack_length=4 << 20)
Operation = Callable[[Repository, Path], None]


class ColdBackend(MemoryBackend):
    """Its packs of file content are in an archive: each must be requested, and is there when asked once more."""

    def __init__(self, cold_seconds: float = 3600.0) -> None:
        super().__init__(2)
        self.cold_seconds = cold_seconds
        self.cold: dict[Handle, int] = {}
        self.requested: list[Handle] = []

    def save(self, handle: Handle, data: Buffer) -> None:
        super().save(handle, data)
        if handle.type is FileType.PACK:
            self.cold[handle] = 2

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        super().save(handle, data)

    def warm_up(self, handle: Handle) -> bool:
        self.requested.append(handle)
        left = max(0, self.cold.get(handle, 0) - 1)
        self.cold[handle] = left
        return left == 0

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        if self.cold.get(handle, 0):
            raise AccessError(f"{handle} is in cold storage")
        return super().load(handle, offset, length)


def fill(backend: ColdBackend) -> None:
    """Make two snapshots of a file each, in two packs each, whose first blobs are used by nobody."""
    repository = make_repository(backend, options=OPTIONS)
    dice = random.Random(5)
    for number in range(2):
        blobs = [repository.saver.save(BlobType.DATA, dice.randbytes(900_000)).id.hex() for _ in range(8)]
        node = Node(name="file", type="file", content=blobs[1:], size=6_300_000)
        tree = repository.saver.save(BlobType.TREE, encode_tree([node])).id
        repository.flush()
        snapshot = Snapshot(time=f"2024-01-0{number + 1}T00:00:00Z", tree=tree.hex(), hostname="h", paths=["/"])
        repository.save_unpacked(FileType.SNAPSHOT, snapshot_format.encode(snapshot))
    repository.close()


def check(repository: Repository, folder: Path) -> None:
    checker = Check(repository, NullReporter(), lambda finding: pytest.fail(str(finding)))
    assert checker.use_index(read_index_files(repository, NullReporter()))
    checker.packs()
    checker.read(checker.data_packs())


def prune(repository: Repository, folder: Path) -> None:
    options = PruneOptions(max_unused=UnusedLimit(None, 0))
    plan = plan_prune(repository, options, NullReporter())
    assert plan.plan.repack
    plan.execute(NullReporter(), lambda: None)


def restore(repository: Repository, folder: Path) -> None:
    tree = load_snapshots(repository, NullReporter())[0].snapshot.tree_id
    result = Restore(repository, Contents(tree), str(folder / "back"), RestoreOptions(), NullReporter()).run()
    assert result.errors == ()
    assert (folder / "back" / "file").stat().st_size == 6_300_000


def copy(repository: Repository, folder: Path) -> None:
    target = make_repository(options=OPTIONS)
    Copy(repository, target, NullReporter(), lambda: None).run(load_snapshots(repository, NullReporter()))


def opened(backend: ColdBackend) -> Repository:
    repository = Repository.open(RetryBackend(backend), PASSWORD, options=OPTIONS)
    repository.load_index(NullReporter())
    return repository


@pytest.mark.parametrize("operation", [check, prune, restore, copy])
def test_an_operation_requests_all_packs_before_it_reads_them(
    operation: Operation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_packs, "POLL_SECONDS", 0.0)
    backend = ColdBackend()
    fill(backend)
    cold = {handle for handle, left in backend.cold.items() if left}
    operation(opened(backend), tmp_path)
    assert set(backend.requested) & cold
    if operation in (check, copy):
        assert set(backend.requested) >= cold


@pytest.mark.parametrize("operation", [check, prune, restore, copy])
def test_without_the_option_nothing_is_requested(operation: Operation, tmp_path: Path) -> None:
    backend = ColdBackend(cold_seconds=0.0)
    fill(backend)
    with pytest.raises((AccessError, AssertionError, BackendError, pytest.fail.Exception)):
        operation(opened(backend), tmp_path)
    assert backend.requested == []


def test_waiting_ends_when_it_takes_too_long() -> None:
    backend = ColdBackend(cold_seconds=200.0)
    fill(backend)
    for handle in backend.cold:
        backend.cold[handle] = 1000
    repository = opened(backend)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    packs = [bytes.fromhex(handle.name) for handle in backend.cold]
    with pytest.raises(BackendError, match="4 packs are still in cold storage after 200 s"):
        warm_up_packs(repository, packs, NullReporter(), clock=lambda: now[0], sleep=sleep)
    assert now[0] == 240


def test_a_store_without_archives_is_never_asked() -> None:
    backend = ObjectBackend(MemoryStore(), "")
    assert backend.cold_seconds == 0.0
    assert backend.warm_up(Handle(FileType.PACK, "0" * 64))
