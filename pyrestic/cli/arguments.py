"""Restic's habits on the command line that click does not have: `--flag=true`, `--verbose=2`, lists with commas."""

import csv
import re
from collections.abc import Iterable, Sequence

from pyrestic.errors import UsageError

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_ASSIGNED = re.compile(r"--([a-z0-9][a-z0-9-]*)=(.*)", re.DOTALL)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def normalize(arguments: Sequence[str], switches: frozenset[str]) -> list[str]:
    """Return the arguments with `--switch=true` and the like made plain; `switches` are flags without a value.

    Raises UsageError for a value that is neither true nor false.
    """
    result: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return result + list(arguments[number:])
        match = _ASSIGNED.fullmatch(argument)
        if match is None or match[1] not in switches:
            result.append(argument)
        elif match[1] == "verbose" and match[2].isdigit():
            result.extend(["-v"] * int(match[2]))
        elif match[2] in _TRUE:
            result.append("--" + match[1])
        elif match[2] in _FALSE:
            result = [other for other in result if other != "--" + match[1]]
        else:
            raise UsageError(f'invalid argument "{match[2]}" for "--{match[1]}" flag: it is either true or false')
    return result


def split_list(values: Iterable[str]) -> list[str]:
    """Return the items of flags whose values may hold several, with commas between them and CSV's quotes."""
    return [item for value in values for row in csv.reader([value]) for item in row]


def parse_tags(values: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return lists of tags: within one a comma means AND, several mean OR; an empty one asks for no tags."""
    return tuple(tuple(tag.strip() for tag in value.split(",")) if value else () for value in values)


def parse_duration(text: str) -> float:
    """Return seconds for a duration as Go writes it, such as 1h30m or 15s; raise UsageError."""
    parts = _DURATION.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise UsageError(f"{text!r} is not a duration such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def parse_size(text: str) -> int:
    """Return bytes for a size such as 500, 10M or 1.5g (1024-based); raise UsageError."""
    match = re.fullmatch(r"(\d+)([bkmgt]?)", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is not a size such as 500, 10M or 2G")
    return int(match[1]) * _SIZES[match[2]]
