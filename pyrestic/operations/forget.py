"""Forget: choose the snapshots to remove by a policy, and remove snapshots."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyrestic.errors import UsageError
from pyrestic.golang import offset_at
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.operations.partial_retention import find_lasting, is_kept_by_tag
from pyrestic.operations.removal import remove_files
from pyrestic.operations.retention import (
    NO_COUNTERS,
    Decision,
    GroupBy,
    GroupKey,
    Kept,
    Policy,
    apply,
    group_snapshots,
)
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot

PARTIAL_REASON = "partial snapshot"


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
    found: Iterable[StoredSnapshot],
    policy: Policy,
    grouping: GroupBy,
    *,
    keep_partial: bool = False,
    now_ns: int | None = None,
) -> list[ForgetGroup]:
    """Apply a policy to every group of snapshots; partial ones are kept as partial_retention says, or all.

    Raises UsageError if a policy that keeps something would leave nothing of a group.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    found = list(found)
    partial = {stored.id for stored in found if stored.snapshot.is_partial}
    lasting = partial
    if policy.empty:
        lasting = set()
    elif not keep_partial:
        lasting = find_lasting(found, now_ns=now_ns, by_tags=grouping.tags)
    groups = []
    for key, stored in group_snapshots(found, grouping):
        complete = [one for one in stored if one.id not in partial]
        decision = apply(policy, complete, now_ns=now_ns, local_offset=offset_at)
        if complete and not policy.empty and not decision.keep:
            raise UsageError(f'refusing to delete last snapshot of snapshot group "{key}"')
        for one in stored:
            if one.id in partial:
                _decide_partial(decision, one, policy, lasting)
        groups.append(ForgetGroup(key, _newest_first(decision)))
    return groups


def _decide_partial(decision: Decision, stored: StoredSnapshot, policy: Policy, lasting: set[ID]) -> None:
    if stored.id in lasting or is_kept_by_tag(stored, policy.tags):
        decision.keep.append(Kept(stored, [PARTIAL_REASON], NO_COUNTERS))
    else:
        decision.remove.append(stored)


def _newest_first(decision: Decision) -> Decision:
    """Return the decision in the order that `apply` gives: newest first, equal times as they were."""
    keep = sorted(decision.keep, key=lambda kept: -kept.stored.snapshot.time_ns)
    return Decision(keep, sorted(decision.remove, key=lambda stored: -stored.snapshot.time_ns))


def remove_snapshots(
    repository: Repository, identifiers: set[ID], report: Reporter, ensure_locked: Callable[[], None]
) -> list[ID]:
    """Remove snapshots; report and return those that could not be removed."""
    ensure_locked()
    return remove_files(repository, FileType.SNAPSHOT, identifiers, report)
