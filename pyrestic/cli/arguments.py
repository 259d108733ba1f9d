"""Command line values, parsed as restic does; errors in the words of Go's library, which scripts know."""

import csv
import re
from collections.abc import Iterable

from pyrestic.errors import UsageError

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_AMOUNT = re.compile(r"\$?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:USD|\$)?", re.ASCII)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.]*)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_SECONDS = (1 << 63) / 1e9
"""Go counts nanoseconds in 64 bits."""


def parse_bool(text: str) -> bool:
    """Return the boolean value of a text; raise UsageError if it is neither true nor false."""
    if text not in _TRUE | _FALSE:
        raise UsageError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def parse_uint32(text: str) -> int:
    """Return a decimal number of at most 32 bits; raise UsageError."""
    if not re.fullmatch("[0-9]+", text, re.ASCII):
        raise UsageError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) >= 1 << 32:
        raise UsageError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def parse_amount(text: str) -> float:
    """Return the dollars in a text such as `2 USD`, `$2.50` or `2`; raise UsageError."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not an amount in US dollars, such as 2 or 2.50 USD")
    return float(found[1])


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


def split_list(values: Iterable[str]) -> list[str]:
    """Return the items of list flags: comma-separated, with CSV quotes.

    Raises UsageError.
    """
    try:
        return [item for value in values for row in csv.reader([value]) for item in row]
    except csv.Error as error:
        raise UsageError(f"parse error: {error}") from error


def parse_tags(values: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return lists of tags: a comma within a list means AND, several lists mean OR; an empty tag requires no tags."""
    return tuple(tuple(tag.strip() for tag in value.split(",")) for value in values)
