"""When a task is due, and in which order tasks run."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrestic.profiles.profile import TASK_NAMES, DayTime, Profile, Task
from pyrestic.runner.due import DueTask, Round, find_due, find_next, find_overdue
from pyrestic.runner.records import ProfileRecord, TaskRecord
from pyrestic.runner.results import TaskResult, begin, conclude
from tests.support.profiles import DAY, HOUR, make_profile, make_task
from tests.support.zone import use_zone

NOON = 1_780_000_000.0
BACKUP = make_task("backup")
MINUTE = 60.0
TICK = 10 * MINUTE


def test_a_task_that_never_ran_is_due() -> None:
    assert find_due(BACKUP, TaskRecord(), NOON) == 0


def test_a_task_is_due_again_so_long_after_the_start_of_the_last_good_run() -> None:
    record = TaskRecord(started=NOON, ended=NOON + 600, good_started=NOON, good_ended=NOON + 600)
    assert find_due(BACKUP, record, NOON + 700) == NOON + HOUR


def test_a_start_in_the_future_counts_as_none() -> None:
    record = TaskRecord(started=NOON + DAY, ended=NOON + DAY, good_started=NOON + DAY, good_ended=NOON + DAY)
    assert find_due(BACKUP, record, NOON) == 0


def test_a_task_without_rhythm_is_never_due() -> None:
    assert find_due(make_task("drill", None), TaskRecord(), NOON) is None


@pytest.mark.parametrize(("failures", "wait"), [(1, 5), (2, 15), (3, 60), (4, 60), (50, 60)])
def test_a_task_that_failed_waits_longer_each_time(failures: int, wait: int) -> None:
    daily = make_task("backup", DAY)
    record = TaskRecord(started=NOON - 100, ended=NOON, failures=failures)
    assert find_due(daily, record, NOON) == NOON + wait * MINUTE


def test_a_retry_does_not_wait_longer_than_the_rhythm() -> None:
    record = TaskRecord(started=NOON - 100, ended=NOON, failures=9)
    assert find_due(make_task("backup", 10 * MINUTE), record, NOON) == NOON + 10 * MINUTE


def test_a_failure_does_not_make_a_task_due_before_its_time() -> None:
    record = TaskRecord(started=NOON, ended=NOON, failures=1, good_started=NOON - MINUTE, good_ended=NOON)
    assert find_due(BACKUP, record, NOON) == NOON - MINUTE + HOUR


def test_a_run_that_was_killed_counts_as_a_failure() -> None:
    record = TaskRecord(started=NOON)
    assert find_due(BACKUP, record, NOON + 1) == NOON + 5 * MINUTE
    begin(record, NOON + 5 * MINUTE)
    assert record.failures == 1
    assert find_due(BACKUP, record, NOON + 5 * MINUTE) == NOON + 5 * MINUTE + 15 * MINUTE


def test_a_partial_backup_goes_on_soon_and_is_no_good_one() -> None:
    profile = ProfileRecord(first_seen=NOON)
    begin(profile.tasks.setdefault("backup", TaskRecord()), NOON)
    conclude(profile, "backup", TaskResult("partial", 3, reason="on battery"), NOON + 100)
    record = profile.find("backup")
    assert (record.good_started, record.failures, record.waiting) == (None, 0, "on battery")
    assert find_due(BACKUP, record, NOON + 100) == NOON + 100 + 5 * MINUTE


def test_a_failure_in_the_future_does_not_delay_a_task() -> None:
    assert find_due(BACKUP, TaskRecord(started=NOON + DAY, ended=NOON + DAY, failures=4), NOON) == 0


def local(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("after", "following"),
    [
        ("2026-06-01 12:59:59", "2026-06-01 13:00:00"),
        ("2026-06-01 13:00:00", "2026-06-02 13:00:00"),
        ("2026-06-05 13:00:01", "2026-06-06 03:00:00"),
        ("2026-06-06 03:00:00", "2026-06-06 13:00:00"),
        # The clocks skip 02:30 on this day.
        ("2026-03-28 13:30:00", "2026-03-29 13:00:00"),
    ],
)
@pytest.mark.usefixtures("zone_again")
def test_the_next_moment_is_in_local_time(after: str, following: str) -> None:
    use_zone("Europe/Berlin")
    moments = [DayTime(None, 13, 0), DayTime(5, 3, 0)]
    assert find_next(moments, local(after)) == local(following)


@pytest.mark.usefixtures("zone_again")
def test_a_moment_that_the_clocks_skip_comes_once() -> None:
    use_zone("Europe/Berlin")
    daily = [DayTime(None, 2, 30)]
    first = find_next(daily, local("2026-03-28 12:00"))
    assert first == local("2026-03-29 03:30")
    assert find_next(daily, first) == local("2026-03-30 02:30")


@given(st.floats(0, 4e9), st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(0, 23), st.integers(0, 59))))
def test_the_next_moment_is_at_most_a_week_away(after: float, moments: list[tuple[int | None, int, int]]) -> None:
    found = find_next([DayTime(0, 0, 0), *(DayTime(*one) for one in moments)], after)
    assert after < found <= after + 7 * DAY + 2 * HOUR


def test_backups_are_overdue_so_long_after_the_last_good_one() -> None:
    profile = make_profile("home", overdue_seconds=DAY)
    record = ProfileRecord(first_seen=NOON)
    assert find_overdue(profile, record) == NOON + DAY
    record.tasks["backup"] = TaskRecord(good_started=NOON + HOUR)
    assert find_overdue(profile, record) == NOON + HOUR + DAY
    assert find_overdue(make_profile("home", overdue_seconds=None), record) is None


def order(profiles: list[Profile], is_ready: Callable[[DueTask], bool], most: int = 100) -> list[str]:
    round_ = Round(profiles)
    chosen = (round_.choose(is_ready) for _ in range(most))
    return [f"{one.profile.name} {one.task.name}" for one in chosen if one is not None]


def test_all_backups_come_first_and_then_task_after_task() -> None:
    two = [make_profile(name, *(make_task(task) for task in reversed(TASK_NAMES))) for name in ("home", "disk")]
    ran: set[tuple[str, str]] = set()

    def is_new(choice: DueTask) -> bool:
        key = choice.profile.name, choice.task.name
        return key not in ran and not ran.add(key)  # type: ignore[func-returns-value]

    assert order(two, is_new) == [f"{profile} {task}" for task in TASK_NAMES for profile in ("home", "disk")]


def test_a_backup_that_is_due_in_the_meantime_goes_first_and_lets_every_other_task_have_its_turn() -> None:
    profile = make_profile("home", *(make_task(task) for task in TASK_NAMES))
    expected = ["backup", "forget", "backup", "prune", "backup", "check", "backup", "drill", "backup"]
    assert order([profile], lambda _: True) == [f"home {task}" for task in expected]


@dataclass
class Simulation:
    """A machine over time: ticks, conditions that come and go, runs that fail."""

    task: Task
    blocked: list[tuple[float, float]]
    asleep: list[tuple[float, float]]
    failing: list[tuple[float, float]]
    run_seconds: float
    record: ProfileRecord = field(default_factory=lambda: ProfileRecord(first_seen=NOON))
    starts: list[float] = field(default_factory=list)
    good: list[float] = field(default_factory=list)

    def run(self, days: float) -> None:
        now, end = NOON, NOON + days * DAY
        while now < end:
            asleep = covering(self.asleep, now)
            if asleep is not None:
                now = tick_after(asleep)
                continue
            due = find_due(self.task, self.record.find("backup"), now)
            assert due is not None
            if due > now:
                now = tick_after(due)
                continue
            blocked = covering(self.blocked, now)
            if blocked is not None:
                now = tick_after(blocked)
                continue
            self._start(now)
            now = tick_after(now + self.run_seconds)

    def _start(self, now: float) -> None:
        # Never silent: after a day without a good start, the profile is overdue.
        limit = find_overdue(make_profile("home", self.task, overdue_seconds=DAY), self.record)
        assert limit == (self.good[-1] if self.good else NOON) + DAY
        self.starts.append(now)
        begin(self.record.tasks.setdefault("backup", TaskRecord()), now)
        fails = covering(self.failing, now) is not None
        result = TaskResult("failed", 1, "no answer") if fails else TaskResult("success")
        conclude(self.record, "backup", result, now + self.run_seconds)
        if not fails:
            self.good.append(now)


def covering(spans: list[tuple[float, float]], now: float) -> float | None:
    """Return the end of the spans that contain this time, None if none does."""
    ends = [end for begin, end in spans if begin <= now < end]
    return max(ends) if ends else None


def tick_after(time: float) -> float:
    return NOON + math.ceil((time - NOON) / TICK) * TICK


spans = st.lists(
    st.tuples(st.floats(0, 365), st.floats(0.01, 12)).map(lambda one: (NOON + one[0] * DAY, NOON + sum(one) * DAY)),
    max_size=20,
)


def check_year(task: Task, simulation: Simulation, every: float) -> None:
    simulation.run(365)
    good, hindered = simulation.good, [*simulation.blocked, *simulation.asleep]
    # Never two good runs within `every`.
    assert all(after - before >= every for before, after in itertools.pairwise(good))
    # Never starved: between two starts there was a hindrance, or no more time than rhythm, retry and tick ask for.
    slack = 2 * TICK + simulation.run_seconds + HOUR
    for before, after in itertools.pairwise(simulation.starts):
        covered = sum(max(0.0, min(end, after) - max(begin, before)) for begin, end in hindered)
        assert after - before <= every + slack + covered
    # One catch-up: whatever was missed, one run makes up for it.
    for _, end in hindered:
        assert sum(end <= start < end + every for start in good) <= 1


@given(spans, spans, spans, st.sampled_from([HOUR, 3 * HOUR, DAY, 7 * DAY]), st.floats(1, 3 * HOUR))
@settings(max_examples=10)
@pytest.mark.slow
def test_a_year_keeps_the_rhythm(
    blocked: list[tuple[float, float]],
    asleep: list[tuple[float, float]],
    failing: list[tuple[float, float]],
    every: float,
    run_seconds: float,
) -> None:
    task = make_task("backup", every)
    check_year(task, Simulation(task, blocked, asleep, failing, run_seconds), every)


@given(spans, spans, spans, st.sampled_from([HOUR, 3 * HOUR, DAY, 7 * DAY]), st.floats(1, 3 * HOUR))
@settings(max_examples=300)
@pytest.mark.nightly
def test_many_years_keep_the_rhythm(
    blocked: list[tuple[float, float]],
    asleep: list[tuple[float, float]],
    failing: list[tuple[float, float]],
    every: float,
    run_seconds: float,
) -> None:
    task = make_task("backup", every)
    check_year(task, Simulation(task, blocked, asleep, failing, run_seconds), every)
