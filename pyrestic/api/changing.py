"""Operations of an opened repository that change its snapshots: forget, tag, rewrite, repair and copy."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pyrestic.api.access import RepositoryAccess, SnapshotName
from pyrestic.api.arguments import checked
from pyrestic.api.entry import to_ns
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.errors import BackendError, PyresticError, UsageError
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.localfs.metadata import format_local_time
from pyrestic.localfs.select import Patterns
from pyrestic.operations.forget import check_policy, decide, ensure_no_negative_periods, remove_snapshots
from pyrestic.operations.replace_snapshot import ReplaceOptions, ReplaceResult
from pyrestic.operations.retention import ALL, GroupBy, Policy, parse_period
from pyrestic.operations.tag import TagChange, change_tags
from pyrestic.report import Reporter
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot

if TYPE_CHECKING:
    from pyrestic.api.repository import OpenRepository
    from pyrestic.operations.forget import ForgetGroup as DecidedGroup

KeepCount: TypeAlias = int | Literal["unlimited"]
"""Number of snapshots to keep per unit."""

GroupName: TypeAlias = Literal["host", "paths", "tags"]
"""Grouping criteria of a policy."""


class KeptSnapshot(NamedTuple):
    """A snapshot that a policy keeps, and the reasons, such as `daily snapshot`."""

    snapshot: OpenSnapshot
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgetGroup:
    """The decisions for a group of snapshots, newest first; None for criteria that are not used."""

    host: str
    paths: tuple[str, ...] | None
    tags: tuple[str, ...] | None
    keep: tuple[KeptSnapshot, ...]
    remove: tuple[OpenSnapshot, ...]


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """The decisions of a policy. Nothing changes before `run`."""

    groups: tuple[ForgetGroup, ...]
    _run: Callable[["ForgetPlan", Reporter | None, threading.Event | None], tuple[str, ...]] = field(repr=False)

    @property
    def keep(self) -> tuple[KeptSnapshot, ...]:
        """The snapshots to keep."""
        return tuple(kept for group in self.groups for kept in group.keep)

    @property
    def remove(self) -> tuple[OpenSnapshot, ...]:
        """The snapshots to remove."""
        return tuple(snapshot for group in self.groups for snapshot in group.remove)

    @checked
    def run(self, *, report: Reporter | None = None, cancel: threading.Event | None = None) -> tuple[str, ...]:
        """Remove the snapshots of the plan and return their IDs; raise as `OpenRepository.forget` does.

        Raises PyresticError, without any change, if a snapshot to keep no longer exists.
        """
        return self._run(self, report, cancel)


class ReplacedSnapshot(NamedTuple):
    """A replaced snapshot and its replacement, by IDs; `new` is "" in a dry run."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class RewriteReport:
    """The result of rewriting or repairing snapshots, or its prediction; snapshots are given by IDs."""

    replaced: tuple[ReplacedSnapshot, ...]
    emptied: tuple[str, ...]
    """Snapshots that were removed because nothing of them would be left."""
    losses: int
    """Number of files and folders that lost unreadable data."""
    removed_unreadable: tuple[str, ...]
    """Named snapshots that were unreadable and removed."""


