"""pyrestic forget: remove snapshots, by their IDs or by a policy."""

import re
from typing import Any

from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import (
    GROUP_BY,
    HOST_AND_PATHS,
    describe_group,
    snapshot_json,
    snapshot_table,
    zone_name,
)
from pyrestic.cli.filters import LongSnapshotFlags
from pyrestic.cli.flag_fields import Flags, arguments, parsed, switch, texts
from pyrestic.cli.flags import Parsed
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.prune_run import RepackFlags, format_ids, make_options, run_prune
from pyrestic.cli.session import Session, opened
from pyrestic.cli.terminal import exit_error
from pyrestic.errors import UsageError
from pyrestic.ids import ID
from pyrestic.operations.forget import ForgetGroup, check_policy, decide, ensure_no_negative_periods, remove_snapshots
from pyrestic.operations.removal import ensure_all_removed
from pyrestic.operations.retention import ALL, NO_PERIOD, GroupBy, Period, Policy, parse_period
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap, import_machinery
from pyrestic.repository.snapshots import StoredSnapshot, find_snapshots

_NOT_REMOVED = 3


def parse_count(text: str) -> int:
    """Return the count to keep; raise UsageError."""
    if text == "unlimited":
        return ALL
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise UsageError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise UsageError(f'strconv.ParseInt: parsing "{text}": value out of range')
    if number < 0:
        raise UsageError("negative values not allowed, use 'unlimited' instead")
    return number


COUNT = Parsed("n", parse_count)
PERIOD = Parsed("duration", parse_period)


def _keep_units(short: str, unit: str, adverb: str) -> int:
    text = f"keep the last snapshot of each of N {unit}s"
    return parsed(short, f"--keep-{adverb}", type=COUNT, default=0, help=text)


def _keep_within(adverb: str) -> Period:
    text = f"keep {adverb} snapshots within DURATION"
    return parsed(f"--keep-within-{adverb}", type=PERIOD, default=NO_PERIOD, help=text)


class _PolicyFlags(Flags):
    """The flags for snapshots to keep."""

    TITLE = "Keep"
    keep_last: int = parsed(
        "-l", "--keep-last", type=COUNT, default=0, help="keep the last N snapshots (or: unlimited)"
    )
    keep_hourly: int = _keep_units("-H", "hour", "hourly")
    keep_daily: int = _keep_units("-d", "day", "daily")
    keep_weekly: int = _keep_units("-w", "week", "weekly")
    keep_monthly: int = _keep_units("-m", "month", "monthly")
    keep_yearly: int = _keep_units("-y", "year", "yearly")
    keep_within: Period = parsed(
        "--keep-within",
        type=PERIOD,
        default=NO_PERIOD,
        help="keep all snapshots within DURATION, such as 1y5m7d2h",
    )
    keep_within_hourly: Period = _keep_within("hourly")
    keep_within_daily: Period = _keep_within("daily")
    keep_within_weekly: Period = _keep_within("weekly")
    keep_within_monthly: Period = _keep_within("monthly")
    keep_within_yearly: Period = _keep_within("yearly")
    keep_partial: bool = switch("--keep-partial", help="keep all partial snapshots")
    keep_tag: tuple[str, ...] = texts("--keep-tag", value="TAGS", help="keep all snapshots with these tags: tag[,tag…]")
    unsafe_allow_remove_all: bool = switch(
        "--unsafe-allow-remove-all", help="allow a policy that removes every snapshot"
    )


class ForgetFlags(_PolicyFlags, LongSnapshotFlags, RepackFlags):
    """The flags of forget."""

    compact: bool = switch("-c", "--compact", help="omit paths")
    dry_run: bool = switch("-n", "--dry-run", help="only print what would be done")
    group_by: GroupBy = parsed(
        "-g",
        "--group-by",
        type=GROUP_BY,
        default=HOST_AND_PATHS,
        help="group by host, paths, tags (host,paths)",
    )
    prune: bool = switch("--prune", help="prune if snapshots were removed")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("forget", "Remove snapshots by ID or by a policy.", ForgetFlags)
def command(app: App, flags: ForgetFlags) -> int | None:
    """Apply the policy, print the decisions, and remove; 3 if a snapshot could not be removed."""
    return _Forget(app, flags).run(list(flags.snapshot_id))


