"""Retention by itself: properties that hold for any snapshots and any policy, and the words for policies."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.format.snapshot import Snapshot
from pyrestic.operations.retention import (
    ALL,
    Decision,
    GroupBy,
    Period,
    Policy,
    apply,
    group_snapshots,
    parse_period,
    zone_offset,
)
from pyrestic.repository.snapshots import StoredSnapshot, has_tags

NOW_NS = int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000

moments = st.builds(
    lambda second, minutes: datetime.fromtimestamp(second, timezone(timedelta(minutes=minutes))),
    st.integers(1_420_000_000, 1_767_000_000),
    st.integers(-12 * 60, 14 * 60),
)
tag_lists = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)
counts = st.integers(-1, 12)
periods = st.builds(Period, st.integers(0, 3), st.integers(0, 14), st.integers(0, 40), st.integers(0, 50))
policies = st.builds(
    Policy,
    *[counts] * 6,
    *[periods] * 6,
    st.lists(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1).map(tuple), max_size=3).map(tuple),
)


@st.composite
def snapshot_lists(draw: Callable[[st.SearchStrategy[object]], object]) -> list[StoredSnapshot]:
    found = []
    drawn = draw(st.lists(st.tuples(moments, tag_lists, st.sampled_from("xy")), max_size=40))
    assert isinstance(drawn, list)
    for number, (moment, tags, host) in enumerate(drawn):
        snapshot = Snapshot(time=moment.isoformat(), tree="0" * 64, tags=tags, hostname=host, paths=["/"])
        found.append(StoredSnapshot(number.to_bytes(32, "big"), snapshot))
    return found


def decide(policy: Policy, found: list[StoredSnapshot]) -> Decision:
    return apply(policy, found, now_ns=NOW_NS, local_offset=lambda _: 0)


@given(policies, snapshot_lists())
def test_every_snapshot_is_either_kept_for_a_reason_or_removed(policy: Policy, found: list[StoredSnapshot]) -> None:
    decision = decide(policy, found)
    kept = [one.stored.id for one in decision.keep]
    removed = [stored.id for stored in decision.remove]
    assert sorted(kept + removed) == sorted(stored.id for stored in found)
    assert all(one.matches for one in decision.keep)
    for listed in ([one.stored for one in decision.keep], decision.remove):
        times = [stored.snapshot.time_ns for stored in listed]
        assert times == sorted(times, reverse=True)


@given(policies, snapshot_lists())
def test_applying_a_policy_again_to_what_it_kept_removes_nothing_by_count(
    policy: Policy, found: list[StoredSnapshot]
) -> None:
    counted = Policy(policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly)
    kept = [one.stored for one in decide(counted, found).keep]
    assert decide(counted, kept).remove == []


@given(snapshot_lists())
def test_counting_the_last_keeps_the_newest(found: list[StoredSnapshot]) -> None:
    decision = decide(Policy(last=3), found)
    assert len(decision.keep) == min(3, len(found))
    newest = sorted((stored.snapshot.time_ns for stored in found), reverse=True)[:3]
    assert [one.stored.snapshot.time_ns for one in decision.keep] == newest
    assert [one.counters.last for one in decision.keep] == [2, 1, 0][: len(found)]


@given(snapshot_lists(), st.sampled_from([("daily", "%Y-%m-%d"), ("monthly", "%Y-%m"), ("weekly", "%G-%V")]))
def test_units_are_those_of_the_snapshots_own_calendar(found: list[StoredSnapshot], unit: tuple[str, str]) -> None:
    name, form = unit
    wanted: dict[str, Any] = {name: ALL}
    decision = decide(Policy(**wanted), found)
    shown = [
        datetime.fromisoformat(stored.snapshot.time).strftime(form)
        for stored in sorted(found, key=lambda stored: stored.snapshot.time_ns, reverse=True)
    ]
    changes = sum(one != other for one, other in zip(shown, [None, *shown], strict=False))
    oldest = [one for one in decision.keep if one.matches == [f"oldest {name} snapshot"]]
    assert len(decision.keep) == changes + len(oldest)
    assert len(oldest) <= 1


@given(snapshot_lists(), st.booleans(), st.booleans(), st.booleans())
def test_groups_share_their_key_and_lose_nothing(
    found: list[StoredSnapshot], host: bool, paths: bool, tags: bool
) -> None:
    groups = group_snapshots(found, GroupBy(host, paths, tags))
    assert sorted(stored.id for _, group in groups for stored in group) == sorted(stored.id for stored in found)
    for key, group in groups:
        assert all(not host or stored.snapshot.hostname == key.hostname for stored in group)
        assert all(not tags or tuple(stored.snapshot.tags) == (key.tags or ()) for stored in group)
    assert len({key for key, _ in groups}) == len(groups)


@given(periods)
def test_a_period_is_read_as_it_is_written(period: Period) -> None:
    assert parse_period(str(period)) == period


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "no unit found after number 5"),
        ("-7", "no unit found after number -7"),
        ("h", "no number found"),
        ("3w", "invalid unit 'w' found after number 3"),
        ("1d x", "no number found"),
        ("9" * 5000 + "y", "value out of range"),
    ],
)
def test_what_is_no_period_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_period(text)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (Policy(), "remove"),
        (Policy(last=1, daily=ALL), "keep 1 latest, all daily snapshots"),
        (Policy(within=Period(1, 2, 3, 4)), "keep all snapshots within 1y2m3d4h of the newest"),
        (
            Policy(hourly=2, within_weekly=Period(months=1), tags=(("a", "b"), ("c",)), within=Period(days=1)),
            "keep 2 hourly snapshots, weekly snapshots within 1m and all snapshots with tags [[a, b] [c]]"
            " and all snapshots within 1d of the newest",
        ),
        (Policy(tags=(("",),)), "keep all snapshots with tags [[]]"),
    ],
)
def test_a_policy_says_what_it_keeps(policy: Policy, text: str) -> None:
    assert str(policy) == text
    assert policy.empty == (text == "remove")


def test_an_empty_tag_asks_for_none_where_it_is_met_first() -> None:
    assert has_tags([], ("",))
    assert has_tags([], ("", "a"))
    assert not has_tags([], ("a", ""))
    assert not has_tags(["a"], ("",))
    assert has_tags(["b", "a"], ("a", "b"))


def test_zones_are_read_in_both_directions() -> None:
    assert zone_offset("2024-01-01T00:00:00.5Z") == 0
    assert zone_offset("2024-01-01T00:00:00+05:45") == 20_700
    assert zone_offset("2024-01-01T00:00:00-03:30") == -12_600
