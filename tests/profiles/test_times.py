"""Durations, moments and windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import UsageError
from pyrestic.profiles.times import format_span, parse_moment, parse_span, parse_window

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@given(st.lists(st.tuples(st.integers(1, 99), st.sampled_from("smhdw")), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_span(text) == sum(number * SECONDS[unit] for number, unit in parts)


@given(st.integers(1, 10**9).map(lambda tenths: tenths / 10))
def test_a_duration_is_written_so_that_it_is_read_again(seconds: float) -> None:
    assert parse_span(format_span(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.5, "1.5s"), (5400.0, "1h30m"), (604_800.0, "7d"), (90_061.0, "1d1h1m1s")]
)
def test_how_a_duration_is_written(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


@pytest.mark.parametrize("text", ["", "5", "h", "-5m", "5 m", "0s", "1h30", "1y", "٣h", "1e9s", "nan", "off"])
def test_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("13:00", (None, 13, 0)), ("sat 03:05", (5, 3, 5)), ("Monday 0:00", (0, 0, 0)), ("sun 23:59", (6, 23, 59))],
)
def test_a_moment(text: str, moment: tuple[int | None, int, int]) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "24:00", "12:60", "noon", "sa 3:00", "sat", "3", "sat sun 3:00", "1:2", "٣:00"])
def test_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match="is not a moment"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("text", "minutes"), [("00:00-24:00", (0, 1440)), ("22:00-06:30", (1320, 390)), ("9:00-17:00", (540, 1020))]
)
def test_a_window(text: str, minutes: tuple[int, int]) -> None:
    assert parse_window(text) == minutes


@pytest.mark.parametrize("text", ["", "10:00", "10:00-", "24:00-06:00", "08:00-08:00", "08:00-25:00", "a-b"])
def test_no_window(text: str) -> None:
    with pytest.raises(UsageError, match="is not a window"):
        parse_window(text)
