"""Times as people say them: `yesterday 14:00`, `21:07`, `monday`, `last week`, `Nov 29`, `noon`.

The words are English whatever the locale. None means the future: a weekday, a date without a year, and a time of day
without a day mean the last one that has begun.
"""

import datetime as dt
import re
import time
from calendar import monthrange
from collections.abc import Callable
from typing import Final, NamedTuple

from pyrestic.errors import UsageError
from pyrestic.format.gojson import SECOND
from pyrestic.repository.local_time import first_of_day, last_of_day, local_date, moment_at
from pyrestic.repository.timespec import MONTHS

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LONG_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DAYS_BACK: Final = {"today": 0, "yesterday": 1}
_CLOCK_WORDS: Final = {"midnight": (0, 0, 0), "noon": (12, 0, 0)}
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?: ?(?P<half>[ap])\.?m\.?)?", re.ASCII)
_HOUR = re.compile(r"(?P<hour>\d{1,2}) ?(?P<half>[ap])\.?m\.?", re.ASCII)
_MONTH = "|".join(sorted({*MONTHS, *_LONG_MONTHS}, key=len, reverse=True))
_DATE = re.compile(
    rf"(?:(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?"
    rf"|(?P<day_first>\d{{1,2}})(?:st|nd|rd|th|\.)? (?P<month_last>{_MONTH})\.?)(?:,? (?P<year>\d{{4}}))?",
    re.ASCII,
)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_AGO = re.compile(
    r"(?P<number>\d{1,5}|an?|one) ?(?P<unit>min|minutes?|h|hours?|d|days?|w|weeks?|m|months?|y|years?)(?P<ago> ago)?",
    re.ASCII,
)
_LEAP_YEARS_APART: Final = 8


class _Days(NamedTuple):
    """The first and the last day of what was said."""

    first: dt.date
    last: dt.date


def parse_spoken(text: str, now_ns: int, *, end: bool) -> int | None:
    """Return nanoseconds since 1970 for what a person says, None if it is nothing of the kind.

    A day, a week, a month or a year means its end if `end`, otherwise its start. Raises UsageError for an age that
    leads before the year 1.
    """
    words = " ".join(text.lower().replace(" at ", " ").split())
    if words == "now":
        return now_ns
    ago = _AGO.fullmatch(words)
    if ago is not None:
        return _parse_ago(ago, now_ns)
    today = local_date(now_ns)
    days = _parse_days(words, today)
    if days is not None:
        return last_of_day(days.last) if end else first_of_day(days.first)
    return _parse_clock_and_day(words, today, now_ns)


def _parse_clock_and_day(words: str, today: dt.date, now_ns: int) -> int | None:
    """Return the time of a clock alone, or of a day and a clock in either order."""
    clock = _parse_clock(words)
    if clock is not None:
        moment = moment_at(today, *clock)
        return moment if moment <= now_ns else moment_at(today - dt.timedelta(days=1), *clock)
    for gap in (place.start() for place in re.finditer(" ", words)):
        for day_text, clock_text in ((words[:gap], words[gap + 1 :]), (words[gap + 1 :], words[:gap])):
            clock = _parse_clock(clock_text)
            day_text = day_text.removesuffix(",")
            days = None if clock is None else _parse_days(day_text, today)
            if clock is None or days is None or days.first != days.last:
                continue
            moment = moment_at(days.first, *clock)
            if moment > now_ns and _named_day(day_text, today) is None:
                # A weekday or a date without a year, later today: the one before is meant.
                days = _parse_days(day_text, today - dt.timedelta(days=1)) or days
                moment = moment_at(days.first, *clock)
            return moment
    return None


def _parse_clock(text: str) -> tuple[int, int, int] | None:
    if text in _CLOCK_WORDS:
        return _CLOCK_WORDS[text]
    match = _CLOCK.fullmatch(text) or _HOUR.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    if parts["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if parts["half"] == "p" else 0)
    return (hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def _parse_days(text: str, today: dt.date) -> _Days | None:
    for parse in _KINDS_OF_DAYS:
        try:
            found = parse(text, today)
        except (OverflowError, ValueError):
            return None
        if found is not None:
            return found
    return None


def _named_day(text: str, today: dt.date) -> _Days | None:
    back = _DAYS_BACK.get(text)
    if back is None and _ISO.fullmatch(text) is None:
        return None
    day = dt.date.fromisoformat(text) if back is None else today - dt.timedelta(days=back)
    return _Days(day, day)


def _weekday(text: str, today: dt.date) -> _Days | None:
    """Return the last such day: today if it is one, but not after the word "last"."""
    name = text.removeprefix("last ")
    found = [number for number, weekday in enumerate(WEEKDAYS) if name in (weekday, weekday[:3])]
    if not found:
        return None
    back = (today.weekday() - found[0]) % 7
    if back == 0 and name != text:
        back = 7
    day = today - dt.timedelta(days=back)
    return _Days(day, day)


def _calendar_period(text: str, today: dt.date) -> _Days | None:
    """Return the week from Monday on, the month or the year before this one; or this one up to today."""
    which, _, unit = text.partition(" ")
    starts = {
        "week": today - dt.timedelta(days=today.weekday()),
        "month": today.replace(day=1),
        "year": today.replace(month=1, day=1),
    }
    if which not in ("this", "last") or unit not in starts:
        return None
    start = starts[unit]
    if which == "this":
        return _Days(start, today)
    last = start - dt.timedelta(days=1)
    first = {"week": start - dt.timedelta(days=7), "month": last.replace(day=1), "year": last.replace(month=1, day=1)}
    return _Days(first[unit], last)


def _date_with_month(text: str, today: dt.date) -> _Days | None:
    """Return a date with the name of its month; without a year it is the last one that has begun."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    month = MONTHS.index((match["month"] or match["month_last"])[:3]) + 1
    number = int(match["day"] or match["day_first"])
    years = [int(match["year"])] if match["year"] else range(today.year, today.year - _LEAP_YEARS_APART - 1, -1)
    for year in years:
        if 1 <= number <= monthrange(year, month)[1]:
            day = dt.date(year, month, number)
            if match["year"] or day <= today:
                return _Days(day, day)
    return None


_KINDS_OF_DAYS: tuple[Callable[[str, dt.date], _Days | None], ...] = (
    _named_day,
    _weekday,
    _calendar_period,
    _date_with_month,
)


def _parse_ago(match: re.Match[str], now_ns: int) -> int | None:
    """Return the time of an age; from days on, the time of day stays the same."""
    unit = "min" if match["unit"].startswith("min") else match["unit"][0]
    if not match["number"].isdigit() and not match["ago"]:
        return None
    number = int(match["number"]) if match["number"].isdigit() else 1
    if unit in ("min", "h"):
        return now_ns - number * (60 if unit == "min" else 3600) * SECOND
    when = time.localtime(now_ns // SECOND)
    year, month = divmod(when.tm_year * 12 + when.tm_mon - 1 - number * {"m": 1, "y": 12}.get(unit, 0), 12)
    try:
        day = min(when.tm_mday, monthrange(year, month + 1)[1])
        date = dt.date(year, month + 1, day) - dt.timedelta(days=number * {"d": 1, "w": 7}.get(unit, 0))
        return moment_at(date, when.tm_hour, when.tm_min, when.tm_sec) + now_ns % SECOND
    except (OverflowError, ValueError):
        raise UsageError(f"{match[0]} is too long ago") from None
