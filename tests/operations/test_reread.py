"""What looks damaged is read again, past every cache, before a repair, a prune or a check believes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.base import FileInfo
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.cache import CacheBackend
from pyrestic.backend.wrap.cache_folder import open_cache
from pyrestic.errors import BackendError, DamageError
from pyrestic.handle import FileType, Handle
from pyrestic.operations.check import Check, read_index_files
from pyrestic.operations.check_pack import check_pack
from pyrestic.operations.prune import plan_prune
from pyrestic.operations.prune_options import PruneOptions
from pyrestic.operations.repair_index import repair_index
from pyrestic.operations.repair_packs import repair_packs
from pyrestic.operations.repair_snapshots import TAG, repair_snapshots
from pyrestic.operations.replace_snapshot import ReplaceOptions
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.rereading import READS
from pyrestic.repository.snapshots import load_all_snapshots, read_snapshots
from tests.operations.test_copy import fill
from tests.support.backends import FlippingBackend
from tests.support.repositories import PASSWORD

ONCE_TOO_FEW = READS - 1


def nothing() -> None:
    """Hold every lock."""


@pytest.fixture
def stored() -> MemoryBackend:
    """A repository with some snapshots."""
    backend = MemoryBackend()
    fill(backend)
    return backend


def opened(backend: FlippingBackend) -> Repository:
    return Repository.open(backend, PASSWORD)


def files(backend: MemoryBackend, *types: FileType) -> set[str]:
    return {info.name for each in types for info in backend.list(each)}


def check(repository: Repository) -> int:
    """Check all data; return the number of errors."""
    made = Check(repository, NullReporter(), lambda finding: None)
    assert made.use_index(read_index_files(repository, NullReporter()))
    made.packs()
    made.structure(
        [one.snapshot.tree_id for one in load_all_snapshots(repository, NullReporter(), what="")], track=False
    )
    made.read(made.data_packs())
    return made.result.error_count


@pytest.mark.parametrize("whole", [False, True], ids=["index", "read all packs"])
@pytest.mark.parametrize("times", range(1, ONCE_TOO_FEW + 1))
def test_repair_index_drops_nothing_that_arrives_damaged_at_first(
    stored: MemoryBackend, times: int, whole: bool
) -> None:
    for info in list(stored.list(FileType.INDEX)):
        stored.remove(Handle(FileType.INDEX, info.name))
    backend = FlippingBackend(stored, times)
    result = repair_index(opened(backend), NullReporter(), nothing, read_all_packs=whole)
    assert (result.unreadable, result.kept, result.missing) == ([], [], [])
    assert check(Repository.open(stored, PASSWORD)) == 0


def test_a_pack_whose_header_stays_damaged_keeps_an_entry_that_fits(stored: MemoryBackend) -> None:
    backend = FlippingBackend(stored, 1 << 30, FileType.PACK)
    report = Notes()
    result = repair_index(opened(backend), report, nothing, read_all_packs=True)
    packs = files(stored, FileType.PACK)
    assert {pack.hex() for pack in result.kept} == packs
    assert all(pack in report.text(0) for pack in packs)
    assert check(Repository.open(stored, PASSWORD)) == 0


def test_a_pack_without_entry_whose_header_stays_damaged_is_named(stored: MemoryBackend) -> None:
    for info in list(stored.list(FileType.INDEX)):
        stored.remove(Handle(FileType.INDEX, info.name))
    backend = FlippingBackend(stored, 1 << 30, FileType.PACK)
    report = Notes()
    result = repair_index(opened(backend), report, nothing)
    packs = files(stored, FileType.PACK)
    assert {pack.hex() for pack in result.unreadable} == packs
    assert all(pack in report.text(0) for pack in packs)
    assert min(backend.loads[FileType.PACK].values()) >= READS


def test_a_pack_that_a_listing_left_out_is_not_dropped(stored: MemoryBackend) -> None:
    class Forgetful(FlippingBackend):
        def list(self, file_type: FileType) -> Iterator[FileInfo]:
            found = list(super().list(file_type))
            return iter(found[1:] if file_type is FileType.PACK else found)

    before = files(stored, FileType.INDEX)
    for whole in (False, True):
        with pytest.raises(BackendError, match="was not listed"):
            repair_index(opened(Forgetful(stored, 0)), NullReporter(), nothing, read_all_packs=whole)
    assert files(stored, FileType.INDEX) == before


@pytest.mark.parametrize("by", [-1, 1, -(1 << 20), 1 << 40])
def test_a_pack_that_is_listed_with_another_length_is_not_dropped(stored: MemoryBackend, by: int) -> None:
    class Wrong(FlippingBackend):
        def list(self, file_type: FileType) -> Iterator[FileInfo]:
            more = by if file_type is FileType.PACK else 0
            return (FileInfo(info.name, max(0, info.length + more)) for info in super().list(file_type))

    before = files(stored, FileType.INDEX, FileType.PACK)
    for whole in (False, True):
        with pytest.raises(BackendError, match="was listed with"):
            repair_index(opened(Wrong(stored, 0)), NullReporter(), nothing, read_all_packs=whole)
    repository = opened(Wrong(stored, 0))
    repository.load_index(NullReporter())
    with pytest.raises(BackendError, match="was listed with"):
        repair_packs(repository, repository.index.packs(), NullReporter(), nothing)
    assert files(stored, FileType.INDEX, FileType.PACK) == before


@pytest.mark.parametrize("times", range(1, ONCE_TOO_FEW + 1))
def test_repair_packs_loses_nothing_that_arrives_damaged_at_first(stored: MemoryBackend, times: int) -> None:
    repository = opened(FlippingBackend(stored, times))
    repository.load_index(NullReporter())
    packs = repository.index.packs()
    result = repair_packs(repository, packs, NullReporter(), nothing)
    repository.close()
    assert result.lost == []
    assert not packs & {bytes.fromhex(name) for name in files(stored, FileType.PACK)}
    assert check(Repository.open(stored, PASSWORD)) == 0


@pytest.mark.parametrize("times", range(1, ONCE_TOO_FEW + 1))
def test_repair_snapshots_takes_nothing_out_that_arrives_damaged_at_first(stored: MemoryBackend, times: int) -> None:
    repository = opened(FlippingBackend(stored, times))
    repository.load_index(NullReporter(), anew=True)
    found = load_all_snapshots(repository, NullReporter(), what="")
    result = repair_snapshots(repository, found, ReplaceOptions(TAG, forget=True), NullReporter(), nothing)
    repository.close()
    assert (result.count, result.losses) == (0, 0)
    assert read_snapshots(Repository.open(stored, PASSWORD)).found == found


@pytest.mark.parametrize("times", range(1, ONCE_TOO_FEW + 1))
def test_prune_plans_with_what_is_read_again(stored: MemoryBackend, times: int) -> None:
    repository = opened(FlippingBackend(stored, times))
    prune = plan_prune(repository, PruneOptions(), NullReporter())
    assert (prune.plan.stats.packs.remove, prune.plan.stats.packs.repack) == (0, 0)
    repository.close()


def test_prune_refuses_what_stays_damaged(stored: MemoryBackend) -> None:
    for kind in (FileType.INDEX, FileType.SNAPSHOT, FileType.PACK):
        repository = opened(FlippingBackend(stored, 1 << 30, kind))
        with pytest.raises(DamageError):
            plan_prune(repository, PruneOptions(), NullReporter())
        repository.close()


@pytest.mark.parametrize(("times", "words"), [(1, "second attempt"), (2, "third attempt"), (READS, "is damaged")])
def test_check_reads_a_damaged_pack_again_and_says_what_came_of_it(
    stored: MemoryBackend, times: int, words: str
) -> None:
    repository = Repository.open(stored, PASSWORD)
    repository.load_index(NullReporter())
    pack, blobs = next(iter(repository.index.by_pack()))
    repository.backend = FlippingBackend(stored, times, FileType.PACK)
    assert words in check_pack(repository, pack, blobs)[0]


@pytest.mark.parametrize("kind", [FileType.INDEX, FileType.SNAPSHOT, FileType.PACK])
def test_a_damaged_copy_in_the_cache_costs_nothing(stored: MemoryBackend, tmp_path: Path, kind: FileType) -> None:
    repository = Repository.open(stored, PASSWORD)
    cache = open_cache(str(tmp_path), repository.config.id).folder
    notes: list[str] = []

    def again() -> Repository:
        return Repository.open(
            stored, PASSWORD, wrap=lambda backend, _: CacheBackend(backend, cache, on_note=notes.append)
        )

    first = again()
    first.load_index(NullReporter())
    for handle in [blob.handle for blob in first.index.blobs()]:
        first.load_blob(handle)
    read_snapshots(first)
    copies = [path for path in (tmp_path).rglob("*") if path.is_file() and len(path.name) == 64]
    for path in copies:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
    assert copies
    second = again()
    result = repair_index(second, NullReporter(), nothing, read_all_packs=True)
    assert (result.unreadable, result.kept) == ([], [])
    second.load_index(NullReporter(), anew=True)
    assert read_snapshots(second).found
    for handle in [blob.handle for blob in second.index.blobs()]:
        second.load_blob(handle)
    assert check(Repository.open(stored, PASSWORD)) == 0


def test_a_place_that_fails_costs_no_pack(stored: MemoryBackend) -> None:
    class Dying(FlippingBackend):
        dead = False

        def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
            if self.dead and handle.type is FileType.PACK:
                raise BackendError(f"reading {handle} failed: input/output error")
            return super().load(handle, offset, length)

    backend = Dying(stored, 0)
    repository = opened(backend)
    repository.load_index(NullReporter())
    before = files(stored, FileType.PACK, FileType.INDEX)
    backend.dead = True
    with pytest.raises(BackendError, match="input/output error"):
        repair_packs(repository, repository.index.packs(), NullReporter(), nothing)
    assert files(stored, FileType.PACK, FileType.INDEX) >= before


class Notes(NullReporter):
    """Keeps notes by level."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[int, str]] = []

    def note(self, message: str, level: int = 1) -> None:
        self.notes.append((level, message))

    def text(self, level: int) -> str:
        """Return all that was noted at a level."""
        return "\n".join(message for each, message in self.notes if each == level)