class CopiedSnapshot(NamedTuple):
    """A snapshot by its ID in the source, and by its ID in the target."""

    source: str
    id: str


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of a copy; `bytes` are the stored bytes of the blobs in the source."""

    copied: tuple[CopiedSnapshot, ...]
    skipped: tuple[CopiedSnapshot, ...]
    """Snapshots that had been copied before."""
    blobs: int
    bytes: int


class ChangingVerbs(RepositoryAccess):
    """Forget, tag, rewrite, repair_snapshots and copy, for OpenRepository."""

    @checked
    def plan_forget(
        self,
        snapshots: Sequence[SnapshotName] | None = None,
        *,
        keep_last: KeepCount = 0,
        keep_hourly: KeepCount = 0,
        keep_daily: KeepCount = 0,
        keep_weekly: KeepCount = 0,
        keep_monthly: KeepCount = 0,
        keep_yearly: KeepCount = 0,
        keep_within: str = "",
        keep_within_hourly: str = "",
        keep_within_daily: str = "",
        keep_within_weekly: str = "",
        keep_within_monthly: str = "",
        keep_within_yearly: str = "",
        keep_tags: Sequence[Sequence[str]] = (),
        keep_partial: bool = False,
        group_by: Sequence[GroupName] = ("host", "paths"),
        unsafe_allow_remove_all: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> ForgetPlan:
        """Apply a policy to all snapshots, or some, and return its decisions; nothing is removed before `run`.

        Arguments are as the flags of `pyrestic forget` of that name: durations are such as 1y5m7d2h, and `keep_tags`
        has lists of tags, all of which a snapshot must have. Raises UsageError, also for a policy that would remove all
        of a group, LockedError, DamageError or BackendError if a snapshot cannot be read, CancelledError.
        """
        policy = Policy(
            last=_count(keep_last),
            hourly=_count(keep_hourly),
            daily=_count(keep_daily),
            weekly=_count(keep_weekly),
            monthly=_count(keep_monthly),
            yearly=_count(keep_yearly),
            within=parse_period(keep_within),
            within_hourly=parse_period(keep_within_hourly),
            within_daily=parse_period(keep_within_daily),
            within_weekly=parse_period(keep_within_weekly),
            within_monthly=parse_period(keep_within_monthly),
            within_yearly=parse_period(keep_within_yearly),
            tags=tuple(map(tuple, keep_tags)),
        )
        ensure_no_negative_periods(policy)
        check_policy(policy, filtered=snapshots is not None, remove_all=unsafe_allow_remove_all)
        grouping = GroupBy("host" in group_by, "paths" in group_by, "tags" in group_by)
        if set(group_by) - {"host", "paths", "tags"}:
            raise UsageError("snapshots are grouped by a list of host, paths and tags")
        with self._working(LockMode.READ_ALONE, report, cancel) as work:
            groups = decide(work.select(snapshots), policy, grouping, keep_partial=keep_partial)
        return ForgetPlan(tuple(map(self._show_group, groups)), self._run_forget)

    @checked
    def forget(
        self,
        snapshots: Sequence[SnapshotName],
        *,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[str, ...]:
        """Remove snapshots, with an exclusive lock, and return their IDs; `prune` frees data that only they used.

        Raises UsageError, LockedError, DamageError, BackendError, also if some could not be removed, CancelledError.
        """
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            chosen = {stored.id for stored in work.select(snapshots)}
            failed = remove_snapshots(work.repository, chosen, work.report, work.ensure_locked)
        return _tell_removed(chosen, failed)

    @checked
    def tag(
        self,
        snapshots: Sequence[SnapshotName] | None,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        set_to: Sequence[str] = (),
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[ReplacedSnapshot, ...]:
        """Add, remove or replace tags of some snapshots, or of all (None); return the changed ones.

        They get new IDs. Raises UsageError, LockedError, DamageError, BackendError, CancelledError, and PyresticError
        if the tags of some could not be changed.
        """
        if bool(set_to) == bool(add or remove):
            raise UsageError("either set_to or add and remove must be given")
        change = TagChange(tuple(set_to), tuple(add), tuple(remove))
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            chosen = work.select(snapshots)
            renewed = list(change_tags(work.repository, chosen, change, work.report, work.ensure_locked))
        failed = sum(one.new is None for one in renewed)
        if failed:
            raise PyresticError(f"the tags of {failed} snapshots could not be changed")
        return tuple(ReplacedSnapshot(old.hex(), _hex(new)) for old, new in renewed)

    @checked
    def rewrite(
        self,
        snapshots: Sequence[SnapshotName] | None = None,
        *,
        exclude: Sequence[str] = (),
        iexclude: Sequence[str] = (),
        include: Sequence[str] = (),
        iinclude: Sequence[str] = (),
        new_host: str = "",
        new_time: datetime | None = None,
        snapshot_summary: bool = False,
        forget: bool = False,
        dry_run: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> RewriteReport:
        """Rewrite all snapshots, or some, without some files or with other metadata.

        Arguments are as the flags of `pyrestic rewrite` of that name. The old ones are kept, unless `forget` is set.
        Raises UsageError, LockedError, DamageError, BackendError, CancelledError.
        """
        from pyrestic.operations.rewrite import TAG, Changes, rewrite

        includes, excludes = bool(include or iinclude), bool(exclude or iexclude)
        if includes and excludes:
            raise UsageError("exclude and include patterns are mutually exclusive")
        if not (includes or excludes or new_host or new_time or snapshot_summary):
            raise UsageError("nothing to do: no patterns and no new metadata are given")
        time = format_local_time(to_ns(new_time)) if new_time is not None else ""
        changes = Changes(
            Patterns(tuple(exclude), tuple(iexclude), "exclude").lists(),
            Patterns(tuple(include), tuple(iinclude), "include").lists(),
            snapshot_summary,
            new_host,
            time,
        )
        options = ReplaceOptions(TAG, dry_run=dry_run, forget=forget, keep_empty=includes)
        mode = LockMode.READ if dry_run else LockMode.EXCLUSIVE if forget else LockMode.APPEND
        with self._working(mode, report, cancel, load_index=True, dry_run=dry_run) as work:
            chosen = work.select(snapshots)
            result = rewrite(work.repository, chosen, lambda: changes, options, work.report, work.ensure_locked)
        return _describe_rewrite(result)

    @checked
    def repair_snapshots(
        self,
        snapshots: Sequence[SnapshotName] | None = None,
        *,
        forget: bool = False,
        dry_run: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> RewriteReport:
        """Rewrite damaged snapshots without the lost data; with `forget` the damaged ones are then removed.

        Named snapshots that are unreadable are removed, with `forget`. If the index is damaged, call `repair_index`
        first. Raises UsageError, LockedError, DamageError, BackendError, CancelledError.
        """
        from pyrestic.operations.repair_snapshots import TAG, repair_named

        options = ReplaceOptions(TAG, dry_run=dry_run, forget=forget)
        mode = LockMode.READ if dry_run else LockMode.EXCLUSIVE
        with self._working(mode, report, cancel, load_index=True, dry_run=dry_run) as work:
            names = [each if isinstance(each, str) else each.id for each in snapshots or ()]
            result = repair_named(
                work.repository,
                names,
                lambda left: work.select(None if snapshots is None else left),
                options,
                work.report,
                work.ensure_locked,
            )
        return _describe_rewrite(result)

    @checked
    def copy(
        self,
        source: "OpenRepository",
        snapshots: Sequence[SnapshotName] | None = None,
        *,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> CopyReport:
        """Copy all snapshots, or some, of another opened repository into this one, except those that it already has.

        The names are those of the source. Both should have the same polynomial (`pyrestic init --copy-chunker-params`),
        otherwise files are stored twice. Raises UsageError, LockedError, DamageError, MissingBlobError, BackendError,
        CancelledError.
        """
        # This imports numpy, which programs that only read files do not need.
        from pyrestic.operations.copy import Copy

        with contextlib.ExitStack() as stack:
            reading = stack.enter_context(source._working(LockMode.READ, report, cancel, load_index=True))
            writing = stack.enter_context(self._working(LockMode.APPEND, report, cancel, load_index=True))

            def ensure_locked() -> None:
                reading.ensure_locked()
                writing.ensure_locked()

            chosen = reading.select(snapshots)
            copy = Copy(reading.repository, writing.repository, writing.report, ensure_locked)
            result = copy.run(chosen)
        return CopyReport(
            tuple(CopiedSnapshot(old.hex(), new.hex()) for old, new in result.saved),
            tuple(CopiedSnapshot(old.hex(), there.hex()) for old, there in result.skipped),
            result.blobs,
            result.bytes,
        )

    def _run_forget(self, plan: ForgetPlan, report: Reporter | None, cancel: threading.Event | None) -> tuple[str, ...]:
        removed = {bytes.fromhex(snapshot.id) for snapshot in plan.remove}
        with self._working(LockMode.EXCLUSIVE, report, cancel) as work:
            present = set(work.repository.list_ids(FileType.SNAPSHOT))
            gone = [kept.snapshot.short_id for kept in plan.keep if bytes.fromhex(kept.snapshot.id) not in present]
            if gone:
                raise PyresticError(
                    f"snapshot {gone[0]}, which was to be kept, is gone: nothing was removed", hint="Make a new plan."
                )
            failed = remove_snapshots(work.repository, removed, work.report, work.ensure_locked)
        return _tell_removed(removed, failed)

    def _show_group(self, group: "DecidedGroup") -> ForgetGroup:
        def show(stored: StoredSnapshot) -> OpenSnapshot:
            return OpenSnapshot(self._content, stored)

        key, decision = group.key, group.decision
        return ForgetGroup(
            key.hostname,
            key.paths,
            key.tags,
            tuple(KeptSnapshot(show(kept.stored), tuple(kept.matches)) for kept in decision.keep),
            tuple(map(show, decision.remove)),
        )


def _count(count: KeepCount) -> int:
    if count == "unlimited":
        return ALL
    if count < 0:
        raise UsageError("how many snapshots are kept is a number of 0 or more, or 'unlimited'")
    return count


def _tell_removed(wanted: set[ID], failed: Sequence[ID]) -> tuple[str, ...]:
    if failed:
        raise BackendError(f"{len(failed)} of {len(wanted)} snapshots could not be removed")
    return tuple(sorted(identifier.hex() for identifier in wanted))


def _describe_rewrite(result: ReplaceResult) -> RewriteReport:
    return RewriteReport(
        tuple(ReplacedSnapshot(old.hex(), _hex(new)) for old, new in result.replaced),
        tuple(identifier.hex() for identifier in result.emptied),
        result.losses,
        tuple(identifier.hex() for identifier in result.removed_unreadable),
    )


def _hex(identifier: ID | None) -> str:
    return "" if identifier is None else identifier.hex()
