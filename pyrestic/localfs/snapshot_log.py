"""A log of the newest snapshots that this user has seen in a repository, to detect that they vanish.

One JSON document per repository, in this user's state folder.
"""

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple

from pyrestic.ids import ID
from pyrestic.localfs.json_state import StateFile

_VERSION = 1
MAX_SNAPSHOTS = 1000


class Seen(NamedTuple):
    """The time of a snapshot, in nanoseconds since 1970, and its host."""

    time_ns: int
    host: str


class SeenBook:
    """The log of one repository in a folder, which is created on the first write."""

    def __init__(self, folder: str, repository: str) -> None:
        place = os.path.join(folder, "seen")
        self._file: StateFile[dict[ID, Seen]] = StateFile(place, f"{repository}.json", _parse, _encode, dict)
        self.path = self._file.path

    def read(self) -> dict[ID, Seen]:
        """Return the snapshots seen; raise LocalFileError."""
        return self._file.read()

    def update(self, seen: Mapping[ID, Seen], gone: Collection[ID]) -> None:
        """Add snapshots and remove others; only the newest are kept. Raises LocalFileError."""

        def change(known: dict[ID, Seen]) -> dict[ID, Seen]:
            left = {each: what for each, what in {**known, **seen}.items() if each not in gone}
            newest = sorted(left, key=lambda each: (-left[each].time_ns, each))
            return {each: left[each] for each in newest[:MAX_SNAPSHOTS]}

        if change(self.read()) != self.read():
            self._file.change(change)


def _encode(seen: dict[ID, Seen]) -> object:
    return {"version": _VERSION, "snapshots": {each.hex(): list(what) for each, what in seen.items()}}


def _parse(document: object) -> dict[ID, Seen]:
    """Return the content of a document; raise ValueError if it is invalid."""
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("another version")
    snapshots = document.get("snapshots")
    if not isinstance(snapshots, dict):
        raise ValueError("no snapshots")
    return {_parse_id(name): _parse_seen(value) for name, value in snapshots.items()}


def _parse_id(name: str) -> ID:
    raw = bytes.fromhex(name)
    if len(raw) != 32:
        raise ValueError("no snapshot")
    return raw


def _parse_seen(value: object) -> Seen:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("no snapshot")
    time_ns, host = value
    if isinstance(time_ns, bool) or not isinstance(time_ns, int) or not isinstance(host, str):
        raise ValueError("no snapshot")
    return Seen(time_ns, host)
