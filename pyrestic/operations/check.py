"""Check: does everything in index and snapshots exist, and are the bytes intact?

Each finding goes to a callback. Errors are faults that lose or hide data; hints are things that prune or repair index
would clean up (restic's documentation, "Checking integrity and consistency").
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from pyrestic.errors import BackendError, DamageError, NotFoundError, PyresticError
from pyrestic.format.pack import HeaderEntry
from pyrestic.handle import BlobHandle, FileType
from pyrestic.ids import ID, parse_id, short
from pyrestic.operations.check_pack import check_pack, expected_total, fetch_pack
from pyrestic.operations.check_trees import check_trees
from pyrestic.report import Progress, Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.cold_packs import warm_up_packs
from pyrestic.repository.keys import find_damaged_keys
from pyrestic.repository.loader import SMALL_BLOB
from pyrestic.repository.lock_files import list_lock_ids
from pyrestic.repository.repository import Repository

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.format.index_file import Columns


ReadFiles: TypeAlias = "list[tuple[ID, Columns | PyresticError]]"
"""Index files, each with its content or its error."""

_MANY_BLOBS = 2000
_MANY_BYTES = 64 << 20
"""Number of blobs or bytes for which an engine is worth its compilation."""


class FindingKind(Enum):
    """The severity of a finding."""

    ERROR = "error"
    INDEX_ERROR = "index error"
    DUPLICATE_PACK = "duplicate pack"
    MIXED_PACK = "mixed pack"
    ORPHANED_PACK = "orphaned pack"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding; `count` errors in one message, which `details` continue line by line."""

    kind: FindingKind
    message: str
    count: int = 1
    details: tuple[str, ...] = ()


@dataclass(slots=True)
class CheckResult:
    """The totals of a check."""

    error_count: int = 0
    broken_packs: list[ID] = field(default_factory=list)
    verified_packs: list[ID] = field(default_factory=list)
    """Packs that were read completely and are intact."""
    suggest_repair_index: bool = False
    suggest_prune: bool = False


@dataclass(frozen=True, slots=True)
class PackChoice:
    """The packs to read: all, group `bucket` of `buckets`, a percentage, or a number of bytes."""

    bucket: int = 0
    buckets: int = 0
    percent: float | None = None
    limit_bytes: int | None = None

    def choose(self, packs: dict[ID, int]) -> dict[ID, int]:
        """Return the chosen packs with their lengths; percentages and sizes are drawn at random."""
        if self.buckets:
            return {pack: length for pack, length in packs.items() if pack[0] % self.buckets == self.bucket - 1}
        if self.limit_bytes is None and (self.percent is None or self.percent >= 100):
            return packs
        count = int(len(packs) * (self.percent or 0) / 100)
        if self.limit_bytes is not None:
            total = sum(packs.values())
            count = int(len(packs) * min(1.0, self.limit_bytes / total)) if total else 0
        chosen = random.sample(sorted(packs), min(len(packs), max(1, count)))
        return {pack: packs[pack] for pack in chosen}


def read_index_files(repository: Repository, report: Reporter) -> ReadFiles:
    """Return the content of all index files, or their errors; raise BackendError if they cannot be listed."""
    files = sorted(repository.list_ids(FileType.INDEX))
    progress = Progress("index files loaded", "files", len(files), only_on_terminal=True)

    def load(identifier: ID) -> "Columns | PyresticError":
        try:
            return repository.load_index_file(identifier)
        except PyresticError as error:
            return error
        finally:
            progress.done += 1

    with report.show(progress):
        return list(zip(files, map_files(load, files, repository.backend.connections), strict=True))


