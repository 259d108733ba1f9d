"""Times as people write them: the formats that restic reads with Go's library, and some phrases.

Times without a zone use the local zone and its offset at that time.
"""

import functools
import re
import time
from typing import Final

from pyrestic.errors import FormatError, UsageError
from pyrestic.format.gojson import SECOND, parse_time
from pyrestic.golang import local_offset, named_offset
from pyrestic.repository.local_time import first_of_day, last_of_day, local_date

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)"
_SECONDS = r":(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"
_OFFSET = r"(?P<sign>[+-])(?P<offset_hours>\d\d)(?P<offset_minutes>\d\d)"
_ZONE = r"(?P<zone>UTC|ChST|MeST|GMT(?:[+-]\d{1,2})?|[A-Z]{4}T|[A-Z]{3}T|WITA|[A-Z]{3}|[+-]\d{1,2})"
_DATES = (r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)", r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{4})")
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIMES = ("", f" {_CLOCK}", f" {_CLOCK}{_SECONDS}", f" {_CLOCK}{_SECONDS} {_OFFSET}", f" {_CLOCK}{_SECONDS} {_ZONE}")
_LONG = (
    rf"(?:mon|tue|wed|thu|fri|sat|sun) (?P<name>{'|'.join(MONTHS)}) +(?P<day>\d{{1,2}}) {_CLOCK}{_SECONDS} {_OFFSET}"
    rf" {_ZONE.replace('(?P<zone>', '(?-i:')} (?P<year>\d{{4}})"
)
_SNAPSHOT_TIME = re.compile(r"\d{4}-\d\d-\d\d \d{1,2}:\d\d:\d\d(?:[.,]\d+)?", re.ASCII).fullmatch
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

    In addition to the formats of `parse_moment`: RFC 3339 with or without seconds and zone, and what `parse_spoken`
    reads. A day means its end if `end`, otherwise its start.
    """
    # Few commands need it, and its patterns take milliseconds to compile.
    from pyrestic.repository.spoken_time import parse_spoken

    word = text.strip()
    spoken = parse_spoken(word, now_ns, end=end)
    if spoken is not None:
        return spoken
    moment = _parse_iso(word)
    if moment is None:
        moment = parse_moment(word)
    if not any(re.fullmatch(day, word, re.ASCII) for day in _DATES):
        return moment
    day = local_date(moment)
    return last_of_day(day) if end else first_of_day(day)


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


def _moment(parts: dict[str, str | None]) -> int | None:
    name = parts.get("name")
    month = MONTHS.index(name.lower()) + 1 if name else int(parts["month"] or 0)
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
