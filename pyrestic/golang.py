"""Numbers, sizes, durations and local times as Go's library parses them, which restic uses for its flags."""

import re
import time

from pyrestic.errors import UsageError

_FIRST_RULES, _LAST_RULES = -(1 << 31), 1 << 31
"""Seconds since 1970 between which zones have changed their rules: 1901 and 2038."""
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_FORTNIGHT = 14 * 86_400

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.]*)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_SECONDS = (1 << 63) / 1e9
"""Go counts nanoseconds in 64 bits."""


def parse_integer(text: str, *, signed: bool, bits: int = 64) -> int:
    """Return a number in decimal, or with a prefix in another base, of at most `bits`; raise UsageError."""
    function = "ParseInt" if signed else "ParseUint"
    try:
        if not text.isascii() or text != text.strip() or (not signed and text[:1] in ("+", "-")):
            raise ValueError
        octal = re.fullmatch(r"([+-]?)0([0-7_]+)", text)
        number = int(octal[1] + "0o" + octal[2] if octal else text, 0)
    except ValueError:
        raise UsageError(f'strconv.{function}: parsing "{text}": invalid syntax') from None
    if not (-(1 << bits - 1) <= number < 1 << bits - 1 if signed else number < 1 << bits):
        raise UsageError(f'strconv.{function}: parsing "{text}": value out of range')
    return number


def parse_size(text: str) -> int:
    """Return bytes for a size such as 500, 10M or 2g (1024-based); raise UsageError."""
    unit = _SIZES.get(text[-1:].lower())
    digits = text if unit is None else text[:-1]
    if not re.fullmatch(r"[+-]?[0-9]+", digits):
        raise UsageError(
            f'strconv.ParseInt: parsing "{digits}": invalid syntax' if text else "expected size, got empty string"
        )
    size = int(digits) * (unit or 1)
    if not 0 <= size < 1 << 63:
        raise UsageError(f'ParseSize: "{digits}": value out of range')
    return size


def parse_duration(text: str) -> float:
    """Return the seconds in a Go duration, such as 1h30m or -1.5s; raise UsageError."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    sign = -1 if text.startswith("-") else 1
    if unsigned == "0":
        return 0.0
    parts = _DURATION.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise UsageError(f'time: invalid duration "{text}"')
    seconds = 0.0
    for number, unit in parts:
        if not unit:
            raise UsageError(f'time: missing unit in duration "{text}"')
        if unit not in _UNIT_SECONDS:
            raise UsageError(f'time: unknown unit "{unit}" in duration "{text}"')
        seconds += float(number) * _UNIT_SECONDS[unit]
    if seconds >= _MOST_SECONDS:
        raise UsageError(f'time: invalid duration "{text}"')
    return sign * seconds


def local_offset(wall_seconds: int) -> int:
    """Return the local zone's offset from UTC in seconds, at a local time that was counted as if it were UTC.

    For an ambiguous or nonexistent hour, this is the offset of one of the two sides, by Go's rule: the offset at the
    same number of seconds in UTC is a first guess, and the offset at the resulting time is the answer.
    """
    guess = offset_at(wall_seconds)
    return offset_at(wall_seconds - guess) if guess else 0


def named_offset(name: str, wall_seconds: int) -> int:
    """Return the offset of a zone's abbreviation, such as CEST, at such a local time.

    It must be a name that the local zone has had at some time; all others, and UTC, count as UTC.
    """
    offsets = [] if name == "UTC" else _offsets_of(name)
    for offset in offsets:
        when = time.localtime(wall_seconds - offset)
        if when.tm_zone == name:
            return when.tm_gmtoff
    return offsets[0] if offsets else 0


def _offsets_of(name: str) -> list[int]:
    """Return the offsets that the local zone has had under a name, oldest first."""
    moments = map(time.localtime, range(_FIRST_RULES, _LAST_RULES, _FORTNIGHT))
    return list(dict.fromkeys(when.tm_gmtoff for when in moments if when.tm_zone == name))


def offset_at(seconds: int) -> int:
    """Return the local zone's offset from UTC in seconds at a time, 0 beyond C's calendar."""
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, OSError, ValueError):
        return 0
