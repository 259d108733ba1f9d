"""Command line values, parsed as restic does; errors in the words of Go's library, which scripts know."""

import csv
import re
from collections.abc import Iterable

from pyrestic.errors import UsageError

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_AMOUNT = re.compile(r"\$?\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:USD|\$)?", re.ASCII)


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
