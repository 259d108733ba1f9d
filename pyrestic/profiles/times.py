"""Durations, moments and windows, as profiles write them."""

import re

from pyrestic.errors import UsageError
from pyrestic.units import plain_number

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([smhdw])")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MINUTES_PER_DAY = 24 * 60


def parse_span(text: str) -> float:
    """Return the seconds in a duration such as 30m, 1h30m, 7d or 2w; raise UsageError unless it is more than 0."""
    parts = _PART.findall(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise UsageError(f"{text!r} is not a duration such as 30m, 1h30m or 7d")
    return seconds


def parse_moment(text: str) -> tuple[int | None, int, int]:
    """Return weekday, hour and minute of a moment such as 13:00 or sat 03:00; raise UsageError."""
    day, _, clock = text.rpartition(" ")
    number = _find_weekday(day)
    minutes = _parse_clock(clock)
    if (day and number is None) or minutes is None or minutes >= MINUTES_PER_DAY:
        raise UsageError(f"{text!r} is not a moment such as 13:00 or sat 03:00")
    return number, *divmod(minutes, 60)


def parse_window(text: str) -> tuple[int, int]:
    """Return the minutes of the day at which a window such as 22:00-06:00 begins and ends; raise UsageError."""
    first, _, last = text.partition("-")
    begin, end = _parse_clock(first), _parse_clock(last)
    if begin is None or end is None or begin == end or begin >= MINUTES_PER_DAY:
        raise UsageError(f"{text!r} is not a window such as 22:00-06:00")
    return begin, end


def _find_weekday(text: str) -> int | None:
    folded = text.lower()
    return next((number for number, name in enumerate(_WEEKDAYS) if folded in (name, name[:3])), None)


def _parse_clock(text: str) -> int | None:
    """Return the minutes of a time up to 24:00, None for another text."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, minute = int(match[1]), int(match[2])
    return hour * 60 + minute if minute < 60 and (hour < 24 or (hour, minute) == (24, 0)) else None


def format_span(seconds: float) -> str:
    """Return a duration as profiles write it, such as 1h30m."""
    rest, parts = seconds, []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _SECONDS[unit])
        parts += [f"{count:.0f}{unit}"] if count else []
    parts += [f"{plain_number(round(rest, 6))}s"] if rest or not parts else []
    return "".join(parts)
