"""A log of B2 usage per day, in this user's state folder.

A JSON document, {"version": 1, "days": {"2026-11-23": {"b2:bucket:path": {...}}}}, replaced atomically under a lock. It
contains no secret. An unreadable log is moved aside and replaced: it is bookkeeping, not a backup.
"""

from dataclasses import asdict, fields
from datetime import date

from pyrestic.backend.metering import Sums
from pyrestic.localfs.json_state import StateFile

_VERSION = 1
_MAX_DAYS = 800

Days = dict[str, dict[str, Sums]]
"""Day -> location -> totals."""


class CostBook:
    """The log in a folder, which is created on the first write."""

    def __init__(self, folder: str) -> None:
        self._file: StateFile[Days] = StateFile(folder, "costs.json", _parse, _encode, dict)
        self.path = self._file.path

    def add(self, day: str, location: str, usage: Sums) -> None:
        """Add usage of a location on a day; raise LocalFileError."""

        def change(days: Days) -> Days:
            days.setdefault(day, {}).setdefault(location, Sums()).add(usage)
            return {name: days[name] for name in sorted(days)[-_MAX_DAYS:]}

        self._file.change(change)

    def read(self) -> Days:
        """Return the entire log; raise LocalFileError."""
        return self._file.read()


def _encode(days: Days) -> object:
    return {
        "version": _VERSION,
        "days": {day: {name: asdict(sums) for name, sums in places.items()} for day, places in days.items()},
    }


def _parse(document: object) -> Days:
    """Return the days of a document; raise ValueError if it is invalid."""
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("another version")
    days = document.get("days")
    if not isinstance(days, dict):
        raise ValueError("no days")
    return {_check_day(day): {name: _sums(values) for name, values in _items(places)} for day, places in days.items()}


def _items(value: object) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return list(value.items())


def _check_day(day: str) -> str:
    date.fromisoformat(day)
    return day


def _sums(value: object) -> Sums:
    values = dict(_items(value))
    numbers = [values.get(field.name, 0) for field in fields(Sums)]
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        raise ValueError("no number")
    return Sums(*numbers)  # type: ignore[arg-type]
