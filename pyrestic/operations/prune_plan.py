"""The plan of a prune as a value: the packs to remove, to repack and to keep, by restic's rules.

Packs without used blobs are removed. Of the others, those with the most waste are repacked, packs of trees and short
packs first, until the remaining unused bytes are within the limit. For a blob in several packs, one copy counts as
used: preferably one in a pack that is needed anyway, or that contains only such blobs, as the packs of an interrupted
prune do.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pyrestic.backend.base import FileInfo
from pyrestic.errors import DamageError, PyresticError
from pyrestic.ids import ID, parse_id, short
from pyrestic.operations.prune_options import PruneOptions
from pyrestic.report import Progress, Reporter
from pyrestic.repository.blob_table import HEADER_OVERHEAD, BlobTable
from pyrestic.repository.repository import MIN_PACK_LENGTH

_FEW_SMALL_PACKS: Final = 10


@dataclass(slots=True)
class BlobCounts:
    """Numbers of blobs."""

    used: int = 0
    duplicate: int = 0
    unused: int = 0
    remove: int = 0
    repack: int = 0
    repackrm: int = 0
    """Blobs that are dropped while repacking."""


@dataclass(slots=True)
class SizeCounts:
    """Stored bytes."""

    used: int = 0
    duplicate: int = 0
    unused: int = 0
    remove: int = 0
    repack: int = 0
    repackrm: int = 0
    unref: int = 0
    """Bytes of packs that are missing from the index."""
    uncompressed: int = 0


@dataclass(slots=True)
class PackCounts:
    """Numbers of packs."""

    used: int = 0
    unused: int = 0
    partly_used: int = 0
    unref: int = 0
    keep: int = 0
    repack: int = 0
    remove: int = 0


@dataclass(slots=True)
class PruneStats:
    """The numbers of a plan."""

    blobs: BlobCounts = field(default_factory=BlobCounts)
    size: SizeCounts = field(default_factory=SizeCounts)
    packs: PackCounts = field(default_factory=PackCounts)

    def fields(self) -> dict[str, Any]:
        """Return all numbers for JSON."""
        return asdict(self)


@dataclass(slots=True)
class PrunePlan:
    """The steps to execute, in this order."""

    stats: PruneStats
    remove_first: list[ID] = field(default_factory=list)
    """Packs that are missing from the index."""
    repack: list[ID] = field(default_factory=list)
    keep_rows: list[int] = field(default_factory=list)
    """Rows of the table with the blobs to store again, ordered by pack and offset."""
    remove: list[ID] = field(default_factory=list)
    """Packs without any used blob."""
    missing: list[ID] = field(default_factory=list)
    """Missing packs that are not needed."""


class _Packs:
    """The state of each pack in the table, in columns."""

    def __init__(self, table: BlobTable, used: NDArray[np.bool_], stats: PruneStats) -> None:
        self.table = table
        count = len(table.packs)
        copies = np.bincount(table.blob, minlength=table.blob_count)
        row_used = used[table.blob]
        doubled = row_used & (copies[table.blob] >= 2)
        single = row_used & ~doubled
        self.used_blobs = np.bincount(table.pack[single], minlength=count)
        self.unused_blobs = np.bincount(table.pack[~single], minlength=count)
        self.duplicate_blobs = np.bincount(table.pack[doubled], minlength=count)
        header = HEADER_OVERHEAD + _sums(table.pack, table.entry_length(), count)
        self.used_size = header + _sums(table.pack[single], table.length[single], count)
        self.unused_size = _sums(table.pack[~single], table.length[~single], count)
        trees = np.bincount(table.pack[table.is_tree()], minlength=count)
        blobs = np.bincount(table.pack, minlength=count)
        self.data_only = trees == 0
        self.mixed = (trees > 0) & (trees < blobs)
        self.uncompressed = np.bincount(table.pack[table.plain_length == 0], minlength=count) > 0
        for name, rows in (("used", single), ("duplicate", doubled), ("unused", ~row_used)):
            setattr(stats.blobs, name, int(rows.sum()))
            setattr(stats.size, name, int(table.length[rows].sum()))
        self._choose(np.flatnonzero(doubled).tolist(), copies, stats)

    def _choose(self, rows: list[int], copies: NDArray[np.int64], stats: PruneStats) -> None:
        """Count one copy of each blob with several locations as used."""
        table = self.table
        left = {int(blob): int(copies[blob]) for blob in table.blob[rows]}
        for row in rows:
            blob, pack, length = int(table.blob[row]), int(table.pack[row]), int(table.length[row])
            if left[blob] == 0:
                continue
            left[blob] -= 1
            needed = self.used_blobs[pack] > 0 or self.duplicate_blobs[pack] == self.unused_blobs[pack]
            if not needed and left[blob] > 0:
                continue
            left[blob] = 0
            self.used_size[pack] += length
            self.used_blobs[pack] += 1
            self.unused_size[pack] -= length
            self.unused_blobs[pack] -= 1
            stats.size.used += length
            stats.blobs.used += 1
            stats.size.duplicate -= length
            stats.blobs.duplicate -= 1

    def total(self, pack: int) -> int:
        """Return the expected length of a pack."""
        return int(self.used_size[pack] + self.unused_size[pack])


def make_plan(
    table: BlobTable,
    used: NDArray[np.bool_],
    stored: Iterable[FileInfo],
    options: PruneOptions,
    *,
    version: int,
    report: Reporter,
) -> PrunePlan:
    """Return the plan, given the used blobs and the stored packs.

    Raises DamageError if a needed pack is missing or its length differs from the index.
    """
    plan = PrunePlan(PruneStats())
    packs = _Packs(table, used, plan.stats)
    _Decision(packs, plan, options, version, report).decide(stored)
    if plan.repack:
        plan.keep_rows = _rows_to_keep(table, used, plan)
    return plan


class _Decision:
    def __init__(self, packs: _Packs, plan: PrunePlan, options: PruneOptions, version: int, report: Reporter) -> None:
        self._packs = packs
        self._plan = plan
        self._stats = plan.stats
        self._options = options
        self._version = version
        self._report = report
        self._target = self._target_length()
        self._candidates: list[int] = []
        self._small: list[int] = []

    def _target_length(self) -> int:
        """Return the length below which a pack is small: four fifths of what all but 3% of the packs reach."""
        if self._options.small_pack:
            return self._options.small_pack
        totals = np.sort(self._packs.used_size + self._packs.unused_size)
        return max(MIN_PACK_LENGTH, int(totals[len(totals) * 3 // 100])) * 4 // 5 if len(totals) else 0

    def decide(self, stored: Iterable[FileInfo]) -> None:
        """Creates the plan."""
        numbers = self._packs.table.pack_numbers
        there = np.zeros(len(numbers), np.bool_)
        progress = Progress("packs processed", "packs", len(numbers))
        with self._report.show(progress):
            for info in stored:
                identifier = parse_id(info.name)
                pack = numbers.get(identifier)
                if pack is None:
                    self._report.note(f"will remove pack {short(identifier)} as it is unused and not indexed", 2)
                    self._plan.remove_first.append(identifier)
                    self._stats.size.unref += info.length
                elif not there[pack]:
                    there[pack] = True
                    self._look_at(pack, info.length)
                    progress.done += 1
        self._take_missing(np.flatnonzero(~there).tolist())
        self._select()
        stats = self._stats
        stats.packs.unref = len(self._plan.remove_first)
        stats.packs.repack = len(self._plan.repack)
        stats.packs.remove = len(self._plan.remove)
        if self._version < 2:
            stats.size.uncompressed = 0

    def _look_at(self, pack: int, length: int) -> None:
        packs, stats = self._packs, self._stats
        total = packs.total(pack)
        is_used, is_whole = packs.used_blobs[pack] > 0, packs.unused_blobs[pack] == 0
        identifier = packs.table.packs[pack]
        if is_used and total != length:
            self._report.note(f"pack {short(identifier)}: calculated size {total} does not match real size {length}", 0)
            raise DamageError(
                "pack size does not match calculated size from index", hint="Run repair index, then check."
            )
        kind = "unused" if not is_used else "used" if is_whole else "partly_used"
        setattr(stats.packs, kind, getattr(stats.packs, kind) + 1)
        if packs.uncompressed[pack]:
            stats.size.uncompressed += total
        if not is_used:
            self._plan.remove.append(identifier)
            self._count_removed(pack)
        elif self._options.cacheable_only and packs.data_only[pack]:
            stats.packs.keep += 1
        elif not is_whole or packs.mixed[pack] or self._must_compress(pack):
            self._candidates.append(pack)
        elif length >= self._target:
            stats.packs.keep += 1
        else:
            self._small.append(pack)

    def _count_removed(self, pack: int) -> None:
        self._stats.blobs.remove += int(self._packs.unused_blobs[pack])
        self._stats.size.remove += int(self._packs.unused_size[pack])

    def _must_compress(self, pack: int) -> bool:
        packs = self._packs
        only_trees = not packs.data_only[pack] and not packs.mixed[pack]
        wanted = only_trees or self._options.uncompressed
        return self._version >= 2 and bool(wanted and packs.uncompressed[pack])

    def _take_missing(self, absent: list[int]) -> None:
        packs, note = self._packs, self._report.note
        needed = [packs.table.packs[pack].hex() for pack in absent if packs.used_blobs[pack] > 0]
        if needed:
            note(f"The index references {len(needed)} needed pack files which are missing from the repository:", 0)
            for name in sorted(needed):
                note(f"  {name}", 0)
            raise DamageError(
                "packs from index missing in repo", hint="Run check to see what is affected; repair index forgets them."
            )
        if absent:
            note("Missing but unneeded pack files are referenced in the index, will be repaired", 0)
        for pack in absent:
            self._plan.missing.append(packs.table.packs[pack])
            self._count_removed(pack)
            note(f"will forget missing pack file {packs.table.packs[pack].hex()}", 0)

    def _select(self) -> None:
        """Choose among the candidates, most waste first."""
        packs, stats, options = self._packs, self._stats, self._options
        if len(self._small) < _FEW_SMALL_PACKS:
            # So that a single small pack is not rewritten again and again.
            stats.packs.keep += len(self._small)
            self._small = []
        limit = options.max_unused.bytes_beside(stats.size.used)
        for pack in sorted(self._candidates + self._small, key=self._order):
            total = packs.total(pack)
            unused_left = stats.size.duplicate + stats.size.unused - stats.size.remove - stats.size.repackrm
            wanted = not packs.data_only[pack] or self._must_compress(pack)
            wanted = wanted or unused_left >= limit or total < self._target
            if not wanted or stats.size.repack + total >= options.max_repack:
                stats.packs.keep += 1
                continue
            self._plan.repack.append(packs.table.packs[pack])
            stats.blobs.repack += int(packs.used_blobs[pack] + packs.unused_blobs[pack])
            stats.size.repack += total
            stats.blobs.repackrm += int(packs.unused_blobs[pack])
            stats.size.repackrm += int(packs.unused_size[pack])
            if packs.uncompressed[pack]:
                stats.size.uncompressed -= total

    def _order(self, pack: int) -> tuple[bool, bool, float, ID]:
        packs = self._packs
        waste = float(packs.unused_size[pack] / packs.used_size[pack])
        return bool(packs.data_only[pack]), packs.total(pack) >= self._target, -waste, packs.table.packs[pack]


def _rows_to_keep(table: BlobTable, used: NDArray[np.bool_], plan: PrunePlan) -> list[int]:
    """Return the locations of all blobs that exist only in packs to be repacked."""
    going = np.zeros(len(table.packs), np.bool_)
    repacked = np.zeros(len(table.packs), np.bool_)
    repacked[[table.pack_numbers[pack] for pack in plan.repack]] = True
    # Missing packs contain nothing, whatever the index says.
    gone = [table.pack_numbers[pack] for pack in plan.remove + plan.missing]
    going[gone] = True
    going |= repacked
    stays = np.zeros(table.blob_count, np.bool_)
    stays[table.blob[~going[table.pack]]] = True
    candidates = np.flatnonzero(repacked[table.pack] & used[table.blob] & ~stays[table.blob])
    blobs, first = np.unique(table.blob[candidates], return_index=True)
    stays[blobs] = True
    if not stays[used].all():
        raise PyresticError("the plan would lose blobs that are in use; nothing was changed")
    rows: list[int] = np.sort(candidates[first]).tolist()
    return rows


def _sums(packs: NDArray[np.int64], lengths: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the total length for each pack; floats are exact up to 2^53."""
    return np.bincount(packs, weights=lengths, minlength=count).astype(np.int64)
