"""Formats times by a Go layout: a sample that shows how "Mon Jan 2 15:04:05 -0700 MST 2006" looks."""

import re
from datetime import datetime, timedelta, timezone

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_moment = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
).fullmatch
# Longer samples first, as in Go. "Jan" and "Mon" are samples only if no lower-case letter follows.
_sample = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|_2006|__2|_2|002|01|02|03|04|05|06|1(?!5)|15|2|3|4|5|PM|pm"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07|[.,]0+(?!\d)|[.,]9+(?!\d)"
)


def format_layout(layout: str, time: str, local_name: str = "") -> str:
    """Return a time (RFC 3339, from the repository) in a layout.

    `local_name` replaces MST if the zone has a name; without one, the offset does, as in Go.
    """
    match = _moment(time)
    if match is None:
        return time
    minutes = int(match[9]) * 60 + int(match[10]) if match[8] else 0
    offset = -minutes if match[8] == "-" else minutes
    # Only Go has year 0.
    year = int(match[1])
    month, day, hour, minute, second = (int(match[group]) for group in (2, 3, 4, 5, 6))
    zone = timezone(timedelta(minutes=offset))
    try:
        when = datetime(max(year, 1), month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return time
    fraction = (match[7] or "").ljust(9, "0")
    is_utc = match[8] is None

    def write(found: re.Match[str]) -> str:
        return _write(found[0], when, year, fraction, offset, local_name or ("UTC" if is_utc else ""))

    return _sample.sub(write, layout)


def _write(sample: str, when: datetime, year: int, fraction: str, offset: int, name: str) -> str:
    """Return the value for a sample."""
    if sample[0] in ".,":
        digits = fraction[: len(sample) - 1]
        if sample[1] == "0":
            return sample[0] + digits
        digits = digits.rstrip("0")
        return sample[0] + digits if digits else ""
    if sample[0] in "-Z" and len(sample) > 1 and sample[1] == "0":
        return "Z" if sample[0] == "Z" and offset == 0 else _offset(offset, sample[1:])
    hour = when.hour % 12 or 12
    words = {
        "January": _MONTHS[when.month - 1],
        "Jan": _MONTHS[when.month - 1][:3],
        "Monday": _DAYS[when.weekday()],
        "Mon": _DAYS[when.weekday()][:3],
        "MST": name or _offset(offset, "0700"),
        "2006": f"{year:04}",
        "_2006": f"_{year:04}",
        "06": f"{year % 100:02}",
        "01": f"{when.month:02}",
        "1": str(when.month),
        "02": f"{when.day:02}",
        "_2": f"{when.day:2}",
        "2": str(when.day),
        "002": f"{when.timetuple().tm_yday:03}",
        "__2": f"{when.timetuple().tm_yday:3}",
        "15": f"{when.hour:02}",
        "03": f"{hour:02}",
        "3": str(hour),
        "04": f"{when.minute:02}",
        "4": str(when.minute),
        "05": f"{when.second:02}",
        "5": str(when.second),
        "PM": "PM" if when.hour >= 12 else "AM",
        "pm": "pm" if when.hour >= 12 else "am",
    }
    return words[sample]


def _offset(minutes: int, sample: str) -> str:
    """Return an offset in the form of 0700, 07:00, 07, 070000 or 07:00:00."""
    sign = "-" if minutes < 0 else "+"
    hour, minute = divmod(abs(minutes), 60)
    colon = ":" if ":" in sample else ""
    digits = len(sample.replace(":", ""))
    parts = [f"{hour:02}", f"{minute:02}", "00"][: digits // 2]
    return sign + colon.join(parts)