class Check:
    """The steps of a check, called in this order; `result` has the totals."""

    def __init__(self, repository: Repository, report: Reporter, found: Callable[[Finding], None]) -> None:
        self.result = CheckResult()
        self._repository = repository
        self._report = report
        self._pass_on = found
        self.kinds: Counter[FindingKind] = Counter()
        """Number of findings of each kind."""
        self._packs: dict[ID, int] = {}
        self._used: set[BlobHandle] | None = None

    def small_files(self, *, locks: bool) -> None:
        """Verify the hashes of key files, as listed when the repository was opened, and of lock files.

        Under a lock, verifying lock files is unnecessary: taking a lock reads all others. Files of other types are
        verified when they are used.
        """
        repository = self._repository
        faults = find_damaged_keys(repository.backend, repository.listed_keys)
        for identifier in list(list_lock_ids(repository)) if locks else []:
            try:
                repository.load_unpacked(FileType.LOCK, identifier)
            except NotFoundError:
                continue
            except PyresticError as error:
                faults.append(error)
        for fault in faults:
            self._error(f"error: {fault}")

    def use_index(self, read: ReadFiles) -> bool:
        """Use the result of `read_index_files`, which is emptied, and report packs in several index files.

        False if one could not be read.
        """
        loaded: list[Columns] = []
        places: dict[ID, list[tuple[ID, Columns, int]]] = {}
        whole = True
        for identifier, columns in read:
            if isinstance(columns, PyresticError):
                whole = False
                self._error(f"error: {columns}", FindingKind.INDEX_ERROR)
                continue
            loaded.append(columns)
            for number, pack in enumerate(columns.packs):
                places.setdefault(pack, []).append((identifier, columns, number))
        read.clear()
        self._repository.index.add_columns(loaded)
        self._tell_about_packs(places)
        self.result.suggest_repair_index |= not whole
        return whole

    def _tell_about_packs(self, places: "dict[ID, list[tuple[ID, Columns, int]]]") -> None:
        for pack, found in places.items():
            if len(found) > 1:
                names = ", ".join(short(identifier) for identifier, _, _ in found)
                if len({_content(columns, number) for _, columns, number in found}) > 1:
                    self.result.broken_packs.append(pack)
                    self._error(f"pack {pack.hex()} has only partial contents in some indexes: {names}")
                else:
                    self.result.suggest_repair_index = True
                    message = f"pack {pack.hex()} contained in several indexes: {names}"
                    self._found(Finding(FindingKind.DUPLICATE_PACK, message))

    def packs(self) -> None:
        """Compare the packs in the index with the stored ones."""
        stored = {parse_id(info.name): info.length for info in self._repository.list_files(FileType.PACK)}
        for pack, totals in self._repository.index.totals_by_pack():
            self._packs[pack] = length = expected_total(totals)
            if 0 < totals.trees < totals.blobs:
                self.result.suggest_prune = True
                self._found(Finding(FindingKind.MIXED_PACK, f"pack {pack.hex()} contains a mix of tree and data blobs"))
            actual = stored.pop(pack, None)
            if actual is None:
                self._error(f"pack {pack.hex()}: does not exist")
            elif actual != length:
                self.result.broken_packs.append(pack)
                self._error(f"pack {pack.hex()}: unexpected file size: got {actual}, expected {length}")
        for pack in stored:
            self.result.suggest_prune = True
            self._found(Finding(FindingKind.ORPHANED_PACK, f"pack {pack.hex()}: not referenced in any index"))

    def structure(self, roots: Iterable[ID], *, track: bool) -> None:
        """Visit all trees below the roots; `track` records the used blobs."""
        roots = list(roots)
        progress = Progress("snapshots", "snapshots", len(roots))
        self._used = set() if track else None

        def fault(tree: ID, faults: list[str]) -> None:
            details = tuple(f"  tree {tree.hex()}: {text}" for text in faults)
            self._error(f"error for tree {short(tree)}:", count=len(faults), details=details)

        def root_done() -> None:
            progress.done += 1

        with self._report.show(progress):
            check_trees(self._repository, roots, fault, root_done, self._used)

    def all_packs(self) -> dict[ID, int]:
        """Return the packs in the index, with their lengths; call `packs` first."""
        return self._packs

    def data_packs(self) -> dict[ID, int]:
        """Return the readable packs, with their lengths; with tracking only those with used blobs."""
        packs = self._packs
        if self._used is not None:
            index = self._repository.index
            wanted = {place.pack for handle in self._used for place in index.find_all(handle)}
            packs = {pack: length for pack, length in packs.items() if pack in wanted}
        return packs

    def read(self, packs: dict[ID, int]) -> None:
        """Read packs completely and verify every byte."""
        warm_up_packs(self._repository, packs, self._report)
        # These import numpy, which is imported while a lock waits.
        from pyrestic.operations.check_columns import is_whole
        from pyrestic.repository.index_columns import entries_of

        progress = Progress("packs", "packs", len(packs))
        repository = self._repository
        codec = repository.codec
        are_many = len(repository.index) >= _MANY_BLOBS or sum(packs.values()) >= _MANY_BYTES
        engine = codec.engine if are_many else None
        # For long blobs, only the hash takes time.
        takes_all = engine is not None and engine.hashes_pairs
        workers = ahead = max(2, repository.backend.connections)
        if repository.near is not None:
            # Nothing is fetched before its turn, so one more may wait for that.
            ahead = workers + 1
        running: deque[tuple[ID, Columns, Future[bytes | DamageError] | Future[None]]] = deque()

        def work(pack: ID, blobs: "Columns", *, at_once: bool) -> None:
            if at_once and codec.engine is not None and is_whole(repository, codec.engine, pack, blobs, packs[pack]):
                self.result.verified_packs.append(pack)
            else:
                self._read_pack(pack, entries_of(blobs), None)
            progress.done += 1

        def finish() -> None:
            pack, blobs, future = running.popleft()
            try:
                fetched = future.result()
            except BackendError:
                self._read_pack(pack, entries_of(blobs), None)
                fetched = None
            if fetched is not None:
                self._read_pack(pack, entries_of(blobs), fetched)
                progress.done += 1

        with self._report.show(progress), ThreadPoolExecutor(workers, "check") as pool:
            for pack, blobs in repository.index.columns_by_pack(packs):
                if len(running) == ahead:
                    finish()
                is_small = packs[pack] < SMALL_BLOB * len(blobs.ids)
                if is_small and engine is None and repository.near is None:
                    # Remote packs of small blobs are prefetched, and verified here: see Loader.load_many.
                    running.append((pack, blobs, pool.submit(fetch_pack, repository, pack, entries_of(blobs))))
                else:
                    at_once = takes_all or (is_small and engine is not None)
                    running.append((pack, blobs, pool.submit(work, pack, blobs, at_once=at_once)))
            while running:
                finish()

    def _read_pack(self, pack: ID, entries: list[HeaderEntry], fetched: bytes | DamageError | None) -> None:
        try:
            faults = check_pack(self._repository, pack, entries, fetched)
        except (BackendError, DamageError) as error:
            self._error(f"pack {pack.hex()}: download error: {error}")
            return
        if faults:
            self.result.broken_packs.append(pack)
            self._error(f"pack {pack.hex()} contains {len(faults)} errors: [{' '.join(faults)}]")
        else:
            self.result.verified_packs.append(pack)

    def _found(self, finding: Finding) -> None:
        self.kinds[finding.kind] += 1
        self._pass_on(finding)

    def _error(
        self, message: str, kind: FindingKind = FindingKind.ERROR, *, count: int = 1, details: tuple[str, ...] = ()
    ) -> None:
        self.result.error_count += count
        self._found(Finding(kind, message, count, details))


def _content(columns: "Columns", number: int) -> bytes:
    """Return a comparison key that is equal for equal index entries of a pack."""
    import numpy as np

    rows = np.flatnonzero(columns.pack_numbers == number)
    rows = rows[np.argsort(columns.offsets[rows], kind="stable")]
    parts = (columns.ids, columns.types, columns.offsets, columns.lengths, columns.plain_lengths)
    return b"".join(np.ascontiguousarray(part[rows]).tobytes() for part in parts)
