"""What is told of a change of state, as a pure function."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.runner.messages import AGAIN_SECONDS, Message, begin, decide
from pyrestic.runner.records import BUDGET

HOUR = 3600.0
DEFAULT = ("failed", "overdue", "recovered")


@dataclass(frozen=True)
class Task:
    failures: int = 0
    error: str = ""
    good_ended: float | None = None
    waiting: str = ""


@dataclass(frozen=True)
class State:
    tasks: dict[str, Task] = field(default_factory=dict)


class Home:
    """A profile whose state changes, and what its owner is told meanwhile."""

    def __init__(self, on: tuple[str, ...] = DEFAULT) -> None:
        self.on = on
        self.now = 1_800_000_000.0
        self.state = State()
        self.told: dict[str, float] = {}
        self.overdue = False

    def look(self, hours: float = 0.0, **tasks: Task) -> list[Message]:
        """Let time pass and tasks change; return all messages."""
        self.now += hours * HOUR
        before, self.state = self.state, State({**self.state.tasks, **tasks})
        decision = decide("home", before, self.state, self.told, overdue=self.overdue, now=self.now, on=self.on)
        self.told = decision.told
        return list(decision.messages)

    def hear(self, hours: float = 0.0, **tasks: Task) -> list[str]:
        """The kinds of the messages that a person gets."""
        return [message.kind for message in self.look(hours, **tasks) if message.for_person]

    def good(self) -> Task:
        return Task(good_ended=self.now)

    def bad(self, failures: int) -> Task:
        earlier = self.state.tasks.get("backup", Task())
        return replace(earlier, failures=failures, error="the repository cannot be reached")


def test_a_good_backup_is_no_news_for_a_person_but_for_a_ping_url() -> None:
    home = Home()
    (message,) = home.look(backup=home.good())
    assert (message.kind, message.for_person, message.title) == ("success", False, "home: backup finished")
    assert home.look(1) == []


def test_the_first_failure_is_no_news_the_second_is() -> None:
    home = Home()
    home.look(backup=home.good())
    assert home.look(1, backup=home.bad(1)) == []
    (message,) = home.look(1, backup=home.bad(2))
    assert message.for_person
    assert message.title == "home: backup failed"
    assert message.text.startswith(
        "The repository cannot be reached. It failed 2 times in a row. It last succeeded at 2027-01-"
    )
    (again,) = home.look(1, backup=home.bad(3))
    assert (again.kind, again.for_person) == ("failed", False)


def test_a_failure_that_stays_is_told_once_a_day() -> None:
    home = Home()
    heard = [home.hear(1, backup=home.bad(number)) for number in range(1, 60)]
    assert [index for index, kinds in enumerate(heard) if kinds == ["failed"]] == [1, 25, 49]


def test_the_end_of_a_failure_is_told_only_if_the_failure_was() -> None:
    home = Home()
    assert home.hear(backup=home.bad(1)) == []
    assert home.hear(1, backup=home.good()) == []
    home.hear(1, backup=home.bad(1))
    assert home.hear(1, backup=home.bad(2)) == ["failed"]
    (message,) = home.look(1, backup=home.good())
    assert (message.kind, message.for_person) == ("recovered", True)
    assert home.hear(1, backup=home.good()) == []
    # The next failures are news again, however soon.
    home.hear(1, backup=home.bad(1))
    assert home.hear(1, backup=home.bad(2)) == ["failed"]


def test_tasks_fail_and_recover_one_by_one() -> None:
    home = Home()
    bad = Task(failures=2, error="pack 12 is damaged")
    assert home.hear(check=bad, backup=home.good()) == ["failed"]
    assert home.hear(1, backup=home.good()) == []
    (message,) = home.look(1, check=home.good())
    assert (message.kind, message.task) == ("recovered", "check")


def test_an_overdue_profile_is_told_once_a_day_and_why() -> None:
    home = Home()
    home.look(backup=home.good())
    home.look(72, backup=replace(home.state.tasks["backup"], waiting="on battery (41 %)"))
    home.overdue = True
    (message,) = home.look()
    assert message.title.startswith("home: no good backup since 2027-01-15 ")
    assert message.text == "It waits: On battery (41 %)."
    heard = [home.hear(1) for _ in range(50)]
    assert [index for index, kinds in enumerate(heard) if kinds == ["overdue"]] == [23, 47]
    home.overdue = False
    assert home.hear(1, backup=home.good()) == ["recovered"]


def test_a_profile_that_never_ran_is_overdue_too() -> None:
    home = Home()
    home.overdue = True
    (message,) = home.look()
    assert (message.kind, message.title, message.text) == ("overdue", "home: no good backup", "It has not run.")


def test_a_failing_backup_that_is_overdue_is_one_reminder_a_day() -> None:
    home = Home()
    home.look(backup=home.good())
    heard = []
    for number in range(1, 24 * 6):
        home.overdue = number >= 72
        heard.append(home.hear(1, backup=home.bad(number)))
    assert all(len(kinds) <= 1 for kinds in heard)
    assert [kind for kinds in heard for kind in kinds] == ["failed"] * 3 + ["overdue"] * 3
    (message,) = home.look(24)
    assert "cannot be reached" in message.text


def test_a_used_up_budget_is_told_once_until_a_backup_is_good_again() -> None:
    home = Home()
    home.look(backup=home.good())
    waiting = replace(home.state.tasks["backup"], waiting=BUDGET)
    (message,) = home.look(1, backup=waiting)
    assert (message.kind, message.for_person, message.title) == ("waiting", True, "home: backup waits for its budget")
    assert home.hear(24, backup=replace(waiting, waiting="on battery")) == []
    assert home.hear(24, backup=waiting) == []
    assert home.hear(24, backup=home.good()) == []
    assert home.hear(24, backup=replace(home.good(), waiting=BUDGET)) == ["waiting"]


def test_waiting_and_success_are_told_to_those_who_ask() -> None:
    home = Home(on=("success", "waiting"))
    assert home.hear(backup=home.good()) == ["success"]
    waiting = replace(home.good(), waiting="on battery")
    assert home.hear(backup=waiting) == ["waiting"]
    assert home.hear(1) == []
    assert home.hear(1, backup=replace(waiting, waiting="offline")) == ["waiting"]
    # Nobody was told of failures, so nobody is told that they ended.
    assert home.hear(1, backup=home.bad(2)) == []
    assert home.hear(1, backup=home.good()) == ["success"]


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    home = Home()
    assert home.hear(backup=home.bad(2)) == ["failed"]
    assert home.hear(-100, backup=home.bad(3)) == ["failed"]
    assert home.hear(1, backup=home.bad(4)) == []


def test_the_start_of_a_task_is_for_programs_alone() -> None:
    message = begin("home", "backup")
    assert (message.kind, message.for_person) == ("started", False)


@given(st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from(["good", "bad", "nothing"])), max_size=60))
def test_never_silent_for_more_than_a_day_and_never_twice_in_one(steps: list[tuple[float, str]]) -> None:
    home = Home()
    failures, last_good, told_failed, last_told = 0, home.now, False, -1e9
    for hours, what in steps:
        task = home.state.tasks.get("backup", Task())
        if what == "bad":
            failures += 1
            task = home.bad(failures)
        home.now += hours * HOUR
        if what == "good":
            failures, last_good = 0, home.now
            task = home.good()
        home.overdue = home.now - last_good > 48 * HOUR
        kinds = home.hear(0, backup=task)
        if failures >= 2 or home.overdue:
            assert kinds or home.now - last_told < AGAIN_SECONDS
        if what == "good":
            assert kinds == (["recovered"] if told_failed else [])
            told_failed = False
        elif kinds:
            told_failed, last_told = True, home.now


@pytest.mark.parametrize("error", ["", "  ", "a sentence.", "no sentence"])
def test_any_error_becomes_a_sentence(error: str) -> None:
    home = Home()
    (message,) = home.look(backup=Task(failures=2, error=error))
    assert message.text.split(" It failed")[0] in ("Unknown error.", "A sentence.", "No sentence.")
