"""Retention: the snapshots that a policy keeps, and the reasons (restic's documentation, "Removing backup snapshots").

Everything here is a pure function. A snapshot's hour, day, week, month and year are in the zone of its backup. Periods
count back from the newest snapshot that is not in the future, by the calendar of its zone.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from pyrestic.errors import UsageError
from pyrestic.format import gojson
from pyrestic.repository.snapshots import StoredSnapshot, has_tags

ALL: Final = -1
"""As a count: keep all."""

_DAY: Final = 86_400
_NEVER_NS: Final = -62_135_596_800 * gojson.SECOND
"""The start of the year 1, Go's zero time."""


class Period(NamedTuple):
    """A duration in calendar units, such as 1y5m7d2h."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __str__(self) -> str:
        return "".join(f"{number}{unit}" for number, unit in zip(self, "ymdh", strict=True) if number)

    def __bool__(self) -> bool:
        return any(self)


NO_PERIOD: Final = Period()


class Policy(msgspec.Struct, frozen=True):
    """A policy: counts per unit, all within a period, one per unit within a period, and lists of tags."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Period = NO_PERIOD
    within_hourly: Period = NO_PERIOD
    within_daily: Period = NO_PERIOD
    within_weekly: Period = NO_PERIOD
    within_monthly: Period = NO_PERIOD
    within_yearly: Period = NO_PERIOD
    tags: tuple[tuple[str, ...], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it keeps nothing."""
        return self == Policy()

    @property
    def periods(self) -> tuple[Period, ...]:
        """All of its periods."""
        return (self.within, *_periods(self))

    def __str__(self) -> str:
        return _describe(self)


class Counters(NamedTuple):
    """Remaining counts of each unit."""

    last: int
    hourly: int
    daily: int
    weekly: int
    monthly: int
    yearly: int


NO_COUNTERS: Final = Counters(0, 0, 0, 0, 0, 0)


class Kept(NamedTuple):
    """A kept snapshot, the reasons, and the counters after it."""

    stored: StoredSnapshot
    matches: list[str]
    counters: Counters


class Decision(NamedTuple):
    """The decisions for the snapshots of a group, newest first."""

    keep: list[Kept]
    remove: list[StoredSnapshot]


class GroupBy(NamedTuple):
    """Grouping criteria."""

    host: bool = False
    paths: bool = False
    tags: bool = False


class GroupKey(NamedTuple):
    """The common values of a group; "" and None for criteria that are not used."""

    hostname: str = ""
    paths: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None

    def __str__(self) -> str:
        parts = [f"host {self.hostname}"] if self.hostname else []
        parts += [f"path [{' '.join(self.paths)}]"] if self.paths else []
        parts += [f"tags [{' '.join(self.tags)}]"] if self.tags else []
        return ", ".join(parts)


def parse_period(text: str) -> Period:
    """Return the period in a text such as 1y5m7d2h; raise UsageError."""
    rest = text.strip()
    found: dict[str, int] = {}
    while rest:
        number = re.match("-?[0-9]+", rest)
        if number is None:
            raise UsageError("no number found")
        if not -(1 << 63) <= int(number[0][:20]) < 1 << 63:
            raise UsageError(f'strconv.Atoi: parsing "{number[0]}": value out of range')
        rest = rest[number.end() :]
        if not rest:
            raise UsageError(f"no unit found after number {int(number[0])}")
        if rest[0] not in "ymdh":
            raise UsageError(f"invalid unit {rest[0]!r} found after number {int(number[0])}")
        found[rest[0]], rest = int(number[0]), rest[1:]
    return Period(found.get("y", 0), found.get("m", 0), found.get("d", 0), found.get("h", 0))


def parse_group_by(text: str) -> GroupBy:
    """Return the criteria in `host,paths,tags`; raise UsageError."""
    names = {"host": "host", "hosts": "host", "path": "paths", "paths": "paths", "tag": "tags", "tags": "tags"}
    wanted: set[str] = set()
    for word in filter(None, text.split(",")):
        if word not in names:
            raise UsageError(f'unknown grouping option: "{word}"')
        wanted.add(names[word])
    return GroupBy("host" in wanted, "paths" in wanted, "tags" in wanted)


def group_snapshots(found: Iterable[StoredSnapshot], grouping: GroupBy) -> list[tuple[GroupKey, list[StoredSnapshot]]]:
    """Return groups in order of their keys, each sorted by time, oldest first; paths (and tags) come sorted."""
    groups: dict[GroupKey, list[StoredSnapshot]] = {}
    for stored in sorted(found, key=lambda stored: (stored.snapshot.time_ns, stored.id)):
        snapshot = msgspec.structs.replace(stored.snapshot, paths=sorted(stored.snapshot.paths))
        if grouping.tags:
            snapshot = msgspec.structs.replace(snapshot, tags=sorted(snapshot.tags))
        key = GroupKey(
            snapshot.hostname if grouping.host else "",
            tuple(snapshot.paths) if grouping.paths else None,
            (tuple(snapshot.tags) or None) if grouping.tags else None,
        )
        groups.setdefault(key, []).append(StoredSnapshot(stored.id, snapshot))
    return [(key, groups[key]) for key in sorted(groups, key=json.dumps)]


class _Bucket(msgspec.Struct):
    """Keeps one snapshot per hour, day and so on: for the last `count` such units, or for those within a period."""

    unit: Callable[[int, int], int]
    reason: str
    count: int = 0
    period: Period = NO_PERIOD
    previous: int | None = None

    def keep(self, wall_seconds: int, number: int, *, is_oldest: bool) -> str | None:
        """Return the reason to keep a snapshot, or None."""
        value = self.unit(wall_seconds, number)
        if value == self.previous and not is_oldest:
            return None
        # The oldest is kept beyond its unit's first, so that history reaches back as far as possible.
        reason = f"oldest {self.reason}" if value == self.previous else self.reason
        self.previous = value
        if self.count > 0:
            self.count -= 1
        return reason


def apply(
    policy: Policy, snapshots: Iterable[StoredSnapshot], *, now_ns: int, local_offset: Callable[[int], int]
) -> Decision:
    """Decide about the snapshots of one group.

    `local_offset` returns the local zone's offset from UTC in seconds at a time (seconds since 1970). If it equals the
    offset of the newest snapshot, periods follow the local zone with its daylight saving time.
    """
    # Equal times keep their order.
    listed = sorted(snapshots, key=lambda stored: stored.snapshot.time_ns, reverse=True)
    newest = _Moment.newest(listed, now_ns)
    counted = [
        _Bucket(unit, f"{word} snapshot", count)
        for unit, word, count in zip(_COUNTED_UNITS, _COUNTED_WORDS, _counts(policy), strict=True)
    ]
    periodic = [
        _Bucket(unit, f"{word} within", period=period)
        for unit, word, period in zip(_COUNTED_UNITS[1:], _COUNTED_WORDS[1:], _periods(policy), strict=True)
        if period
    ]
    limits = [newest.before(bucket.period, local_offset) for bucket in periodic]
    within = newest.before(policy.within, local_offset) if policy.within else None
    decision = Decision([], [])
    for number, stored in enumerate(listed):
        time_ns = stored.snapshot.time_ns
        wall_seconds = time_ns // gojson.SECOND + zone_offset(stored.snapshot.time)
        is_oldest = number == len(listed) - 1
        reasons: list[str | None] = [
            f"has tags {_show_tags(tags)}" for tags in policy.tags if has_tags(stored.snapshot.tags, tags)
        ]
        if within is not None and time_ns > within:
            reasons.append(f"within {policy.within}")
        reasons += [bucket.keep(wall_seconds, number, is_oldest=is_oldest) for bucket in counted if bucket.count]
        for bucket, limit in zip(periodic, limits, strict=True):
            reason = bucket.keep(wall_seconds, number, is_oldest=is_oldest) if time_ns > limit else None
            reasons.append(reason and f"{reason} {bucket.period}")
        matches = [reason for reason in reasons if reason]
        if matches:
            decision.keep.append(Kept(stored, matches, Counters(*(bucket.count for bucket in counted))))
        else:
            decision.remove.append(stored)
    return decision


def zone_offset(text: str) -> int:
    """Return the offset of an RFC 3339 time from UTC in seconds."""
    if text.endswith("Z"):
        return 0
    seconds = int(text[-5:-3]) * 3600 + int(text[-2:]) * 60
    return -seconds if text[-6] == "-" else seconds


class _Moment(NamedTuple):
    """A time and its offset; `utc` says that it is written as UTC, which is never the local zone."""

    ns: int
    offset: int = 0
    utc: bool = True

    @classmethod
    def newest(cls, listed: list[StoredSnapshot], now_ns: int) -> "_Moment":
        """Return the time of the newest snapshot before now."""
        for stored in listed:
            if _NEVER_NS < stored.snapshot.time_ns < now_ns:
                text = stored.snapshot.time
                return cls(stored.snapshot.time_ns, zone_offset(text), text.endswith("Z"))
        return cls(_NEVER_NS)

    def before(self, period: Period, local_offset: Callable[[int], int]) -> int:
        """Return the time a period earlier, in nanoseconds; days that a month lacks overflow into the next month."""
        seconds, fraction = divmod(self.ns, gojson.SECOND)
        day, time_of_day = divmod(seconds + self.offset, _DAY)
        year, month, day_of_month = _civil(day)
        shifted = _day_number(year - period.years, month - period.months) + day_of_month - 1 - period.days
        wall = shifted * _DAY + time_of_day
        if not self.utc and local_offset(seconds) == self.offset:
            earlier = _to_utc(wall, local_offset)
        else:
            earlier = wall - self.offset
        return (earlier - period.hours * 3600) * gojson.SECOND + fraction


def _to_utc(wall_seconds: int, local_offset: Callable[[int], int]) -> int:
    """Return the time of a wall-clock time, by Go's rule if the clock was turned back or forward."""
    offset = local_offset(wall_seconds)
    if offset:
        offset = local_offset(wall_seconds - offset)
    return wall_seconds - offset


@lru_cache(maxsize=4096)
def _civil(day: int) -> tuple[int, int, int]:
    """Return year, month and day of a day counted from 1970-01-01."""
    era, day_of_era = divmod(day + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = era * 400 + year_of_era + (month <= 2)
    return year, month, day_of_year - (153 * month_from_march + 2) // 5 + 1


def _day_number(year: int, month: int) -> int:
    """Return the first day of a month, counted from 1970-01-01; months below 1 belong to the years before."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _hour(wall_seconds: int, _: int) -> int:
    return wall_seconds // 3600


def _week(wall_seconds: int, _: int) -> int:
    # 1970-01-01 was a Thursday; ISO weeks begin on Mondays.
    return (wall_seconds // _DAY + 3) // 7


def _day(wall_seconds: int, _: int) -> int:
    return wall_seconds // _DAY


def _month(wall_seconds: int, _: int) -> int:
    year, month, _day_of_month = _civil(wall_seconds // _DAY)
    return year * 12 + month


def _year(wall_seconds: int, _: int) -> int:
    return _civil(wall_seconds // _DAY)[0]


_COUNTED_UNITS: Final = (lambda _, number: number, _hour, _day, _week, _month, _year)
_COUNTED_WORDS: Final = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def _counts(policy: Policy) -> tuple[int, ...]:
    return (policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly)


def _periods(policy: Policy) -> tuple[Period, ...]:
    return (
        policy.within_hourly,
        policy.within_daily,
        policy.within_weekly,
        policy.within_monthly,
        policy.within_yearly,
    )


def _show_tags(tags: tuple[str, ...]) -> str:
    return f"[{', '.join(tags)}]"


def _describe(policy: Policy) -> str:
    words = ("latest", *_COUNTED_WORDS[1:])
    counts = [
        f"{'all' if count == ALL else count} {word}"
        for count, word in zip(_counts(policy), words, strict=True)
        if count
    ]
    periods = [
        f"{word} snapshots within {period}"
        for word, period in zip(_COUNTED_WORDS[1:], _periods(policy), strict=True)
        if period
    ]
    parts = [", ".join([", ".join(counts) + " snapshots"] * bool(counts) + periods)]
    if policy.tags:
        parts.append(f"all snapshots with tags [{' '.join(map(_show_tags, policy.tags))}]")
    if policy.within:
        parts.append(f"all snapshots within {policy.within} of the newest")
    text = " and ".join(filter(None, parts))
    return f"keep {text}" if text else "remove"
