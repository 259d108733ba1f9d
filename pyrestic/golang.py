"""Numbers, sizes and local times as Go's library parses them, which restic uses for its flags."""

import re
import time

from pyrestic.errors import UsageError

_FIRST_RULES, _LAST_RULES = -(1 << 31), 1 << 31
"""Seconds since 1970 between which zones have changed their rules: 1901 and 2038."""
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_FORTNIGHT = 14 * 86_400


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
