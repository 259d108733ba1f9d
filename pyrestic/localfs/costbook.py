"""The book of what was asked of B2, day by day, in this user's state folder.

A JSON document, {"version": 1, "days": {"2026-11-23": {"b2:bucket:path": {...}}}}, replaced as a whole under a lock.
It holds no secret. A book that cannot be read is put aside and begun anew: it is bookkeeping, not a backup.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import date

from pyrestic.backend.usage import Sums
from pyrestic.errors import LocalFileError

_VERSION = 1
_MAX_DAYS = 800
_MAX_BYTES = 64 << 20

Days = dict[str, dict[str, Sums]]
"""Day -> location -> sums."""


class CostBook:
    """The book in a folder, which is made when something is written."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "costs.json")
        self._folder = folder

    def add(self, day: str, location: str, usage: Sums) -> None:
        """Add what was asked of a location on a day; raise LocalFileError."""
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with self._locked():
                days = self._read()
                days.setdefault(day, {}).setdefault(location, Sums()).add(usage)
                self._write({name: days[name] for name in sorted(days)[-_MAX_DAYS:]})
        except OSError as error:
            raise LocalFileError(f"{self.path}: {error.strerror}") from error

    def read(self) -> Days:
        """Return all that is known; raise LocalFileError."""
        try:
            return self._read()
        except OSError as error:
            raise LocalFileError(f"{self.path}: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing."""
        descriptor = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> Days:
        try:
            with open(self.path, "rb") as file:
                text = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return {}
        try:
            return _parse(text)
        except (ValueError, RecursionError):
            os.replace(self.path, f"{self.path}.damaged")
            return {}

    def _write(self, days: Days) -> None:
        document = {
            "version": _VERSION,
            "days": {day: {name: asdict(sums) for name, sums in places.items()} for day, places in days.items()},
        }
        temporary = f"{self.path}.new"
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.replace(temporary, self.path)


def _parse(text: bytes) -> Days:
    """Return the days of a document; raise ValueError for anything else."""
    document = json.loads(text)
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
