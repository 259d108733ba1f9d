"""Days and times of day in the local zone, as nanoseconds since 1970 and back."""

import datetime as dt
import time

from pyrestic.errors import UsageError
from pyrestic.format.gojson import SECOND
from pyrestic.golang import local_offset

_EPOCH = dt.date(1970, 1, 1)


def local_date(moment: int) -> dt.date:
    """Return the local day of a time in nanoseconds since 1970."""
    when = time.localtime(moment // SECOND)
    return dt.date(when.tm_year, when.tm_mon, when.tm_mday)


def moment_at(date: dt.date, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Return nanoseconds since 1970 for a local time; one that comes twice or never is read as Go reads it.

    Raises UsageError for a day that the system's clock cannot represent.
    """
    wall = (date - _EPOCH).days * 86400 + hour * 3600 + minute * 60 + second
    try:
        return (wall - local_offset(wall)) * SECOND
    except OverflowError:
        raise _unusable(date) from None


def first_of_day(date: dt.date) -> int:
    """Return the first nanosecond of a local day; raise UsageError."""
    return moment_at(date)


def last_of_day(date: dt.date) -> int:
    """Return the last nanosecond of a local day; raise UsageError."""
    try:
        return moment_at(date + dt.timedelta(days=1)) - 1
    except OverflowError:
        raise _unusable(date) from None


def _unusable(date: dt.date) -> UsageError:
    return UsageError(f'unable to parse time: "{date.isoformat()}"')
