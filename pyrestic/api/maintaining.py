"""Verbs of an opened repository that mend it and keep it small: prune, repairs, unlock."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from pyrestic.api.access import Need, RepositoryAccess
from pyrestic.api.inspecting import BlobKind
from pyrestic.api.proving import Size
from pyrestic.operations.prune_options import PruneOptions, make_prune_options
from pyrestic.operations.removal import ensure_all_removed
from pyrestic.operations.repair_index import repair_index
from pyrestic.operations.repair_packs import keep_pack, parse_packs, repair_packs
from pyrestic.report import Reporter
from pyrestic.repository.lock_files import remove_all as remove_all_locks
from pyrestic.repository.lock_files import remove_stale

if TYPE_CHECKING:
    from pyrestic.operations import prune_plan
    from pyrestic.operations.prune import Prune


@dataclass(frozen=True, slots=True)
class PruneBlobs:
    """How many blobs are what, and what becomes of them."""

    used: int
    duplicate: int
    unused: int
    remove: int
    repack: int
    repackrm: int
    """Blobs that repacking leaves out."""


@dataclass(frozen=True, slots=True)
class PruneBytes:
    """How many stored bytes are what, and what becomes of them."""

    used: int
    duplicate: int
    unused: int
    remove: int
    repack: int
    repackrm: int
    """Bytes that repacking leaves out."""
    unref: int
    """Bytes of packs that no index names, which are removed."""
    uncompressed: int

    @property
    def freed(self) -> int:
        """By how much the repository shrinks."""
        return self.remove + self.repackrm + self.unref


@dataclass(frozen=True, slots=True)
class PrunePacks:
    """How many packs are what, and what becomes of them."""

    used: int
    unused: int
    partly_used: int
    unref: int
    keep: int
    repack: int
    remove: int


@dataclass(frozen=True, slots=True)
class PruneStats:
    """The numbers of a prune, as restic counts them."""

    blobs: PruneBlobs
    size: PruneBytes
    packs: PrunePacks


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune is going to do; packs are named by their IDs. Nothing is done before `run`."""

    stats: PruneStats
    remove: tuple[str, ...] = field(repr=False)
    """Packs that nothing uses, and those that no index names."""
    repack: tuple[str, ...] = field(repr=False)
    """Packs of which a part is written anew before they are removed."""
    _run: Callable[[Reporter | None, threading.Event | None], None] = field(repr=False, compare=False)

    def run(self, *, report: Reporter | None = None, cancel: threading.Event | None = None) -> None:
        """Do it, alone in the repository; raise as `OpenRepository.prune` does.

        PyresticError is raised, and nothing done, if snapshots or index have changed since the plan was made.
        """
        self._run(report, cancel)


@dataclass(frozen=True, slots=True)
class IndexRepair:
    """What was wrong with an index, by IDs of index files and of packs."""

    invalid_index_files: tuple[str, ...]
    added: tuple[str, ...]
    """Packs that no index named."""
    resized: tuple[str, ...]
    """Packs of another length than the index said."""
    missing: tuple[str, ...]
    """Packs that are gone."""
    unreadable: tuple[str, ...]
    """Packs with a damaged header that the index does without."""
    kept: tuple[str, ...]
    """Packs with a damaged header whose old entry was kept."""


@dataclass(frozen=True, slots=True)
class LostBlob:
    """A blob that could not be saved from a damaged pack."""

    kind: BlobKind
    id: str


@dataclass(frozen=True, slots=True)
class PacksRepair:
    """What was saved of damaged packs: `repair_snapshots` comes next if blobs are lost."""

    salvaged_blobs: int
    lost: tuple[LostBlob, ...]
    copies: tuple[str, ...]
    """The files that the packs were copied to before."""


