"""What forget does with partial snapshots: no rule keeps one, and each lasts until something better exists."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.format.snapshot import PARTIAL_TAG, Snapshot, Summary
from pyrestic.operations.forget import decide
from pyrestic.operations.retention import GroupBy, Policy
from pyrestic.repository.snapshots import StoredSnapshot

BY_HOST_AND_PATHS = GroupBy(host=True, paths=True)
LAST = Policy(last=100)
NOW_NS = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp()) * 10**9


def make(
    number: int,
    hour: int,
    *,
    partial: bool = False,
    parent: StoredSnapshot | None = None,
    start: str = "",
    host: str = "h",
    tags: tuple[str, ...] = (),
) -> StoredSnapshot:
    """Return a snapshot of an hour; `start` is that of its run."""
    time = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)).isoformat()
    snapshot = Snapshot(
        time=time,
        tree="0" * 64,
        hostname=host,
        paths=["/a"],
        parent=parent.id.hex() if parent is not None else None,
        tags=[*tags, *[PARTIAL_TAG] * partial],
        summary=Summary(backup_start=start or time),
    )
    return StoredSnapshot(number.to_bytes(32, "big"), snapshot)


def kept(
    *found: StoredSnapshot, policy: Policy = LAST, keep_partial: bool = False, grouping: GroupBy = BY_HOST_AND_PATHS
) -> set[int]:
    groups = decide(found, policy, grouping, keep_partial=keep_partial, now_ns=NOW_NS)
    decided = [one.stored for group in groups for one in group.decision.keep]
    decided += [one for group in groups for one in group.decision.remove]
    assert sorted(one.id for one in decided) == sorted(one.id for one in found)
    for group in groups:
        times = [kept.stored.snapshot.time_ns for kept in group.decision.keep]
        assert times == sorted(times, reverse=True)
    return {int.from_bytes(kept.stored.id, "big") for group in groups for kept in group.decision.keep}


def test_a_partial_one_goes_when_a_newer_complete_one_exists() -> None:
    assert kept(make(1, 1, partial=True), make(2, 2)) == {2}
    assert kept(make(1, 1, partial=True), make(2, 1)) == {2}
    assert kept(make(1, 1, partial=True), make(2, 2, host="other")) == {1, 2}


def test_the_last_of_each_run_stays_without_one() -> None:
    """A later run that continued one may have missed a file that moved meanwhile."""
    complete = make(1, 1)
    first = make(2, 2, partial=True, parent=complete)
    second = make(3, 3, partial=True, parent=first)
    assert kept(complete, first, second) == {1, 2, 3}
    assert kept(first, second) == {2, 3}


def test_a_complete_one_that_only_a_wrong_clock_made_newer_replaces_none() -> None:
    future = make(1, 24 * 365)
    first = make(2, 2, partial=True, parent=future)
    assert kept(future, first, make(3, 3, partial=True, parent=first)) == {1, 2, 3}
    before_the_clock_was_set = make(1, 5)
    assert kept(before_the_clock_was_set, make(2, 4, partial=True, parent=before_the_clock_was_set)) == {1, 2}


def test_groups_by_tags_are_different_backups() -> None:
    found = [make(1, 1, partial=True, tags=("all",)), make(2, 2, tags=("few",))]
    assert kept(*found, grouping=GroupBy(host=True, paths=True, tags=True)) == {1, 2}
    assert kept(*found, make(3, 3, tags=("all",)), grouping=GroupBy(host=True, tags=True)) == {2, 3}
    assert kept(*found) == {2}


def test_it_counts_for_no_rule() -> None:
    found = [make(1, 1), make(2, 2), make(3, 3, partial=True, parent=make(2, 2))]
    assert kept(*found, policy=Policy(last=1)) == {2, 3}
    assert kept(*found, policy=Policy(hourly=2)) == {1, 2, 3}


def test_one_that_the_newer_one_does_not_hold_stays() -> None:
    """As after --force, or from a run with another parent."""
    assert kept(make(1, 1, partial=True), make(2, 2, partial=True)) == {1, 2}


def test_those_of_one_run_replace_one_another() -> None:
    start = "2026-01-01T05:00:00Z"
    first, second = (make(number, number, partial=True, start=start) for number in (1, 2))
    assert kept(first, second) == {2}


def test_all_stay_if_one_says_so() -> None:
    found = [make(1, 1, partial=True, tags=("t",)), make(2, 2, tags=("t",))]
    assert kept(*found, keep_partial=True) == {1, 2}
    assert kept(*found, policy=Policy(tags=((PARTIAL_TAG,),), last=1)) == {1, 2}
    assert kept(*found, policy=Policy(tags=(("t",),))) == {2}


def test_a_policy_that_keeps_nothing_removes_them_too() -> None:
    assert kept(make(1, 1, partial=True), make(2, 2, partial=True), policy=Policy()) == set()


def test_a_partial_one_is_no_reason_to_remove_all_complete_ones() -> None:
    with pytest.raises(UsageError, match="refusing to delete last snapshot"):
        kept(make(1, 1), make(2, 2, partial=True), policy=Policy(tags=(("absent",),)))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(-1, 5)), max_size=8))
def test_complete_ones_are_decided_as_if_there_were_no_others(drawn: list[tuple[bool, int, int]]) -> None:
    found: list[StoredSnapshot] = []
    for number, (partial, hour, parent) in enumerate(drawn):
        found.append(make(number, hour, partial=partial, parent=found[parent] if 0 <= parent < len(found) else None))
    complete = [one for one in found if not one.snapshot.is_partial]
    partial_ids = {int.from_bytes(one.id, "big") for one in found if one.snapshot.is_partial}
    left = kept(*found, policy=Policy(last=2))
    assert left - partial_ids == kept(*complete, policy=Policy(last=2))
    better = {
        int.from_bytes(one.id, "big")
        for one in found
        if any(
            one.snapshot.time_ns <= other.snapshot.time_ns and one.snapshot.parent != other.id.hex()
            for other in complete
        )
    }
    assert not left & partial_ids & better
    if partial_ids - better:
        assert left & partial_ids