def make_policy(flags: ForgetFlags) -> Policy:
    """Return the policy from the flags; raise UsageError for negative times."""
    policy = Policy(
        last=flags.keep_last,
        hourly=flags.keep_hourly,
        daily=flags.keep_daily,
        weekly=flags.keep_weekly,
        monthly=flags.keep_monthly,
        yearly=flags.keep_yearly,
        within=flags.keep_within,
        within_hourly=flags.keep_within_hourly,
        within_daily=flags.keep_within_daily,
        within_weekly=flags.keep_within_weekly,
        within_monthly=flags.keep_within_monthly,
        within_yearly=flags.keep_within_yearly,
        tags=parse_tags(flags.keep_tag),
    )
    ensure_no_negative_periods(policy)
    return policy


class _Forget:
    def __init__(self, app: App, flags: ForgetFlags) -> None:
        self._app = app
        self._terminal = app.terminal
        self._flags = flags
        self._dry_run = flags.dry_run
        self._policy = make_policy(flags)
        self._prune_options = make_options(flags)
        self._filter = flags.wanted(app.settings.environment)

    def run(self, names: list[str]) -> int | None:
        settings = self._app.settings
        if settings.no_lock and not self._dry_run:
            raise UsageError("--no-lock is only applicable in combination with --dry-run for forget command")
        mode = LockMode.NONE if settings.no_lock else LockMode.EXCLUSIVE
        prepare = import_machinery if self._flags.prune else lambda: None
        look = Overlap(
            lambda repository: find_snapshots(repository, names, self._filter, self._terminal), imports=prepare
        )
        with opened(settings, self._terminal, mode, overlap=look) as session:
            found = look.found.snapshots
            groups: list[ForgetGroup] = []
            removed = {stored.id for stored in found}
            if not names:
                groups = self._decide(found)
                removed = {stored.id for group in groups for stored in group.decision.remove}
            failed = self._remove(session, removed)
            if settings.json and groups:
                self._terminal.print_json([_group_json(group) for group in groups])
            if failed:
                exit_error(_NOT_REMOVED, "failed to remove one or more snapshots", as_json=settings.json)
                return _NOT_REMOVED
            if removed and self._flags.prune:
                self._prune(session, removed)
        return end_incomplete(self._app, look.found.failures)

    def _decide(self, found: list[StoredSnapshot]) -> list[ForgetGroup]:
        policy = self._policy
        filtered = not self._filter.empty
        check_policy(policy, filtered=filtered, remove_all=self._flags.unsafe_allow_remove_all)
        self._terminal.note(f"Applying Policy: {policy}")
        groups = decide(found, policy, self._flags.group_by, keep_partial=self._flags.keep_partial)
        for group in groups:
            self._show(group)
        return groups

    def _show(self, group: ForgetGroup) -> None:
        note = self._terminal.note
        header = describe_group(group.key)
        if header and self._terminal.tells(2):
            self._terminal.print(header)
        keep = list(reversed(group.decision.keep))
        if keep:
            note(f"keep {len(keep)} snapshots:")
            self._show_table([kept.stored for kept in keep], [kept.matches for kept in keep])
        if group.decision.remove:
            note(f"remove {len(group.decision.remove)} snapshots:")
            self._show_table(list(reversed(group.decision.remove)), [])

    def _show_table(self, stored: list[StoredSnapshot], reasons: list[list[str]]) -> None:
        zone = zone_name(self._app.settings.environment)
        if self._terminal.tells(1):
            compact, quoted = self._flags.compact, self._terminal.is_terminal
            self._terminal.print(*snapshot_table(stored, zone, compact=compact, reasons=reasons, quoted=quoted), "")

    def _remove(self, session: Session, removed: set[ID]) -> list[ID]:
        if not removed:
            return []
        if self._dry_run:
            for line in ("Would have removed the following snapshots:", format_ids(removed), ""):
                self._terminal.note(line)
            return []
        return remove_snapshots(session.repository, removed, self._terminal, session.ensure_locked)

    def _prune(self, session: Session, removed: set[ID]) -> None:
        done = "would be removed, running prune dry run" if self._dry_run else "have been removed, running prune"
        self._terminal.note(f"{len(removed)} snapshots {done}")
        _, kept = run_prune(self._app, session, self._prune_options, dry_run=self._dry_run, without=removed)
        ensure_all_removed(kept)


def _group_json(group: ForgetGroup) -> dict[str, Any]:
    keep = group.decision.keep
    return {
        "tags": group.key.tags,
        "host": group.key.hostname,
        "paths": group.key.paths,
        "keep": [snapshot_json(kept.stored) for kept in keep] or None,
        "remove": [snapshot_json(stored) for stored in group.decision.remove] or None,
        "reasons": [{"snapshot": snapshot_json(kept.stored), "matches": kept.matches} for kept in keep] or None,
    }
