"""Verification of an opened repository: check and drill."""

import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias, cast

from pyrestic.api.access import RepositoryAccess, SnapshotName, Work, find_named
from pyrestic.api.arguments import checked
from pyrestic.api.entry import to_datetime
from pyrestic.api.restore_plan import LostFile
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.errors import PyresticError, UsageError
from pyrestic.golang import parse_size
from pyrestic.handle import FileType
from pyrestic.ids import short
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.localfs.verification_log import Drill
from pyrestic.operations.proven import Proven
from pyrestic.report import Reporter
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot, read_snapshots

Size: TypeAlias = int | str
"""A number of bytes, or a text such as 500M or 10G."""

FindingKind: TypeAlias = Literal[
    "error", "index error", "snapshot error", "duplicate pack", "mixed pack", "orphaned pack"
]
"""The subject of a finding; the last three are not errors."""

DrillReason: TypeAlias = Literal["largest", "changed", "random"]
"""The reason why a drill selected a file."""

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """A finding; `count` errors in one message, which `details` continue line by line."""

    kind: FindingKind
    message: str
    count: int
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a repository was verified from this machine so far, and the oldest verification."""

    packs: int
    never: int
    """Number of packs that were never verified."""
    never_bytes: int
    oldest: datetime | None
    """The oldest verification, None if there was none."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check. Packs are given by IDs."""

    errors: int
    """Number of errors; other findings do not count."""
    findings: tuple[CheckFinding, ...]
    complete: bool
    """False if the index is too damaged to continue: call `repair_index` first."""
    broken_packs: tuple[str, ...]
    """Packs for `repair_packs`."""
    verified_packs: tuple[str, ...]
    """Packs that were read completely and are intact."""
    suggest_repair_index: bool
    suggest_prune: bool
    coverage: Coverage | None
    """Set after a check with a budget."""

    @property
    def ok(self) -> bool:
        """Whether there are no errors."""
        return not self.errors


class DrilledFile(NamedTuple):
    """A file that a drill selected."""

    path: str
    size: int
    why: DrillReason


