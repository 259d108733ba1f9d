"""Repair index: make it say what the packs hold that are there.

The headers of packs that no index file names, or that have another length than the index says, are read; with
`read_all_packs` those of all packs, and the old index counts for nothing. What was read is stored first, then what
stays of the old index files, and these are removed last: a kill at any moment leaves an index that names no less.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from pyrestic.errors import DamageError, NotFoundError
from pyrestic.format.indexfile import Columns, IndexPack
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, parse_id
from pyrestic.operations.check_pack import expected_total
from pyrestic.operations.rewrite_index import replace_index, store_packs
from pyrestic.report import Progress, Reporter
from pyrestic.repository.index import Index
from pyrestic.repository.manyfiles import map_files
from pyrestic.repository.packheader import load_header
from pyrestic.repository.repository import IndexFileInfo, Repository

_AHEAD = 4


@dataclass(slots=True)
class IndexRepair:
    """What was found amiss, by IDs of packs or of index files."""

    invalid_index_files: list[ID] = field(default_factory=list)
    added: list[ID] = field(default_factory=list)
    resized: list[ID] = field(default_factory=list)
    missing: list[ID] = field(default_factory=list)
    unreadable: list[ID] = field(default_factory=list)


@dataclass(slots=True)
class _Loaded:
    """The index files that can be read, what they say together, and those that cannot be read."""

    index: Index = field(default_factory=Index)
    files: list[IndexFileInfo] = field(default_factory=list)
    unusable: list[ID] = field(default_factory=list)


def repair_index(
    repository: Repository, report: Reporter, ensure_locked: Callable[[], None], *, read_all_packs: bool = False
) -> IndexRepair:
    """Repair the index of a repository; its index in memory is neither needed nor changed.

    Raises BackendError, before anything is stored if a pack cannot be read now that may be whole.
    """
    result = IndexRepair()
    if read_all_packs:
        loaded = _Loaded(unusable=sorted(repository.list_ids(FileType.INDEX)))
    else:
        loaded = _load(repository, report)
        result.invalid_index_files = loaded.unusable
    to_read = _compare(repository, loaded.index, result, report)
    if to_read:
        report.note("reading pack files")
        store_packs(repository, _read_headers(repository, to_read, result, report))
        for pack in result.unreadable:
            report.note(f"skipped incomplete pack file: {pack.hex()}", 2)
    changed = {*to_read, *result.missing}
    replace_index(repository, loaded.index, loaded.files, changed, report, ensure_locked, unusable=loaded.unusable)
    return result


def _load(repository: Repository, report: Reporter) -> _Loaded:
    report.note("loading indexes...")
    loaded = _Loaded()
    files = sorted(repository.list_ids(FileType.INDEX))

    def load(identifier: ID) -> Columns | DamageError:
        try:
            return repository.load_index_file(identifier)
        except DamageError as error:
            return error

    parts = []
    for identifier, columns in zip(files, map_files(load, files, repository.backend.connections), strict=True):
        if isinstance(columns, DamageError):
            report.note(f"removing invalid index {identifier.hex()}: {columns}", 0)
            loaded.unusable.append(identifier)
            continue
        parts.append(columns)
        loaded.files.append(IndexFileInfo(identifier, columns.packs, len(columns.ids)))
    loaded.index.add_columns(parts)
    return loaded


def _compare(repository: Repository, index: Index, result: IndexRepair, report: Reporter) -> dict[ID, int]:
    """Return the packs to read with their lengths; note what differs between the index and what is stored."""
    report.note("getting pack files to read...")
    named = {pack: expected_total(totals) for pack, totals in index.totals_by_pack()}
    to_read = {}
    for info in repository.list_files(FileType.PACK):
        pack = parse_id(info.name)
        length = named.pop(pack, None)
        if length is None:
            report.note(f"adding pack file to index {info.name}", 0)
            result.added.append(pack)
        elif length != info.length:
            report.note(f"reindexing pack file {info.name} with unexpected size {info.length} instead of {length}", 0)
            result.resized.append(pack)
        else:
            continue
        to_read[pack] = info.length
    for pack in named:
        report.note(f"removing not found pack file {pack.hex()}", 0)
        result.missing.append(pack)
    return to_read


def _read_headers(
    repository: Repository, packs: dict[ID, int], result: IndexRepair, report: Reporter
) -> Iterator[IndexPack]:
    """Iterate packs with what their headers say; those that have none that can be read go to `result`."""
    progress = Progress("packs", "packs", len(packs))
    threads = repository.backend.connections
    waiting = iter(packs.items())
    pool = ThreadPoolExecutor(threads, "headers")
    running: list[tuple[ID, Future[list[HeaderEntry] | None]]] = []
    try:
        with report.show(progress):
            while True:
                for pack, length in islice(waiting, threads * _AHEAD - len(running)):
                    running.append((pack, pool.submit(read_header, repository, pack, length)))
                if not running:
                    return
                pack, future = running.pop(0)
                entries = future.result()
                progress.done += 1
                if entries is None:
                    result.unreadable.append(pack)
                else:
                    yield IndexPack(pack, entries)
    finally:
        pool.shutdown(cancel_futures=True)


def read_header(repository: Repository, pack: ID, length: int) -> list[HeaderEntry] | None:
    """Return the blobs of a pack, None if its header is damaged, past any cache; raise BackendError."""
    for last in (False, True):
        try:
            return load_header(repository, pack, length)
        except (DamageError, NotFoundError):
            forget = getattr(repository.backend, "forget", None)
            if forget is None or last:
                break
            forget(Handle(FileType.PACK, pack.hex()))
    return None
