"""Many small files in batches: the same snapshot as one by one, whatever happens to the files meanwhile."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyrestic.backend.base import Backend
from pyrestic.backend.mem import MemoryBackend
from pyrestic.engine_types import BatchReader, BatchReaderMaker, FileRecords
from pyrestic.engines import Engines
from pyrestic.errors import AccessError, PyresticError
from pyrestic.format.compress import Compression
from pyrestic.format.node import Node
from pyrestic.format.snapshot import Snapshot, Summary
from pyrestic.handle import BlobHandle, BlobType, FileType
from pyrestic.ids import ID, hash_id, parse_id
from pyrestic.localfs import scan
from pyrestic.localfs.select import BackupSelector
from pyrestic.localfs.source_folders import SourcePath
from pyrestic.native.blob_batch import BlobCode
from pyrestic.operations import file_batches
from pyrestic.operations.archive_snapshot import BackupResult, SnapshotDetails, archive_files
from pyrestic.operations.backup_options import ArchiveOptions
from pyrestic.operations.backup_progress import BackupProgress, ItemDone
from pyrestic.operations.early_end import EarlyEnd, EarlyReason, PartialOptions
from pyrestic.operations.source_file import SourceReader
from pyrestic.report import NullReporter
from pyrestic.repository.pack_header import load_header
from pyrestic.repository.repository import Repository, RepositoryOptions
from pyrestic.repository.snapshots import StoredSnapshot
from tests.support.backends import FaultyBackend
from tests.support.engines import GivenEngines, blob_code, reader_code
from tests.support.repositories import PASSWORD, make_repository, open_again

pytest.importorskip("numba")

FOLDERS, FILES = 12, 110


@dataclass
class Run:
    """A backup and what it told."""

    result: BackupResult
    items: list[ItemDone] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    bytes_done: int = 0


class Reporter(NullReporter):
    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, str] = {}

    def error(self, item: str, error: Exception) -> None:
        self.messages[item] = str(error)


@pytest.fixture(scope="module")
def engines() -> Engines:
    """Compiled code: of the repository, and for reading."""
    return GivenEngines(blobs=blob_code, reader=reader_code)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of all kinds, many of them equal, some empty, some as long as small files may be, some longer."""
    folder = tmp_path_factory.mktemp("source")
    dice = random.Random(1)
    text = dice.randbytes(2000).hex()
    for number in range(FOLDERS):
        place = folder / f"{number % 4}" / f"{number}"
        place.mkdir(parents=True)
        for count in range(FILES):
            length = dice.choice([0, 1, 10, 500, 2000])
            # Every third file has its like somewhere.
            start = dice.randrange(40) if count % 3 else number * FILES + count
            (place / f"file {count}").write_text(text[start : start + length])
    (folder / "0" / "largest").write_bytes(dice.randbytes(64 << 10))
    (folder / "1" / "larger").write_bytes(dice.randbytes((64 << 10) + 1))
    (folder / "2" / "link").symlink_to("nowhere")
    return folder


def opened(engines: Engines | None, backend: Backend, compression: Compression) -> Repository:
    return Repository.open(backend, PASSWORD, options=RepositoryOptions(compression), engines=engines)