@dataclass(frozen=True, slots=True)
class DrillReport:
    """The result of a drill; `bytes` is the total of the restored contents."""

    snapshot: OpenSnapshot = field(repr=False)
    seed: int
    """Another drill with this seed selects the same files."""
    picked: tuple[DrilledFile, ...]
    files: int
    """Number of intact files."""
    bytes: int
    blobs: int
    compared: int
    """Number of files that still exist unmodified, and were compared."""
    damaged: tuple[LostFile, ...]
    """Files and folders that cannot be restored intact."""
    differing: tuple[str, ...]
    """Local files whose content differs although length and modification time match."""
    previous: datetime | None
    """The last successful drill on this machine before this one."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.damaged or self.differing)


class ProvingVerbs(RepositoryAccess):
    """Check and drill, for OpenRepository."""

    @checked
    def check(
        self,
        *,
        read_data: bool = False,
        read_data_subset: str = "",
        budget: Size = 0,
        snapshots: Sequence[SnapshotName] | None = None,
        with_cache: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> CheckReport:
        """Check the repository, with an exclusive lock unless it was opened without one; return all findings.

        The packs to read are selected as for `pyrestic check`: all with `read_data`; a part such as 1/5, 2.5% or 10G
        with `read_data_subset`; with `budget` this number of bytes, least recently verified first. With `snapshots`,
        only their data is checked. The cache is not used, because it could hide damage, unless `with_cache` is set.
        Raises UsageError, LockedError, BackendError, CancelledError; findings raise nothing.
        """
        from pyrestic.operations.check import Check, Finding, PackChoice, read_index_files
        from pyrestic.operations.check_rotation import Rotation, measure_coverage
        from pyrestic.operations.check_run import parse_subset, run_check

        budget_bytes = parse_bytes(budget)
        if read_data + bool(read_data_subset) + bool(budget_bytes) > 1:
            raise UsageError("of read_data, read_data_subset and budget one at most can be given")
        choice = PackChoice() if read_data else parse_subset(read_data_subset)
        found: list[CheckFinding] = []

        def add(finding: Finding) -> None:
            found.append(CheckFinding(finding.kind.value, finding.message, finding.count, finding.details))

        with self._working(LockMode.READ_ALONE, report, cancel, past_cache=not with_cache) as work:
            repository = work.repository
            # The files listed at the time of opening may have changed since.
            repository.listed_keys = tuple(repository.list_ids(FileType.KEY))
            check = Check(repository, work.report, add)
            proven = self._open_proven(work)
            index = read_index_files(repository, work.report)
            with proven.kept(check):
                rotation = Rotation(proven.read().packs, budget_bytes) if budget_bytes else None
                complete = run_check(
                    check,
                    index,
                    lambda: _select(work, snapshots, found),
                    rotation or choice,
                    work.report,
                    filtered=snapshots is not None,
                    locked=work.locked,
                )
            coverage = None
            if budget_bytes and complete:
                measured = measure_coverage(check.all_packs(), proven.read().packs)
                oldest = measured.oldest_seconds
                moment = None if oldest is None else to_datetime(oldest * _SECOND)
                coverage = Coverage(measured.packs, measured.never, measured.never_bytes, moment)
        result = check.result
        unread = sum(finding.kind == "snapshot error" for finding in found)
        return CheckReport(
            result.error_count + unread,
            tuple(found),
            complete,
            tuple(sorted({pack.hex() for pack in result.broken_packs})),
            tuple(sorted(pack.hex() for pack in result.verified_packs)),
            result.suggest_repair_index,
            result.suggest_prune,
            coverage,
        )

    @checked
    def drill(
        self,
        snapshot: SnapshotName = "latest",
        *,
        budget: Size = "64M",
        seed: int | None = None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> DrillReport:
        """Restore a sample of files in memory, verify them, and compare them with the local ones.

        The files are selected among the largest, those that change most often, and at random, up to `budget` bytes in
        total. A name may contain a folder, as in `latest:/home`. Raises UsageError, LockedError, DamageError,
        BackendError, CancelledError; errors of files raise nothing.
        """
        from pyrestic.operations.drill_run import find_root, run_drill

        budget_bytes = parse_bytes(budget)
        if budget_bytes <= 0:
            raise UsageError("a drill needs a budget of some bytes")
        seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
        started = int(time.time())
        with self._working(LockMode.READ, report, cancel, load_index=True) as work:
            stored, folder = find_named(work, snapshot)
            drilled = run_drill(work.repository, stored, folder, work.report, seed=seed, budget_bytes=budget_bytes)
            work.ensure_wanted()
            result = drilled.result
            proven = self._open_proven(work)
            previous = max((one.seconds for one in proven.read().drills if one.well), default=None)
            proven.add_drill(Drill(started, stored.id.hex(), result.files, result.length, result.well))
        root = find_root(folder)

        def show(location: bytes) -> str:
            return os.path.join(root, os.fsdecode(location).lstrip("/"))

        return DrillReport(
            OpenSnapshot(self._content, stored),
            seed,
            tuple(
                DrilledFile(show(pick.location), pick.node.size, cast(DrillReason, pick.why)) for pick in drilled.picks
            ),
            result.files,
            result.length,
            result.blobs,
            result.compared,
            tuple(LostFile(show(location), error) for location, error in result.damaged),
            tuple(show(location) for location in result.differing),
            None if previous is None else to_datetime(previous * _SECOND),
        )

    def _open_proven(self, work: Work) -> Proven:
        """Return the command line's verification log, none if `environment` does not define its location."""
        folder = "" if self._is_past else find_state_folder(self._environment)
        return Proven(folder, self.id, lambda text: work.report.note(text, 0))


def _select(work: Work, snapshots: Sequence[SnapshotName] | None, found: list[CheckFinding]) -> list[StoredSnapshot]:
    """Return the readable snapshots; the others become findings."""
    if snapshots is None:
        listed = read_snapshots(work.repository)
        for one in listed.unreadable:
            found.append(CheckFinding("snapshot error", f"error: snapshot {short(one.id)}: {one.error}", 1, ()))
        return listed.found
    chosen = []
    for each in snapshots:
        try:
            chosen += work.select([each])
        except UsageError:
            raise
        except PyresticError as error:
            found.append(CheckFinding("snapshot error", f"error: {error}", 1, ()))
    return chosen


def parse_bytes(size: Size) -> int:
    """Return a number of bytes; raise UsageError."""
    count = size if isinstance(size, int) else parse_size(size)
    if count < 0:
        raise UsageError(f"{size} is not a number of bytes")
    return count
