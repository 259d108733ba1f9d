"""Times as people write them: the formats that restic reads with Go's library, and some phrases.

Times without a zone use the local zone and its offset at that time.
"""

import datetime as dt
import functools
import re
import time
from calendar import monthrange
from typing import Final

from pyrestic.errors import FormatError, UsageError
from pyrestic.format.gojson import SECOND, parse_time
from pyrestic.golang import local_offset, named_offset

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)"
_SECONDS = r":(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"
_OFFSET = r"(?P<sign>[+-])(?P<offset_hours>\d\d)(?P<offset_minutes>\d\d)"
_ZONE = r"(?P<zone>UTC|ChST|MeST|GMT(?:[+-]\d{1,2})?|[A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3}|[+-]\d{1,2})"
_DATES = (r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)", r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{4})")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIMES = ("", f" {_CLOCK}", f" {_CLOCK}{_SECONDS}", f" {_CLOCK}{_SECONDS} {_OFFSET}", f" {_CLOCK}{_SECONDS} {_ZONE}")
_LONG = (
    rf"(?:mon|tue|wed|thu|fri|sat|sun) (?P<name>{'|'.join(_MONTHS)}) +(?P<day>\d{{1,2}}) {_CLOCK}{_SECONDS} {_OFFSET}"
    rf" {_ZONE.replace('(?P<zone>', '(?-i:')} (?P<year>\d{{4}})"
)
_AGO = r"(?P<number>\d{1,5})\s*(?P<unit>h|hours?|d|days?|w|weeks?|m|months?|y|years?)(?:\s+ago)?"
_SNAPSHOT_TIME = re.compile(r"\d{4}-\d\d-\d\d \d{1,2}:\d\d:\d\d(?:[.,]\d+)?", re.ASCII).fullmatch
_DAYS_BACK: Final = {"today": 0, "yesterday": 1}
_MAX_OFFSET_HOURS: Final = 24
_MAX_OFFSET_MINUTES: Final = 60


@functools.cache
def _forms() -> list[re.Pattern[str]]:
    """Return the patterns of all formats; they take milliseconds to compile and few commands need them."""
    forms = [re.compile(date + rest, re.ASCII) for date in _DATES for rest in _TIMES]
    return [*forms, re.compile(_LONG, re.ASCII | re.IGNORECASE)]


def parse_moment(text: str) -> int:
    """Return nanoseconds since 1970 for a date, with or without time of day and zone; raise UsageError."""
    for form in _forms():
        match = form.fullmatch(text)
        if match is not None:
            found = _moment(match.groupdict())
            if found is not None:
                return found
    raise UsageError(f'unable to parse time: "{text}"')


def parse_snapshot_time(text: str) -> int:
    """Return nanoseconds since 1970 for the local time of a snapshot; raise UsageError."""
    try:
        if _SNAPSHOT_TIME(text) is None:
            raise UsageError(f'cannot parse "{text}"')
        return parse_moment(text)
    except UsageError as error:
        raise UsageError(f'error in time option: parsing time "{text}" as "2006-01-02 15:04:05": {error}') from error


def parse_point(text: str, now_ns: int, *, end: bool) -> int:
    """Return nanoseconds since 1970 for a time, a day, or an age; raise UsageError.

    In addition to the formats of `parse_moment`: RFC 3339 with or without seconds and zone, `today`, `yesterday`,
    `now`, and a number of hours, days, weeks, months or years before `now_ns`, such as `3 days ago` or `2w`. A day
    means its end if `end`, otherwise its start.
    """
    word = text.strip()
    if word.lower() == "now":
        return now_ns
    ago = re.fullmatch(_AGO, word, re.ASCII | re.IGNORECASE)
    if ago is not None:
        return _ago(int(ago["number"]), ago["unit"][0].lower(), now_ns)
    back = _DAYS_BACK.get(word.lower())
    if back is not None:
        date = _local_date(now_ns) - dt.timedelta(days=back)
        return _edge(date, end=end)
    moment = _parse_iso(word)
    if moment is None:
        moment = parse_moment(word)
    is_day = any(re.fullmatch(day, word, re.ASCII) for day in _DATES)
    return _edge(_local_date(moment), end=end) if is_day else moment


def show_moment(moment: int) -> str:
    """Return a time (nanoseconds since 1970) in the local zone, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment // SECOND))


def _parse_iso(text: str) -> int | None:
    """Return a time in RFC 3339, possibly without seconds and zone; None for anything else."""
    date, separator, clock = text.partition("T")
    if not separator:
        return None
    try:
        return parse_time(text)
    except FormatError:
        pass
    try:
        return parse_moment(f"{date} {clock}")
    except UsageError:
        return None


def _local_date(moment: int) -> dt.date:
    when = time.localtime(moment // SECOND)
    return dt.date(when.tm_year, when.tm_mon, when.tm_mday)


def _edge(date: dt.date, *, end: bool) -> int:
    """Return the first or the last nanosecond of a local day."""
    try:
        if not end:
            return parse_moment(date.isoformat())
        return parse_moment((date + dt.timedelta(days=1)).isoformat()) - 1
    except OverflowError:
        raise UsageError(f'unable to parse time: "{date.isoformat()}"') from None


def _ago(number: int, unit: str, now_ns: int) -> int:
    """Return the time of an age; except for hours, the time of day stays the same."""
    if unit == "h":
        return now_ns - number * 3600 * SECOND
    when = time.localtime(now_ns // SECOND)
    months = number * {"m": 1, "y": 12}.get(unit, 0)
    year, month = divmod(when.tm_year * 12 + when.tm_mon - 1 - months, 12)
    try:
        day = min(when.tm_mday, monthrange(year, month + 1)[1])
        date = dt.date(year, month + 1, day) - dt.timedelta(days=number * {"d": 1, "w": 7}.get(unit, 0))
        return parse_moment(f"{date.isoformat()} {time.strftime('%H:%M:%S', when)}") + now_ns % SECOND
    except (OverflowError, ValueError):
        raise UsageError(f"{number}{unit} ago is too long ago") from None


def _moment(parts: dict[str, str | None]) -> int | None:
    name = parts.get("name")
    month = _MONTHS.index(name.lower()) + 1 if name else int(parts["month"] or 0)
    date = f"{parts['year']}-{month:02}-{int(parts['day'] or 0):02}"
    clock = f"{int(parts.get('hour') or 0):02}:{parts.get('minute') or '00'}:{parts.get('second') or '00'}"
    fraction = parts.get("fraction")
    try:
        moment = parse_time(f"{date}T{clock}{'.' + fraction if fraction else ''}Z")
    except FormatError:
        return None
    if parts.get("sign"):
        hours, minutes = int(parts["offset_hours"] or 0), int(parts["offset_minutes"] or 0)
        if hours > _MAX_OFFSET_HOURS or minutes > _MAX_OFFSET_MINUTES:
            return None
        offset = (hours * 60 + minutes) * 60
        return moment - (offset if parts["sign"] == "+" else -offset) * SECOND
    zone = parts.get("zone")
    wall = moment // SECOND
    return moment - (local_offset(wall) if zone is None else named_offset(zone, wall)) * SECOND
