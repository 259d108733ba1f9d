"""Prune: removes unused data. First a plan, then its execution in an order that survives a kill at any time.

New packs are stored before their index, the new index before the old one is removed, and packs that are no longer
indexed are removed last. The next prune cleans up after a killed one: duplicate blobs, packs without an index, and
index files for packs that are in other index files.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from pyrestic.errors import DamageError, MissingBlobError, PyresticError
from pyrestic.handle import BlobHandle, FileType
from pyrestic.ids import ID
from pyrestic.operations.prune_options import PruneOptions, check_options
from pyrestic.operations.prune_plan import PrunePlan, make_plan
from pyrestic.operations.removal import remove_files
from pyrestic.operations.resave import Resaver
from pyrestic.operations.rewrite_index import packs_named_twice, rewrite_index, save_index
from pyrestic.operations.used_blobs import find_used_blobs
from pyrestic.report import Progress, Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.blob_table import BlobTable
from pyrestic.repository.cold_packs import warm_up_packs
from pyrestic.repository.index_copy import ReadIndex
from pyrestic.repository.loader import ENGINE_BLOBS, PackRange, split_ranges
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import DAMAGED_SNAPSHOT_HINT, load_snapshot

_SHOWN_BLOBS = 10


@dataclass(slots=True)
class Prune:
    """A plan and the data for its execution."""

    plan: PrunePlan
    _repository: Repository
    _table: BlobTable
    _options: PruneOptions
    _basis: frozenset[ID]
    """The snapshots and index files from which the plan was made."""

    def resume(self, repository: Repository) -> "Prune":
        """Return the same prune for the same repository under another lock, with no index loaded yet.

        Raises PyresticError if its snapshots or its index have changed since the plan was made; what is in them is
        what their IDs say, and packs are neither used nor given up without a change of these.
        """
        if _list_basis(repository) != self._basis:
            raise PyresticError(
                "the repository has changed since the prune was planned: nothing was removed", hint="Make a new plan."
            )
        repository.index = self._repository.index
        repository.index_files = list(self._repository.index_files)
        return dataclasses.replace(self, _repository=repository)

    def execute(self, report: Reporter, ensure_locked: Callable[[], None]) -> list[ID]:
        """Execute the plan once, and return the packs that could not be removed, which only waste space.

        `ensure_locked` raises if the lock was lost; it is called before removals.
        """
        repository, plan = self._repository, self.plan
        kept: list[ID] = []
        if plan.remove_first:
            report.note("deleting unreferenced packs")
            ensure_locked()
            kept += remove_files(repository, FileType.PACK, plan.remove_first, report)
        if plan.repack:
            self._repack(report)
        gone = {*plan.remove, *plan.repack, *plan.missing}
        if self._options.recover_space:
            report.note("deleting index files")
            ensure_locked()
            remove_files(
                repository, FileType.INDEX, [file.id for file in repository.index_files], report, stop_at_errors=True
            )
        elif gone or packs_named_twice(repository.index_files):
            rewrite_index(repository, gone, report, ensure_locked)
        old = {*plan.remove, *plan.repack}
        if old:
            report.note(f"removing {len(old)} old packs")
            ensure_locked()
            kept += remove_files(repository, FileType.PACK, old, report)
        if self._options.recover_space:
            save_index(repository, repository.index.packs() - gone)
        report.note("done")
        return kept

    def _repack(self, report: Reporter) -> None:
        warm_up_packs(self._repository, self.plan.repack, report)
        report.note("repacking packs")
        progress = Progress("packs repacked", "packs", len(self.plan.repack))
        count = len(self.plan.keep_rows)
        resaver = Resaver(self._repository.saver, "repacked", duplicate=True, many=count >= ENGINE_BLOBS)
        with report.show(progress):
            try:
                saved = sum(self._repository.loader.load_many(self._ranges(progress), resaver.save))
                self._repository.flush()
            except BaseException:
                # Index everything stored, so that the next prune need not repeat it.
                self._repository.saver.abort()
                raise
            progress.done = len(self.plan.repack)
        if saved != count:
            raise PyresticError(f"{count - saved} blobs were not repacked; no pack was removed")

    def _ranges(self, progress: Progress) -> Iterator[PackRange]:
        """Iterate the requests for the blobs to keep, pack by pack."""
        rows = self.plan.keep_rows
        packs = self._table.pack[rows].tolist()
        start = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or packs[end] != packs[start]:
                yield from split_ranges([self._table.place(row) for row in rows[start:end]])
                start = end
                progress.done += 1


def plan_prune(
    repository: Repository,
    options: PruneOptions,
    report: Reporter,
    *,
    without: Collection[ID] = (),
    read: ReadIndex | None = None,
) -> Prune:
    """Return a prune of a repository whose index is not loaded yet; snapshots `without` count as removed.

    `read` are its index files, if they were read under the lock of the prune.

    Raises UsageError for options that do not suit, MissingBlobError or DamageError if something that is in use cannot
    be found or read: then nothing must be removed.
    """
    check_options(
        options,
        repository_id=repository.config.id,
        version=repository.config.version,
        connections=repository.backend.connections,
        pack_length=repository.options.pack_length,
    )
    # From the index files themselves: this decides on what is removed.
    repository.use_index(repository.read_index(report, anew=True) if read is None else read)
    report.note("loading all snapshots...")
    snapshots = set(repository.list_ids(FileType.SNAPSHOT))
    roots = _load_roots(repository, snapshots - set(without))
    report.note(f"finding data that is still in use for {len(roots)} snapshots")
    table = BlobTable(repository.index)
    try:
        used, missing = find_used_blobs(repository, table, roots, report)
    except PyresticError as error:
        raise type(error)(f"failed finding blobs: {error}", hint=error.hint) from error
    report.note("searching used packs...")
    if missing:
        raise _refusal(missing, report)
    report.note("collecting packs for deletion and repacking")
    stored = repository.list_files(FileType.PACK)
    plan = make_plan(table, used, stored, options, version=repository.config.version, report=report)
    index_files = {file.id for file in repository.index_files}
    return Prune(plan, repository, table, options, frozenset(snapshots | index_files))


def _list_basis(repository: Repository) -> frozenset[ID]:
    """Return the IDs of the existing snapshots and index files."""
    return frozenset(repository.list_ids(FileType.SNAPSHOT)) | frozenset(repository.list_ids(FileType.INDEX))


def _load_roots(repository: Repository, snapshots: Collection[ID]) -> list[ID]:
    """Return the root trees of snapshots, raise the error of the first unreadable one."""
    identifiers = sorted(snapshots)
    loaded = map_files(lambda one: load_snapshot(repository, one), identifiers, repository.backend.connections)
    try:
        return [snapshot.tree_id for snapshot in loaded]
    except DamageError as error:
        raise DamageError(f"failed loading snapshot: {error}", hint=error.hint or DAMAGED_SNAPSHOT_HINT) from error
    except PyresticError as error:
        raise type(error)(f"failed loading snapshot: {error}", hint=error.hint) from error


def _refusal(missing: set[BlobHandle], report: Reporter) -> MissingBlobError:
    shown = " ".join(str(handle) for handle in sorted(missing)[:_SHOWN_BLOBS])
    more = f" ({len(missing) - _SHOWN_BLOBS} more)" if len(missing) > _SHOWN_BLOBS else ""
    for line in (
        f"{{{shown}{more}}} not found in the index",
        "",
        "Integrity check failed: Data seems to be missing.",
        "Will not start prune to prevent (additional) data loss!",
    ):
        report.note(line, 0)
    return MissingBlobError(
        "index is not complete",
        hint="Run check to see what is affected; repair index recovers blobs that are missing only from the index.",
    )
