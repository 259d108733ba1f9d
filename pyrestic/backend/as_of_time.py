"""The time of a past state, as options name it."""

import calendar
from datetime import datetime

from pyrestic.errors import UsageError
from pyrestic.golang import local_offset

_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def parse_as_of(text: str, option: str) -> int:
    """Return milliseconds since 1970 of a date, or of a date and time in the local zone or with an offset (ISO 8601).

    A date alone means the end of the day. Raises UsageError, which names the option.
    """
    try:
        return _parse(text)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"option {option} must be a time, not {text!r}", hint='Write it as "2026-03-01 14:30:00".'
        ) from None


def _parse(text: str) -> int:
    for form in _FORMATS:
        try:
            moment = datetime.strptime(text, form)  # noqa: DTZ007 - the zone of this machine is meant
        except ValueError:
            continue
        if form == "%Y-%m-%d":
            moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_000)
        return _local_milliseconds(moment)
    moment = datetime.fromisoformat(text)
    return _local_milliseconds(moment) if moment.tzinfo is None else int(moment.timestamp() * 1000)


def _local_milliseconds(moment: datetime) -> int:
    seconds = calendar.timegm(moment.timetuple())
    return (seconds - local_offset(seconds)) * 1000 + moment.microsecond // 1000
