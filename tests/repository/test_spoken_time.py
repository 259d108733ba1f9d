"""Times as people say them."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.repository.spoken_time import WEEKDAYS, parse_spoken
from pyrestic.repository.timespec import MONTHS, parse_moment, parse_point, show_moment


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def now() -> int:
    """Return noon of a Saturday."""
    return parse_moment("2024-03-30 12:00:00")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("yesterday 14:00", "2024-03-29 14:00:00"),
        ("14:00 yesterday", "2024-03-29 14:00:00"),
        ("yesterday at 14:00:59", "2024-03-29 14:00:59"),
        ("Yesterday  NOON", "2024-03-29 12:00:00"),
        ("11:59", "2024-03-30 11:59:00"),
        ("12:00", "2024-03-30 12:00:00"),
        ("21:07", "2024-03-29 21:07:00"),
        ("noon", "2024-03-30 12:00:00"),
        ("midnight", "2024-03-30 00:00:00"),
        ("2pm", "2024-03-29 14:00:00"),
        ("12 am", "2024-03-30 00:00:00"),
        ("12:30 p.m.", "2024-03-29 12:30:00"),
        ("monday 9:30", "2024-03-25 09:30:00"),
        ("saturday 11:59", "2024-03-30 11:59:00"),
        ("saturday 18:00", "2024-03-23 18:00:00"),
        ("mar 30 18:00", "2023-03-30 18:00:00"),
        ("mar 30, 2024 18:00", "2024-03-30 18:00:00"),
        ("Nov 29 18:00", "2023-11-29 18:00:00"),
        ("march 30, 2024 8am", "2024-03-30 08:00:00"),
        ("2024-03-01 noon", "2024-03-01 12:00:00"),
        ("30 min ago", "2024-03-30 11:30:00"),
        ("90 minutes", "2024-03-30 10:30:00"),
        ("an hour ago", "2024-03-30 11:00:00"),
        ("a week ago", "2024-03-23 12:00:00"),
    ],
)
def test_a_time_of_day_is_one_moment(text: str, moment: str) -> None:
    assert {show_moment(parse_point(text, now(), end=end)) for end in (False, True)} == {moment}


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("saturday", "2024-03-30", "2024-03-30"),
        ("last saturday", "2024-03-23", "2024-03-23"),
        ("sun", "2024-03-24", "2024-03-24"),
        ("last sunday", "2024-03-24", "2024-03-24"),
        ("Monday", "2024-03-25", "2024-03-25"),
        ("last week", "2024-03-18", "2024-03-24"),
        ("this week", "2024-03-25", "2024-03-30"),
        ("last month", "2024-02-01", "2024-02-29"),
        ("last year", "2023-01-01", "2023-12-31"),
        ("Nov 29", "2023-11-29", "2023-11-29"),
        ("30 march", "2024-03-30", "2024-03-30"),
        ("March 31st", "2023-03-31", "2023-03-31"),
        ("29. Feb", "2024-02-29", "2024-02-29"),
        ("sept 1", "", ""),
        ("feb 29 2023", "", ""),
        ("feb 29, 2020", "2020-02-29", "2020-02-29"),
    ],
)
def test_a_day_or_more_has_a_start_and_an_end(text: str, first: str, last: str) -> None:
    found = [parse_spoken(text, now(), end=end) for end in (False, True)]
    shown = [None if one is None else show_moment(one) for one in found]
    assert shown == ([f"{first} 00:00:00", f"{last} 23:59:59"] if first else [None, None])


@pytest.mark.parametrize(
    "text",
    [
        *("", "at", "tomorrow", "next week", "week", "last", "last day", "25:00", "12:60", "13pm", "0 am", "noon noon"),
        *("last week 14:00", "monday tuesday", "nov", "nov 31", "29", "a hour", "@noon", "14", "14:00 14:00", "this"),
    ],
)
def test_anything_else_is_not_understood(text: str) -> None:
    assert parse_spoken(text, now(), end=True) is None


def test_the_locale_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert show_moment(parse_point("last friday noon", now(), end=True)) == "2024-03-29 12:00:00"


MISSING = {f"{month} 31" for month in ("feb", "apr", "jun", "sep", "nov")}
SAID = [
    *(*WEEKDAYS, "today", "yesterday", "this week", "last week", "last month", "last year"),
    *("12:00", "23:59", "3 am", "midnight", "noon", "yesterday noon", "last monday 23:59"),
    *(f"{month} {day}" for month in MONTHS for day in (1, 15, 31)),
]


@given(st.integers(315_532_800, 2_145_916_800), st.sampled_from(SAID))
def test_nothing_that_is_said_starts_in_the_future(seconds: int, text: str) -> None:
    now_ns = seconds * 1_000_000_000
    start = parse_spoken(text, now_ns, end=False)
    assert (start is None) == (text in MISSING)
    assert start is None or start <= now_ns


@given(st.text(st.sampled_from("0123456789:-., apmnodyestriwkuvghl"), max_size=20))
def test_any_text_is_understood_or_not(text: str) -> None:
    try:
        first, last = (parse_spoken(text, now(), end=end) for end in (False, True))
    except UsageError:
        return
    assert (first is None) == (last is None)
    assert first is None or last is None or first <= last
