"""pyrestic forget: remove snapshots, by their IDs or by a policy."""

import re
from typing import Any

import click

from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import GROUP_BY, describe_group, snapshot_json, snapshot_table, zone_name
from pyrestic.cli.filters import long_snapshot_filter
from pyrestic.cli.flags import Parsed
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.prune_run import format_ids, make_options, prune_flags, run_prune
from pyrestic.cli.session import Session, opened
from pyrestic.cli.terminal import exit_error
from pyrestic.errors import UsageError
from pyrestic.ids import ID
from pyrestic.operations.forget import ForgetGroup, check_policy, decide, ensure_no_negative_periods, remove_snapshots
from pyrestic.operations.prune_options import PruneOptions
from pyrestic.operations.removal import ensure_all_removed
from pyrestic.operations.retention import ALL, NO_PERIOD, Policy, parse_period
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap, import_machinery
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot, find_snapshots

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


@define("forget", "Remove snapshots by ID or by a policy.")
@click.option("-l", "--keep-last", type=COUNT, default=0, help="keep the last N snapshots (or: unlimited)")
@click.option("-H", "--keep-hourly", type=COUNT, default=0, help="keep the last snapshot of each of N hours")
@click.option("-d", "--keep-daily", type=COUNT, default=0, help="keep the last snapshot of each of N days")
@click.option("-w", "--keep-weekly", type=COUNT, default=0, help="keep the last snapshot of each of N weeks")
@click.option("-m", "--keep-monthly", type=COUNT, default=0, help="keep the last snapshot of each of N months")
@click.option("-y", "--keep-yearly", type=COUNT, default=0, help="keep the last snapshot of each of N years")
@click.option(
    "--keep-within", type=PERIOD, default=NO_PERIOD, help="keep all snapshots within DURATION, such as 1y5m7d2h"
)
@click.option("--keep-within-hourly", type=PERIOD, default=NO_PERIOD, help="keep hourly snapshots within DURATION")
@click.option("--keep-within-daily", type=PERIOD, default=NO_PERIOD, help="keep daily snapshots within DURATION")
@click.option("--keep-within-weekly", type=PERIOD, default=NO_PERIOD, help="keep weekly snapshots within DURATION")
@click.option("--keep-within-monthly", type=PERIOD, default=NO_PERIOD, help="keep monthly snapshots within DURATION")
@click.option("--keep-within-yearly", type=PERIOD, default=NO_PERIOD, help="keep yearly snapshots within DURATION")
@click.option("--keep-tag", multiple=True, help="keep all snapshots with these tags: tag[,tag…]")
@click.option("--unsafe-allow-remove-all", is_flag=True, help="allow a policy that removes every snapshot")
@long_snapshot_filter
@click.option("-c", "--compact", is_flag=True, help="omit paths")
@click.option("-g", "--group-by", type=GROUP_BY, default="host,paths", help="group by host, paths, tags (host,paths)")
@click.option("-n", "--dry-run", is_flag=True, help="only print what would be done")
@click.option("--prune", is_flag=True, help="prune if snapshots were removed")
@prune_flags
@click.argument("snapshot_id", nargs=-1)
def command(app: App, snapshot_id: tuple[str, ...], **flags: Any) -> int | None:  # noqa: ANN401 - flags of many kinds
    """Apply the policy, print the decisions, and remove; 3 if a snapshot could not be removed."""
    return _Forget(app, flags).run(list(snapshot_id))


def make_policy(flags: dict[str, Any]) -> Policy:
    """Return the policy from the flags; raise UsageError for negative times."""
    units = ("hourly", "daily", "weekly", "monthly", "yearly")
    periods = {"within": flags["keep_within"]}
    periods |= {f"within_{unit}": flags[f"keep_within_{unit}"] for unit in units}
    counts = {unit: flags[f"keep_{unit}"] for unit in ("last", *units)}
    policy = Policy(**counts, **periods, tags=parse_tags(flags["keep_tag"]))
    ensure_no_negative_periods(policy)
    return policy


class _Forget:
    def __init__(self, app: App, flags: dict[str, Any]) -> None:
        self._app = app
        self._terminal = app.terminal
        self._flags = flags
        self._dry_run: bool = flags["dry_run"]
        self._policy = make_policy(flags)
        self._prune_options: PruneOptions = make_options(flags)
        self._filter: SnapshotFilter = flags["wanted"]

    def run(self, names: list[str]) -> int | None:
        settings = self._app.settings
        if settings.no_lock and not self._dry_run:
            raise UsageError("--no-lock is only applicable in combination with --dry-run for forget command")
        mode = LockMode.NONE if settings.no_lock else LockMode.EXCLUSIVE
        prepare = import_machinery if self._flags["prune"] else lambda: None
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
            if removed and self._flags["prune"]:
                self._prune(session, removed)
        return end_incomplete(self._app, look.found.failures)

    def _decide(self, found: list[StoredSnapshot]) -> list[ForgetGroup]:
        policy = self._policy
        remove_all: bool = self._flags["unsafe_allow_remove_all"]
        check_policy(policy, filtered=not self._filter.empty, remove_all=remove_all)
        self._terminal.note(f"Applying Policy: {policy}")
        groups = decide(found, policy, self._flags["group_by"])
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
            compact, quoted = self._flags["compact"], self._terminal.is_terminal
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
