"""Repair index: makes the index match the stored packs.

The headers of packs that are missing from the index, or whose length differs from it, are read; with `read_all_packs`
those of all packs. The new entries are stored first, then the kept entries of the old index files, and these are
removed last: after a kill at any time, the index lists no less than before.

A damaged pack header is read again, bypassing every cache. If it stays damaged and the old index accounts for exactly
the length of the pack, the old entry is kept; otherwise the pack is dropped from the index, and named.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from pyrestic.errors import BackendError, DamageError, NotFoundError
from pyrestic.format.index_file import Columns, IndexPack
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, parse_id
from pyrestic.operations.check_pack import expected_total
from pyrestic.operations.rewrite_index import replace_index, store_packs
from pyrestic.report import Progress, Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.index import Index
from pyrestic.repository.pack_header import load_header
from pyrestic.repository.repository import IndexFileInfo, Repository

_AHEAD = 4


@dataclass(slots=True)
class IndexRepair:
    """The findings, as IDs of packs or of index files.

    `unreadable` packs have a damaged header and are dropped from the index; `kept` ones, too, but keep their old entry.
    """

    invalid_index_files: list[ID] = field(default_factory=list)
    added: list[ID] = field(default_factory=list)
    resized: list[ID] = field(default_factory=list)
    missing: list[ID] = field(default_factory=list)
    unreadable: list[ID] = field(default_factory=list)
    kept: list[ID] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """The number of packs that are dropped from the index, or kept despite damaged headers."""
        return len(self.missing) + len(self.unreadable) + len(self.kept)


@dataclass(slots=True)
class _Loaded:
    """The readable index files, their combined content, and the unreadable ones."""

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
    loaded = _load(repository, report, quiet=read_all_packs)
    if not read_all_packs:
        result.invalid_index_files = loaded.unusable
    old = {pack: expected_total(totals) for pack, totals in loaded.index.totals_by_pack()}
    to_read = _compare(repository, {} if read_all_packs else dict(old), result, report)
    if read_all_packs:
        result.missing = _tell_missing(repository, sorted(old.keys() - to_read.keys()), report)
    if to_read:
        report.note("reading pack files")
        store_packs(repository, _read_headers(repository, to_read, result, report))
        _keep_entries(result, old, to_read, report)
    changed = {*to_read, *result.missing} - set(result.kept)
    files, unusable = loaded.files, loaded.unusable
    if read_all_packs:
        # Only the entries of unreadable packs are kept from the old files.
        store_packs(repository, (IndexPack(pack, each) for pack, each in loaded.index.by_pack() if pack in result.kept))
        files, unusable = [], sorted([*unusable, *(file.id for file in files)])
    replace_index(repository, loaded.index, files, changed, report, ensure_locked, unusable=unusable)
    return result


def _keep_entries(result: IndexRepair, old: dict[ID, int], lengths: dict[ID, int], report: Reporter) -> None:
    """Split the packs without a readable header into those whose old entry fits and those that are dropped."""
    result.kept = [pack for pack in result.unreadable if old.get(pack) == lengths[pack]]
    result.unreadable = [pack for pack in result.unreadable if old.get(pack) != lengths[pack]]
    for pack in result.kept:
        report.note(f"the header of pack {pack.hex()} is damaged, its old index entry is kept", 0)
    for pack in result.unreadable:
        report.note(f"skipped incomplete pack file: {pack.hex()}", 2)
        report.note(f"the header of pack {pack.hex()} is damaged, the pack is left out of the index", 0)


def _load(repository: Repository, report: Reporter, *, quiet: bool) -> _Loaded:
    """Return the index; `quiet` suppresses messages, because it only matters for unreadable packs."""
    if not quiet:
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
            report.note(f"removing invalid index {identifier.hex()}: {columns}", 2 if quiet else 0)
            loaded.unusable.append(identifier)
            continue
        parts.append(columns)
        loaded.files.append(IndexFileInfo(identifier, columns.packs, len(columns.ids)))
    loaded.index.add_columns(parts)
    return loaded


def _compare(repository: Repository, named: dict[ID, int], result: IndexRepair, report: Reporter) -> dict[ID, int]:
    """Return the packs to read with their lengths; record the differences between index and stored packs.

    `named` are the packs in the index with their computed lengths. It is consumed.
    """
    report.note("getting pack files to read...")
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
    result.missing = _tell_missing(repository, named, report)
    return to_read


def _tell_missing(repository: Repository, packs: Iterable[ID], report: Reporter) -> list[ID]:
    missing = _really_missing(repository, packs)
    for pack in missing:
        report.note(f"removing not found pack file {pack.hex()}", 0)
    return missing


def _really_missing(repository: Repository, packs: Iterable[ID]) -> list[ID]:
    """Return the packs that individual queries confirm as missing; raise BackendError for the others.

    An incomplete listing must not drop an entry.
    """

    def is_missing(pack: ID) -> bool:
        try:
            repository.backend.stat(Handle(FileType.PACK, pack.hex()))
        except NotFoundError:
            return True
        raise BackendError(
            f"pack {pack.hex()} is there, but was not listed: nothing was changed", hint="Try again later."
        )

    wanted = list(packs)
    answers = map_files(is_missing, wanted, repository.backend.connections)
    return [pack for pack, missing in zip(wanted, answers, strict=True) if missing]


def _read_headers(
    repository: Repository, packs: dict[ID, int], result: IndexRepair, report: Reporter
) -> Iterator[IndexPack]:
    """Iterate packs with the content of their headers; those with an unreadable header go to `result`."""
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
    """Return the blobs of a pack, None if its header is damaged in each read; raise BackendError."""
    try:
        return load_header(repository, pack, length)
    except (DamageError, NotFoundError):
        return None
