"""Numbers and local times as the library of Go reads them, with which restic reads its flags."""

import re
import time

from pyrestic.errors import UsageError


def parse_integer(text: str, *, signed: bool, bits: int = 64) -> int:
    """Return a number in decimal, or hexadecimal and the like with a prefix, of at most `bits`; raise UsageError."""
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


def local_offset(wall_seconds: int) -> int:
    """Return how many seconds the local zone is east of UTC, at a local time that was counted as if it were UTC.

    In an hour that comes twice, or never, this is the offset of one of the two sides, by Go's rule: the offset that
    holds at the same number of seconds in UTC is a first guess, and what holds at the moment it leads to is taken.
    """
    guess = offset_at(wall_seconds)
    return offset_at(wall_seconds - guess) if guess else 0


def offset_at(seconds: int) -> int:
    """Return how many seconds the local zone is east of UTC at a moment, 0 beyond C's calendar."""
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, OSError, ValueError):
        return 0
