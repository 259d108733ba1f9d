"""Verbs of an opened repository that prove that everything is there: check and drill."""

import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias, cast

from pyrestic.api.access import Need, RepositoryAccess, SnapshotName, Work, find_named
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
from pyrestic.repository.snapshots import StoredSnapshot, read_snapshots

Size: TypeAlias = int | str
"""A number of bytes, or a text such as 500M or 10G."""

FindingKind: TypeAlias = Literal[
    "error", "index error", "snapshot error", "duplicate pack", "mixed pack", "orphaned pack"
]
"""What a finding of a check is about; the last three are nothing but untidy."""

DrillReason: TypeAlias = Literal["largest", "changed", "random"]
"""Why a drill has chosen a file."""

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """Something that is not as it should be; `count` errors in one message, which `details` go on with line by line."""

    kind: FindingKind
    message: str
    count: int
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a repository was verified from this machine by now, and when that was longest ago."""

    packs: int
    never: int
    """How many packs never were."""
    never_bytes: int
    oldest: datetime | None
    """When that pack was verified whose turn is longest ago, None if none ever was."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check has found. Packs are named by their IDs."""

    errors: int
    """How many errors there are; what is only untidy does not count."""
    findings: tuple[CheckFinding, ...]
    complete: bool
    """False if the index is too damaged to go on: `repair_index` comes first."""
    broken_packs: tuple[str, ...]
    """Packs for `repair_packs`."""
    verified_packs: tuple[str, ...]
    """Packs that were read whole, and nothing was wrong with them."""
    suggest_repair_index: bool
    suggest_prune: bool
    coverage: Coverage | None
    """Told after a check with a budget."""

    @property
    def ok(self) -> bool:
        """There are no errors."""
        return not self.errors


class DrilledFile(NamedTuple):
    """A file that a drill has chosen."""

    path: str
    size: int
    why: DrillReason


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill has shown; `bytes` are those of all contents that came back."""

    snapshot: OpenSnapshot = field(repr=False)
    seed: int
    """Another drill with this seed chooses the same files."""
    picked: tuple[DrilledFile, ...]
    files: int
    """How many of them came back whole."""
    bytes: int
    blobs: int
    compared: int
    """How many of these are still here as they were, and were compared."""
    damaged: tuple[LostFile, ...]
    """Files and folders that cannot be given back as they were."""
    differing: tuple[str, ...]
    """Files of this machine with another content than the backup, though their length and time are the same."""
    previous: datetime | None
    """When a drill from this machine last went well, before this one."""

    @property
    def ok(self) -> bool:
        """Nothing was wrong."""
        return not (self.damaged or self.differing)


class ProvingVerbs(RepositoryAccess):
    """Check and drill, for OpenRepository."""

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
        """Look for errors, alone in the repository unless it was opened without a lock; return all that was found.

        What is read of the packs is as for `pyrestic check`: all with `read_data`; a part such as 1/5, 2.5% or 10G with
        `read_data_subset`; with `budget` so many bytes, those first that were verified longest ago. With `snapshots`
        only what they use is looked at. The cache is not used, as it could hide damage, unless `with_cache` says so.
        Raises UsageError, LockedError, BackendError, CancelledError; errors that are found are not raised.
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

        with self._working(Need.READ_ALONE, report, cancel, past_cache=not with_cache) as work:
            repository = work.repository
            # What was there when the repository was opened may have been changed since.
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
            tuple(pack.hex() for pack in result.verified_packs),
            result.suggest_repair_index,
            result.suggest_prune,
            coverage,
        )

    def drill(
        self,
        snapshot: SnapshotName = "latest",
        *,
        budget: Size = "64M",
        seed: int | None = None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> DrillReport:
        """Prove that files can be given back: fetch some in memory, verify them, compare them with those still here.

        They are chosen among the largest and those that change most, and at random, of `budget` bytes in all. A name
        may go on with a folder, as in `latest:/home`. Raises UsageError, LockedError, DamageError, BackendError,
        CancelledError; what is wrong with files is not raised.
        """
        from pyrestic.operations.drill_run import find_root, run_drill

        budget_bytes = parse_bytes(budget)
        if budget_bytes <= 0:
            raise UsageError("a drill needs a budget of some bytes")
        seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
        started = int(time.time())
        with self._working(Need.READ, report, cancel, load_index=True) as work:
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
        """Return the book that the command line keeps, none where `environment` does not say where it is."""
        folder = "" if self._is_past else find_state_folder(self._environment)
        return Proven(folder, self.id, lambda text: work.report.note(text, 0))


def _select(work: Work, snapshots: Sequence[SnapshotName] | None, found: list[CheckFinding]) -> list[StoredSnapshot]:
    """Return the snapshots that can be read; those that cannot be are found."""
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
    return size if isinstance(size, int) else parse_size(size)
