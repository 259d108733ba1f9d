"""Maintenance of an opened repository: prune, repairs, unlock."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pyrestic.api.access import RepositoryAccess
from pyrestic.api.arguments import checked
from pyrestic.api.inspecting import BlobKind
from pyrestic.api.proving import Size
from pyrestic.operations.prune_options import make_prune_options
from pyrestic.operations.removal import ensure_all_removed
from pyrestic.operations.repair_index import repair_index
from pyrestic.operations.repair_packs import keep_pack, parse_packs, repair_packs
from pyrestic.report import Reporter
from pyrestic.repository.lock_files import remove_all as remove_all_locks
from pyrestic.repository.lock_files import remove_stale
from pyrestic.repository.locking import LockMode

if TYPE_CHECKING:
    from pyrestic.operations import prune_plan
    from pyrestic.operations.prune import Prune


@dataclass(frozen=True, slots=True)
class PruneBlobs:
    """Numbers of blobs by state, and what happens to them."""

    used: int
    duplicate: int
    unused: int
    remove: int
    repack: int
    repackrm: int
    """Blobs that are dropped while repacking."""


@dataclass(frozen=True, slots=True)
class PruneBytes:
    """Stored bytes by state, and what happens to them."""

    used: int
    duplicate: int
    unused: int
    remove: int
    repack: int
    repackrm: int
    """Bytes that are dropped while repacking."""
    unref: int
    """Bytes of packs that are missing from the index, which are removed."""
    uncompressed: int

    @property
    def freed(self) -> int:
        """How many bytes the prune frees."""
        return self.remove + self.repackrm + self.unref


@dataclass(frozen=True, slots=True)
class PrunePacks:
    """Numbers of packs by state, and what happens to them."""

    used: int
    unused: int
    partly_used: int
    unref: int
    keep: int
    repack: int
    remove: int


@dataclass(frozen=True, slots=True)
class PruneStats:
    """The numbers of a prune, counted as restic does."""

    blobs: PruneBlobs
    size: PruneBytes
    packs: PrunePacks


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """The plan of a prune; packs are given by IDs. Nothing changes before `run`."""

    stats: PruneStats
    remove: tuple[str, ...] = field(repr=False)
    """Unused packs, and those that are missing from the index."""
    repack: tuple[str, ...] = field(repr=False)
    """Packs of which a part is stored again before they are removed."""
    _run: Callable[[Reporter | None, threading.Event | None], None] = field(repr=False, compare=False)

    @checked
    def run(self, *, report: Reporter | None = None, cancel: threading.Event | None = None) -> None:
        """Execute the plan with an exclusive lock; raise as `OpenRepository.prune` does.

        Raises PyresticError, without any change, if snapshots or index have changed since the plan was made.
        """
        self._run(report, cancel)


@dataclass(frozen=True, slots=True)
class IndexRepair:
    """The findings of an index repair, by IDs of index files and of packs."""

    invalid_index_files: tuple[str, ...]
    added: tuple[str, ...]
    """Packs that were missing from the index."""
    resized: tuple[str, ...]
    """Packs whose length differs from the index."""
    missing: tuple[str, ...]
    """Packs that no longer exist."""
    unreadable: tuple[str, ...]
    """Packs with a damaged header that were dropped from the index."""
    kept: tuple[str, ...]
    """Packs with a damaged header whose old entry was kept."""


@dataclass(frozen=True, slots=True)
class LostBlob:
    """A blob of a damaged pack that was lost."""

    kind: BlobKind
    id: str


@dataclass(frozen=True, slots=True)
class PacksRepair:
    """The result of repairing packs: if blobs are lost, call `repair_snapshots` next."""

    salvaged_blobs: int
    lost: tuple[LostBlob, ...]
    copies: tuple[str, ...]
    """The copies of the packs."""


class MaintainingVerbs(RepositoryAccess):
    """Prune, repair_index, repair_packs and unlock, for OpenRepository."""

    @checked
    def plan_prune(
        self,
        *,
        max_unused: str = "5%",
        max_repack_size: Size = "",
        repack_cacheable_only: bool = False,
        repack_uncompressed: bool = False,
        repack_smaller_than: Size = "",
        unsafe_recover_no_free_space: str = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> PrunePlan:
        """Return the plan of a prune; nothing is removed before `run`.

        Arguments are as the flags of `pyrestic prune` of that name; `unsafe_recover_no_free_space` takes the ID of the
        repository. Raises UsageError, LockedError, DamageError or
        MissingBlobError if data in use cannot be read or found, BackendError, CancelledError.
        """
        from pyrestic.operations.prune import plan_prune

        options = make_prune_options(
            max_unused=max_unused,
            max_repack_size=str(max_repack_size),
            repack_smaller_than=str(repack_smaller_than),
            cacheable_only=repack_cacheable_only,
            uncompressed=repack_uncompressed,
            recover_space=unsafe_recover_no_free_space,
        )
        with self._working(LockMode.READ_ALONE, report, cancel) as work:
            prune = plan_prune(work.repository, options, work.report)
        plan = prune.plan

        def run(report: Reporter | None, cancel: threading.Event | None) -> None:
            self._run_prune(prune, report, cancel)

        return PrunePlan(
            _describe(plan.stats),
            tuple(pack.hex() for pack in (*plan.remove_first, *plan.remove)),
            tuple(pack.hex() for pack in plan.repack),
            run,
        )

    @checked
    def prune(
        self,
        *,
        max_unused: str = "5%",
        max_repack_size: Size = "",
        repack_cacheable_only: bool = False,
        repack_uncompressed: bool = False,
        repack_smaller_than: Size = "",
        unsafe_recover_no_free_space: str = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> PruneStats:
        """Remove unused data with an exclusive lock, and return the result.

        Arguments and errors are those of `plan_prune`; BackendError is also raised if some packs could not be removed,
        which the next prune does.
        """
        from pyrestic.operations.prune import plan_prune

        options = make_prune_options(
            max_unused=max_unused,
            max_repack_size=str(max_repack_size),
            repack_smaller_than=str(repack_smaller_than),
            cacheable_only=repack_cacheable_only,
            uncompressed=repack_uncompressed,
            recover_space=unsafe_recover_no_free_space,
        )
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            prune = plan_prune(work.repository, options, work.report)
            kept = prune.execute(work.report, work.ensure_locked)
            work.ensure_locked()
        ensure_all_removed(kept)
        return _describe(prune.plan.stats)

    @checked
    def repair_index(
        self,
        *,
        read_all_packs: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> IndexRepair:
        """Rebuild the index from the packs with an exclusive lock, and return the findings.

        With `read_all_packs`, the old index is ignored. Raises LockedError, BackendError, CancelledError; missing or
        damaged packs raise nothing.
        """
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            found = repair_index(work.repository, work.report, work.ensure_locked, read_all_packs=read_all_packs)
        return IndexRepair(**{name: tuple(sorted(one.hex() for one in ids)) for name, ids in asdict(found).items()})

    @checked
    def repair_packs(
        self,
        packs: Sequence[str],
        *,
        copies: str | None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> PacksRepair:
        """Store the intact blobs of damaged packs again and remove the packs, with an exclusive lock.

        First they are copied to the folder `copies`, as `pyrestic repair packs` does to its working directory; None
        makes no copies. Raises UsageError, LockedError, NotFoundError for an unknown pack, LocalFileError,
        BackendError, also if a pack could not be removed, CancelledError; lost blobs raise nothing.
        """
        wanted = parse_packs(packs)
        with self._working(LockMode.EXCLUSIVE, report, cancel, load_index=True) as work:
            names = []
            for pack in wanted if copies is not None else ():
                names.append(keep_pack(work.repository, pack, copies or "", lambda text: work.report.note(text, 0)))
            result = repair_packs(work.repository, wanted, work.report, work.ensure_locked)
        result.ensure_all_removed()
        return PacksRepair(
            len(result.saved),
            tuple(LostBlob(blob.type.word, blob.id.hex()) for blob in sorted(result.lost)),
            tuple(name for name in names if name),
        )

    @checked
    def unlock(
        self,
        *,
        remove_all: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> int:
        """Remove stale locks, with `remove_all` also all others; return their number.

        Raises BackendError, CancelledError.
        """
        remove = remove_all_locks if remove_all else remove_stale
        with (
            self._working(LockMode.NONE, report, cancel) as work,
            self._lock_given_back() if remove_all else contextlib.nullcontext(),
        ):
            return remove(work.repository, report=work.report, ensure_wanted=work.ensure_wanted)

    def _run_prune(self, prune: "Prune", report: Reporter | None, cancel: threading.Event | None) -> None:
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            kept = prune.resume(work.repository).execute(work.report, work.ensure_locked)
            work.ensure_locked()
        ensure_all_removed(kept)


def _describe(stats: "prune_plan.PruneStats") -> PruneStats:
    return PruneStats(
        PruneBlobs(**asdict(stats.blobs)), PruneBytes(**asdict(stats.size)), PrunePacks(**asdict(stats.packs))
    )
