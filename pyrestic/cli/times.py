"""Moments on the command line, read as restic reads them with the library of Go."""

import re
import time
from typing import Final

from pyrestic.errors import FormatError, UsageError
from pyrestic.format.gojson import SECOND, parse_time

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
_FORMS = [re.compile(date + rest, re.ASCII) for date in _DATES for rest in _TIMES]
_FORMS.append(re.compile(_LONG, re.ASCII | re.IGNORECASE))
_MAX_OFFSET_HOURS: Final = 24
_MAX_OFFSET_MINUTES: Final = 60


def parse_moment(text: str) -> int:
    """Return nanoseconds since 1970 for a date, with or without time of day and zone; raise UsageError.

    Without zone it is meant in that of this machine.
    """
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None:
            found = _moment(match.groupdict())
            if found is not None:
                return found
    raise UsageError(f'unable to parse time: "{text}"')


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
    return moment - (_local_offset(moment) if zone is None else _named_offset(zone)) * SECOND


def _local_offset(moment: int) -> int:
    """Return how far east of UTC the local zone is in seconds, for a local time that was read as if it were UTC."""
    seconds = moment // SECOND
    first = _offset_at(seconds)
    return _offset_at(seconds - first) if first else 0


def _offset_at(seconds: int) -> int:
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, OSError, ValueError):
        return 0


def _named_offset(zone: str) -> int:
    """Return the offset of a zone that the local one goes by in summer or winter; others count as UTC, as in Go."""
    if zone == "UTC":
        return 0
    offsets = (-time.timezone, -time.altzone)
    return next((offset for name, offset in zip(time.tzname, offsets, strict=True) if name == zone), 0)
