"""Forget: choose the snapshots to remove by a policy, and remove snapshots."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyrestic.errors import UsageError
from pyrestic.golang import offset_at
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.operations.removal import remove_files
from pyrestic.operations.retention import Decision, GroupBy, GroupKey, Policy, apply, group_snapshots
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot


@dataclass(frozen=True, slots=True)
class ForgetGroup:
    """The decision of a policy for the snapshots of one group."""

    key: GroupKey
    decision: Decision


def ensure_no_negative_periods(policy: Policy) -> None:
    """Raise UsageError for a policy with times in the future."""
    if any(number < 0 for period in policy.periods for number in period):
        raise UsageError("durations containing negative values are not allowed for --keep-within*")


def check_policy(policy: Policy, *, filtered: bool, remove_all: bool) -> None:
    """Raise UsageError for a policy that removes every snapshot, unless that is explicitly allowed for a filter."""
    if policy.empty and not remove_all:
        raise UsageError("no policy was specified, no snapshots will be removed")
    if policy.empty and not filtered:
        raise UsageError("--unsafe-allow-remove-all is not allowed unless a snapshot filter option is specified")


def decide(
    found: Iterable[StoredSnapshot], policy: Policy, grouping: GroupBy, *, now_ns: int | None = None
) -> list[ForgetGroup]:
    """Apply a policy to every group of snapshots.

    Raises UsageError if a policy that keeps something would leave nothing of a group.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    groups = []
    for key, stored in group_snapshots(found, grouping):
        decision = apply(policy, stored, now_ns=now_ns, local_offset=offset_at)
        if not policy.empty and not decision.keep:
            raise UsageError(f'refusing to delete last snapshot of snapshot group "{key}"')
        groups.append(ForgetGroup(key, decision))
    return groups


def remove_snapshots(
    repository: Repository, identifiers: set[ID], report: Reporter, ensure_locked: Callable[[], None]
) -> list[ID]:
    """Remove snapshots; report and return those that could not be removed."""
    ensure_locked()
    return remove_files(repository, FileType.SNAPSHOT, identifiers, report)