class CountingEnd(EarlyEnd):
    """Asks for the end at the so many-th question."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self._left = end

    def ensure_unwanted(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.request(EarlyReason.ASKED)
        super().ensure_unwanted()


def run(
    source: Path,
    repository: Repository,
    *,
    select: BackupSelector | None = None,
    parent: ID | None = None,
    with_atime: bool = False,
    partial: PartialOptions | None = None,
) -> Run:
    report, progress, items = Reporter(), BackupProgress("backup", "B"), list[ItemDone]()
    options = SnapshotDetails(0, [str(source)], "host", archive=ArchiveOptions(with_atime=with_atime))
    stored = (
        None if parent is None else StoredSnapshot(parent, Snapshot(time="2024-01-01T00:00:00Z", tree=parent.hex()))
    )
    result = archive_files(
        repository,
        scan.resolve([bytes(source)]),
        select or BackupSelector(),
        options,
        report,
        progress,
        parent=stored,
        on_item=items.append,
        partial=partial,
    )
    assert not progress.current_files
    return Run(result, items, report.messages, progress.done)


@pytest.mark.slow
def test_code_that_comes_during_a_run_is_used_from_then_on(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_batches, "_LOOK_AGAIN_FILES", 100)
    asked, batches = Counter[str](), list[int]()
    read_many = SourceReader.read_many

    def find_blobs() -> BlobCode | None:
        asked["blobs"] += 1
        return blob_code() if asked["blobs"] > 1 else None

    def find_reader() -> BatchReaderMaker | None:
        asked["reader"] += 1
        return reader_code() if asked["reader"] > 1 else None

    def read(source: SourceReader, reader: BatchReader, paths: list[SourcePath]) -> FileRecords:
        batches.append(len(paths))
        return read_many(source, reader, paths)

    monkeypatch.setattr(SourceReader, "read_many", read)
    backend = MemoryBackend()
    make_repository(backend)
    repository = opened(GivenEngines(blobs=find_blobs, reader=find_reader), backend, Compression.AUTO)
    late = run(source, repository)
    # Once in vain, and later by each thread for itself.
    assert min(asked["blobs"], asked["reader"]) >= 2
    assert 0 < sum(batches) < FOLDERS * FILES
    usual, _ = new(source, None)
    assert late.result.tree == usual.result.tree
    assert counts(late.result.summary) == counts(usual.result.summary)
    verify(repository)


def new(
    source: Path, engines: Engines | None, compression: Compression = Compression.AUTO, version: int = 2
) -> tuple[Run, Repository]:
    backend = MemoryBackend()
    make_repository(backend, version=version)
    repository = opened(engines, backend, compression)
    return run(source, repository), repository


def verify(repository: Repository) -> None:
    """Raise unless every blob can be read, and packs agree with the index."""
    for blob in repository.index.blobs():
        assert repository.load_blob(blob.handle)
    infos = list(repository.list_files(FileType.PACK))
    stored = {parse_id(info.name): load_header(repository, parse_id(info.name), info.length) for info in infos}
    assert stored == dict(repository.index.by_pack())


def counts(summary: Summary) -> list[int]:
    """What does not depend on when it was and how well it was compressed."""
    return [
        summary.files_new,
        summary.files_changed,
        summary.files_unmodified,
        summary.dirs_new,
        summary.data_blobs,
        summary.tree_blobs,
        summary.data_added,
        summary.total_files_processed,
        summary.total_bytes_processed,
    ]


def told(items: list[ItemDone]) -> Counter[tuple[str, bytes]]:
    return Counter((item.action, item.location) for item in items)


@pytest.mark.parametrize(
    ("version", "compression"), [(1, Compression.AUTO), (2, Compression.AUTO), (2, Compression.OFF)]
)
def test_batches_give_the_snapshot_that_files_give_one_by_one(
    engines: Engines, source: Path, version: int, compression: Compression
) -> None:
    one_by_one, _ = new(source, None, compression, version)
    together, repository = new(source, engines, compression, version)
    assert together.result.tree == one_by_one.result.tree
    assert counts(together.result.summary) == counts(one_by_one.result.summary)
    assert told(together.items) == told(one_by_one.items)
    assert sum(item.data_added for item in together.items) == sum(item.data_added for item in one_by_one.items)
    assert together.bytes_done == one_by_one.bytes_done
    assert together.errors == {}
    again = open_again(repository)
    verify(again)
    assert together.result.summary.data_added_packed == sum(blob.length for blob in again.index.blobs())


def test_a_second_run_takes_everything_over_and_a_changed_file_is_told_of(engines: Engines, source: Path) -> None:
    first, repository = new(source, engines)
    place = source / "0" / "0"
    changed = [place / f"file {number}" for number in range(5)]
    for path in changed:
        path.write_text(f"other content of {path.name}")
    for path in (place / "file 5", place / "file 6"):
        os.utime(path)
    again = run(source, open_again(repository, engines=engines), parent=first.result.tree)
    assert (again.result.summary.files_changed, again.result.summary.files_new) == (7, 0)
    assert again.result.summary.data_blobs == len(changed)
    forced = run(source, opened(engines, repository.backend, Compression.AUTO))
    assert forced.result.tree == again.result.tree


def test_access_times_are_kept_on_request(engines: Engines, source: Path) -> None:
    later = time.time_ns() + 3600 * 1_000_000_000
    for path in (source, *source.rglob("*")):
        # Listing a folder or reading a link moves its access time only if that is no later than its other times.
        os.utime(path, ns=(later, path.lstat().st_mtime_ns), follow_symlinks=False)
    trees = {run(source, make_and_open(each), with_atime=True).result.tree for each in (engines, None)}
    assert len(trees) == 1


def make_and_open(engines: Engines | None) -> Repository:
    backend = MemoryBackend()
    make_repository(backend)
    return opened(engines, backend, Compression.AUTO)


@pytest.mark.slow
def test_without_code_all_is_saved_one_by_one(engines: Engines, source: Path) -> None:
    expected, _ = new(source, None)
    for without in (
        GivenEngines(blobs=blob_code),
        GivenEngines(blobs=blob_code, reader=lambda: None),
        GivenEngines(reader=reader_code),
    ):
        backend = MemoryBackend()
        make_repository(backend)
        repository = opened(without, backend, Compression.AUTO)
        outcome = run(source, repository)
        assert outcome.result.tree == expected.result.tree
        assert outcome.bytes_done == expected.bytes_done
        assert told(outcome.items) == told(expected.items)


class Meddler:
    """Changes files between their lstat and their being read."""

    def __init__(self, changes: dict[Path, Callable[[Path], object]]) -> None:
        self._changes = {bytes(path): change for path, change in changes.items()}

    def __call__(self, path: bytes, _: os.stat_result) -> bool:
        change = self._changes.get(path)
        if change is not None:
            change(Path(os.fsdecode(path)))
        return False


def becomes(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


@pytest.mark.slow
def test_what_happens_to_files_before_they_are_read_is_told_of_them_alone(engines: Engines, tmp_path: Path) -> None:
    for number in range(1100):
        (tmp_path / f"{number:04}").write_text(f"content {number}" * 20)
    changes: dict[str, Callable[[Path], object]] = {
        "0001": Path.unlink,
        "0101": becomes(lambda path: path.symlink_to("/etc/passwd")),
        "0201": becomes(os.mkfifo),
        "0301": becomes(Path.mkdir),
        "0401": lambda path: path.write_text("longer than it was" * 1000),
        "0501": lambda path: path.write_text("shorter"),
        "0601": lambda path: path.write_bytes(random.Random(2).randbytes(200_000)),
        "0701": lambda path: path.write_text(""),
    }
    meddler = Meddler({tmp_path / name: change for name, change in changes.items()})
    repository = make_and_open(engines)
    outcome = run(tmp_path, repository, select=BackupSelector(by_status=[meddler]))
    lost = ["0001", "0101", "0201", "0301"]
    assert sorted(map(os.path.basename, outcome.errors)) == lost
    assert "no such file" in outcome.errors[str(tmp_path / "0001")]
    assert "changed its type" in outcome.errors[str(tmp_path / "0201")]
    again = open_again(repository)
    nodes = {node.name: node for node in find_nodes(again, outcome.result.tree, tmp_path)}
    assert sorted(nodes) == [f"{number:04}" for number in range(1100) if f"{number:04}" not in lost]
    for name, node in nodes.items():
        data = (tmp_path / name).read_bytes()
        assert node.size == len(data)
        assert (node.content or []) == ([hash_id(data).hex()] if data else [])
    verify(again)


def find_nodes(repository: Repository, tree: ID, folder: Path) -> list[Node]:
    nodes = repository.load_tree(tree)
    for part in folder.parts[1:]:
        (node,) = (node for node in nodes if node.name == part)
        assert node.subtree is not None
        nodes = repository.load_tree(bytes.fromhex(node.subtree))
    return nodes


@pytest.mark.slow
def test_a_failing_place_ends_the_run_and_nothing_hangs(engines: Engines, tmp_path: Path) -> None:
    dice = random.Random(3)
    for number in range(3000):
        (tmp_path / f"{number}").write_bytes(dice.randbytes(4000))
    backend = FaultyBackend(MemoryBackend())
    make_repository(backend)
    backend.fail("save", lambda: AccessError("the disk is full"), times=1000, file_type=FileType.PACK)
    options = RepositoryOptions(pack_length=4 << 20)
    repository = Repository.open(backend, PASSWORD, options=options, engines=engines)
    with pytest.raises(PyresticError, match="the disk is full"):
        run(tmp_path, repository)
    repository.close()


@pytest.mark.parametrize("end", [200, 700, 1200, 1340])
def test_a_backup_that_ends_early_has_the_batches_that_were_read(source: Path, engines: Engines, end: int) -> None:
    backend = MemoryBackend()
    make_repository(backend)
    ended = run(source, opened(engines, backend, Compression.AUTO), partial=PartialOptions(CountingEnd(end)))
    assert ended.result.early is EarlyReason.ASKED
    assert ended.result.id is not None
    repository = open_again(opened(None, backend, Compression.AUTO))
    contents: dict[bytes, bytes] = {}
    todo = [(b"", ended.result.tree)]
    while todo:
        prefix, tree = todo.pop()
        for node in repository.load_tree(tree):
            path = prefix + b"/" + node.raw_name
            if node.subtree is not None:
                todo.append((path, parse_id(node.subtree)))
            elif node.type == "file":
                blobs = [BlobHandle(BlobType.DATA, parse_id(one)) for one in node.content or ()]
                contents[path] = b"".join(map(repository.load_blob, blobs))
    assert contents.keys() == {item.location for item in ended.items if not item.is_directory}
    assert len(contents) >= min(end, 500) // 2
    for path, data in contents.items():
        assert Path(os.fsdecode(path)).read_bytes() == data
