"""Copy: snapshots from one repository into another; blobs are unchanged, so only snapshot IDs change.

First, the trees of all snapshots are walked once. Each blob that the target lacks then belongs to the first snapshot
that uses it, and each source pack to the first snapshot that needs one of its blobs. So every pack is read once, in
ranges, and memory holds a few numbers for each blob of the source. Packs are stored first, then their index, then the
snapshots: a kill leaves blobs that the next run finds.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrestic.backend.base import find_cold
from pyrestic.errors import MissingBlobError
from pyrestic.ids import ID, short
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.resave import Resaver
from pyrestic.operations.used_blobs import find_first_use
from pyrestic.report import Progress, Reporter
from pyrestic.repository.blob_table import BlobTable
from pyrestic.repository.cold_packs import warm_up_packs
from pyrestic.repository.loader import ENGINE_BLOBS, PackRange, split_ranges
from pyrestic.repository.new_snapshot import save_snapshot
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot, read_snapshots
from pyrestic.units import format_bytes

_BATCH_PACKS: Final = 100
_BATCH_SECONDS: Final = 60.0
_SHOWN_BLOBS: Final = 10


@dataclass(slots=True)
class CopyResult:
    """The result: source and new ID of each copied snapshot, and of each one that existed in the target."""

    saved: list[tuple[ID, ID]] = field(default_factory=list)
    skipped: list[tuple[ID, ID]] = field(default_factory=list)
    blobs: int = 0
    bytes: int = 0
    """Stored bytes of the blobs in the source."""
    unreadable: int = 0
    """Number of unreadable snapshots of the target, of which a copy may exist there."""


class Copy:
    """A copy from one repository into another; both have their index loaded."""

    def __init__(
        self,
        source: Repository,
        target: Repository,
        report: Reporter,
        ensure_locked: Callable[[], None],
    ) -> None:
        """`ensure_locked` raises if a lock was lost; it is called before snapshots are saved."""
        self._source = source
        self._target = target
        self._report = report
        self._ensure_locked = ensure_locked
        self.result = CopyResult()

    def run(self, wanted: Iterable[StoredSnapshot]) -> CopyResult:
        """Copy the wanted snapshots except those that the target has; its unreadable ones go to `report.error`.

        Raises PyresticError; everything stored until then is in the target's index.
        """
        existing = read_snapshots(self._target)
        for identifier, error in existing.unreadable:
            self._report.error(f"snapshot {short(identifier)}", error)
        self.result.unreadable = len(existing.unreadable)
        chosen = self._choose(wanted, existing.found)
        if not chosen:
            return self.result
        work = _plan(self._source, self._target, chosen, self._report)
        try:
            self._copy(chosen, work)
        except BaseException:
            self._target.saver.abort()
            raise
        return self.result

    def _choose(self, wanted: Iterable[StoredSnapshot], existing: Iterable[StoredSnapshot]) -> list[StoredSnapshot]:
        copies: dict[str, list[StoredSnapshot]] = {}
        for stored in existing:
            for name in filter(None, {stored.id.hex(), stored.snapshot.original}):
                copies.setdefault(name, []).append(stored)
        chosen = []
        for stored in wanted:
            name = stored.snapshot.original or stored.id.hex()
            same = next((copy for copy in copies.get(name, ()) if _similar(copy, stored)), None)
            if same is None:
                chosen.append(stored)
                continue
            self.result.skipped.append((stored.id, same.id))
            self._report.note("", 2)
            self._report.note(describe_snapshot(stored), 2)
            self._report.note(
                f"skipping source snapshot {short(stored.id)}, was already copied to snapshot {short(same.id)}", 2
            )
        return chosen

    def _copy(self, chosen: list[StoredSnapshot], work: "_Work") -> None:
        if find_cold(self._source.backend) is not None:
            warm_up_packs(self._source, work.packs(), self._report)
        batch: list[StoredSnapshot] = []
        size, started = 0, time.monotonic()
        limit = self._target.options.pack_length * _BATCH_PACKS
        for number, stored in enumerate(chosen):
            batch.append(stored)
            self._report.note("")
            self._report.note(describe_snapshot(stored))
            self._report.note("  copy started, this may take a while...")
            size += self._copy_blobs(number, work)
            if size >= limit and time.monotonic() - started >= _BATCH_SECONDS:
                self._save(batch)
                batch, size, started = [], 0, time.monotonic()
        if batch:
            self._save(batch)

    def _copy_blobs(self, number: int, work: "_Work") -> int:
        blobs, size, packs = work.count(number)
        self._report.note(
            f"  copy {blobs} blobs with disk size {format_bytes(size)} in {packs} packfiles",
            2,
        )
        self.result.blobs += blobs
        self.result.bytes += size
        rows = work.rows_of(number)
        progress = Progress("packs copied", "packs", work.pack_count(rows))
        resaver = Resaver(self._target.saver, "copied", many=len(rows) >= ENGINE_BLOBS)
        with self._report.show(progress):
            for _ in self._source.loader.load_many(work.ranges(rows, progress), resaver.save):
                pass
            progress.done = progress.total or 0
        return size

    def _save(self, batch: list[StoredSnapshot]) -> None:
        self._target.flush()
        if len(batch) > 1:
            self._report.note("")
        self._ensure_locked()
        for stored in batch:
            old = stored.snapshot
            new = msgspec.structs.replace(old, parent=None, original=old.original or stored.id.hex())
            identifier = save_snapshot(self._target, new)
            self.result.saved.append((stored.id, identifier))
            self._report.note(f"snapshot {short(identifier)} saved, copied from source snapshot {short(stored.id)}")


@dataclass(slots=True)
class _Work:
    """The rows of the source's blobs that are read for each snapshot."""

    table: BlobTable
    first: NDArray[np.int32]
    """For each chosen row the first snapshot that uses its blob."""
    rows: NDArray[np.int64]
    """The chosen rows, ordered by the snapshot that they are read for, then by pack and offset."""
    starts: NDArray[np.int64]
    """Where the rows of each snapshot start, and where the last ones end."""

    def rows_of(self, number: int) -> NDArray[np.int64]:
        return self.rows[self.starts[number] : self.starts[number + 1]]

    def packs(self) -> list[ID]:
        """Return the packs that are read for all snapshots."""
        return [self.table.packs[number] for number in np.unique(self.table.pack[self.rows]).tolist()]

    def pack_count(self, rows: NDArray[np.int64]) -> int:
        return len(np.unique(self.table.pack[rows]))

    def count(self, number: int) -> tuple[int, int, int]:
        """Return the number of blobs, bytes and packs that a snapshot needs and no earlier one does."""
        rows = self.rows[self.first == number]
        return len(rows), int(self.table.length[rows].sum()), self.pack_count(rows)

    def ranges(self, rows: NDArray[np.int64], progress: Progress) -> Iterator[PackRange]:
        """Iterate the requests for some rows, pack by pack."""
        packs = self.table.pack[rows].tolist()
        start = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or packs[end] != packs[start]:
                yield from split_ranges([self.table.place(row) for row in rows[start:end]])
                start = end
                progress.done += 1