class MaintainingVerbs(RepositoryAccess):
    """Prune, repair_index, repair_packs and unlock, for OpenRepository."""

    def plan_prune(
        self,
        *,
        max_unused: str = "5%",
        max_repack_size: Size = "",
        repack_cacheable_only: bool = False,
        repack_uncompressed: bool = False,
        repack_smaller_than: Size = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> PrunePlan:
        """Return what a prune would do; nothing is removed before `run`.

        Arguments are as the flags of `pyrestic prune` of that name. Raises UsageError, LockedError, DamageError or
        MissingBlobError if something that is in use cannot be read or found, BackendError, CancelledError.
        """
        from pyrestic.operations.prune import plan_prune

        options = _options(max_unused, max_repack_size, repack_smaller_than, repack_cacheable_only, repack_uncompressed)
        with self._working(Need.READ_ALONE, report, cancel) as work:
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

    def prune(
        self,
        *,
        max_unused: str = "5%",
        max_repack_size: Size = "",
        repack_cacheable_only: bool = False,
        repack_uncompressed: bool = False,
        repack_smaller_than: Size = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> PruneStats:
        """Remove what no snapshot uses, alone in the repository, and return what was done.

        Arguments are those of `plan_prune`, and so are the errors; BackendError is raised also if some packs could not
        be removed, which the next prune does.
        """
        from pyrestic.operations.prune import plan_prune

        options = _options(max_unused, max_repack_size, repack_smaller_than, repack_cacheable_only, repack_uncompressed)
        with self._working(Need.EXCLUSIVE, report, cancel) as work:
            prune = plan_prune(work.repository, options, work.report)
            kept = prune.execute(work.report, work.ensure_locked)
            work.ensure_locked()
        ensure_all_removed(kept)
        return _describe(prune.plan.stats)

    def repair_index(
        self,
        *,
        read_all_packs: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> IndexRepair:
        """Make the index say what the packs hold, alone in the repository, and return what was wrong.

        With `read_all_packs` it is built from the packs and nothing else. Raises LockedError, BackendError,
        CancelledError; packs that are missing or damaged are not raised.
        """
        with self._working(Need.EXCLUSIVE, report, cancel) as work:
            found = repair_index(work.repository, work.report, work.ensure_locked, read_all_packs=read_all_packs)
        return IndexRepair(**{name: tuple(sorted(one.hex() for one in ids)) for name, ids in asdict(found).items()})

    def repair_packs(
        self,
        packs: Sequence[str],
        *,
        copies: str | None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> PacksRepair:
        """Store what is intact in damaged packs anew and remove them, alone in the repository.

        Before that they are copied to the folder `copies`, as `pyrestic repair packs` does to its working folder; None
        does without. Raises UsageError, LockedError, NotFoundError for a pack that is not known, LocalFileError,
        BackendError, also if a pack could not be removed, CancelledError; lost blobs are not raised.
        """
        wanted = parse_packs(packs)
        with self._working(Need.EXCLUSIVE, report, cancel, load_index=True) as work:
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

    def unlock(self, *, remove_all: bool = False) -> int:
        """Remove the locks of programs that are gone, with `remove_all` those of all others; return how many.

        Raises BackendError.
        """
        self._content.check_open()
        with self._writing:
            if not remove_all:
                return remove_stale(self._repository)
            with self._lock_given_back():
                return remove_all_locks(self._repository)

    def _run_prune(self, prune: "Prune", report: Reporter | None, cancel: threading.Event | None) -> None:
        with self._working(Need.EXCLUSIVE, report, cancel) as work:
            kept = prune.resume(work.repository).execute(work.report, work.ensure_locked)
            work.ensure_locked()
        ensure_all_removed(kept)


def _describe(stats: "prune_plan.PruneStats") -> PruneStats:
    return PruneStats(
        PruneBlobs(**asdict(stats.blobs)), PruneBytes(**asdict(stats.size)), PrunePacks(**asdict(stats.packs))
    )


def _options(
    max_unused: str, max_repack_size: Size, repack_smaller_than: Size, cacheable_only: bool, uncompressed: bool
) -> PruneOptions:
    return make_prune_options(
        max_unused=max_unused,
        max_repack_size=str(max_repack_size),
        repack_smaller_than=str(repack_smaller_than),
        cacheable_only=cacheable_only,
        uncompressed=uncompressed,
    )
