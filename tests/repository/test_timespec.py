"""Moments on the command line."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.repository.timespec import parse_moment, parse_point, show_moment


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 1:00", 0),
        ("01.01.1970 01:00:00.5", 0.5),
        ("1970-01-01 00:00:00 UTC", 0),
        ("1970-01-01 00:00:00 -0130", 5400),
        ("2024-07-01 02:00:00 CEST", 1_719_792_000),
        ("2024-07-01", 1_719_784_800),
        ("2024-01-01", 1_704_063_600),
        ("Mon Jan 2 15:04:05 -0700 MST 2006", 1_136_239_445),
    ],
)
def test_a_moment_is_read_in_every_form(text: str, seconds: float) -> None:
    assert parse_moment(text) == seconds * 1_000_000_000


@pytest.mark.parametrize(
    "text", ["", "now", "2024-13-01", "2023-02-29", "2024-01-01 24:00", "2024-01-01T10:00:00Z", "2024-01-01 10:00 UTC"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="unable to parse time"):
        parse_moment(text)


NOON = 1_711_796_400 * 1_000_000_000
"""2024-03-30 12:00 in Berlin; in the night after it summer time begins."""


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2024-03-31", "2024-03-31 00:00:00", "2024-03-31 23:59:59"),
        ("30.03.2024", "2024-03-30 00:00:00", "2024-03-30 23:59:59"),
        ("today", "2024-03-30 00:00:00", "2024-03-30 23:59:59"),
        ("Yesterday", "2024-03-29 00:00:00", "2024-03-29 23:59:59"),
    ],
)
def test_a_day_has_a_begin_and_an_end(text: str, begin: str, end: str) -> None:
    first, last = parse_point(text, NOON, end=False), parse_point(text, NOON, end=True)
    assert (show_moment(first), show_moment(last)) == (begin, end)
    assert show_moment(last + 1).endswith("00:00:00")
    assert last - first + 1 == (23 if text == "2024-03-31" else 24) * 3600 * 1_000_000_000


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2024-03-30 12:00:00"),
        ("2024-03-29 14:30", "2024-03-29 14:30:00"),
        ("2024-03-29T14:30", "2024-03-29 14:30:00"),
        ("2024-03-29T14:30:15Z", "2024-03-29 15:30:15"),
        ("2024-03-29T14:30:15.5-02:00", "2024-03-29 17:30:15"),
        (" 3 days ago", "2024-03-27 12:00:00"),
        ("1d", "2024-03-29 12:00:00"),
        ("2w", "2024-03-16 12:00:00"),
        ("36 hours", "2024-03-29 00:00:00"),
        ("1 month ago", "2024-02-29 12:00:00"),
        ("13m", "2023-02-28 12:00:00"),
        ("4 years ago", "2020-03-30 12:00:00"),
    ],
)
def test_a_point_in_time_is_the_same_whichever_end_is_meant(text: str, moment: str) -> None:
    assert show_moment(parse_point(text, NOON, end=False)) == moment
    assert parse_point(text, NOON, end=False) == parse_point(text, NOON, end=True)


@pytest.mark.parametrize("text", ["", "ago", "3 days before", "99999y", "9999-12-31", "2024-02-30", "T", "1e3d", "-1d"])
def test_what_is_no_point_in_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_point(text, NOON, end=True)


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{1,5} ?[hdwmy]( ago)?|[0-9T:. -]{1,19}", fullmatch=True))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        begin, end = (parse_point(text, NOON, end=end) for end in (False, True))
    except UsageError:
        return
    assert begin <= end