def _plan(source: Repository, target: Repository, chosen: list[StoredSnapshot], report: Reporter) -> _Work:
    table = BlobTable(source.index)
    roots = [stored.snapshot.tree_id for stored in chosen]
    first_use, missing = find_first_use(source, table, roots, report)
    if missing:
        shown = " ".join(str(handle) for handle in sorted(missing)[:_SHOWN_BLOBS])
        raise MissingBlobError(
            f"{len(missing)} blobs of the snapshots are not in the index of the source: {shown}",
            hint="Nothing was copied. `repair index` recovers blobs that are missing only from the index; `repair"
            " snapshots` drops files whose data is lost.",
        )
    for blob in np.flatnonzero(first_use >= 0).tolist():
        if target.index.has(table.handle(blob)):
            first_use[blob] = -1
    needed = np.flatnonzero(first_use[table.blob] >= 0)
    _, places = np.unique(table.blob[needed], return_index=True)
    rows = needed[np.sort(places)]
    first = first_use[table.blob[rows]]
    reader = np.full(len(table.packs), len(chosen), np.int32)
    np.minimum.at(reader, table.pack[rows], first)
    order = np.argsort(reader[table.pack[rows]], kind="stable")
    rows = rows[order]
    starts = np.searchsorted(reader[table.pack[rows]], np.arange(len(chosen) + 1))
    return _Work(table, first[order], rows, starts)


def _similar(one: StoredSnapshot, other: StoredSnapshot) -> bool:
    """Tell whether two snapshots differ at most in their IDs, their parents and their origins."""
    a, b = one.snapshot, other.snapshot
    return (
        (a.time_ns, a.tree, a.hostname, a.username, a.uid, a.gid, a.excludes)
        == (b.time_ns, b.tree, b.hostname, b.username, b.uid, b.gid, b.excludes)
        and (len(a.paths), len(a.tags)) == (len(b.paths), len(b.tags))
        and set(b.paths) <= set(a.paths)
        and set(b.tags) <= set(a.tags)
    )
