"""A log of verifications: packs that were fully verified, and drills.

One JSON document per repository, in this user's state folder. Times are seconds since 1970, UTC.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.ids import ID
from pyrestic.localfs.json_state import StateFile

_VERSION = 1
_MAX_DRILLS = 200
_MAX_PACKS = 1_000_000


class Drill(NamedTuple):
    """A drill: its start, its snapshot, the number of files and bytes restored, and whether it succeeded."""

    seconds: int
    snapshot: str
    files: int
    bytes: int
    well: bool


@dataclass(slots=True)
class Proofs:
    """The log of one repository: the drills, oldest first, and the last full verification of each pack."""

    drills: list[Drill] = field(default_factory=list)
    packs: dict[ID, int] = field(default_factory=dict)


class ProofBook:
    """The log of one repository in a folder, which is created on the first write."""

    def __init__(self, folder: str, repository: str) -> None:
        place = os.path.join(folder, "proofs")
        self._file: StateFile[Proofs] = StateFile(place, f"{repository}.json", _parse, _encode, Proofs)
        self.path = self._file.path

    def read(self) -> Proofs:
        """Return the entire log; raise LocalFileError."""
        return self._file.read()

    def add_drill(self, drill: Drill) -> None:
        """Add a drill; raise LocalFileError."""

        def change(proofs: Proofs) -> Proofs:
            return Proofs([*proofs.drills, drill][-_MAX_DRILLS:], proofs.packs)

        self._file.change(change)

    def add_packs(self, verified: Iterable[ID], seconds: int, existing: Collection[ID]) -> None:
        """Add verified packs, and delete those that no longer exist; raise LocalFileError."""

        def change(proofs: Proofs) -> Proofs:
            known = proofs.packs | dict.fromkeys(verified, seconds)
            kept = sorted((pack for pack in known if pack in existing), key=lambda pack: -known[pack])
            return Proofs(proofs.drills, {pack: known[pack] for pack in kept[:_MAX_PACKS]})

        self._file.change(change)


def _encode(proofs: Proofs) -> object:
    return {
        "version": _VERSION,
        "drills": [drill._asdict() for drill in proofs.drills],
        "packs": {pack.hex(): seconds for pack, seconds in proofs.packs.items()},
    }


def _parse(document: object) -> Proofs:
    """Return the content of a document; raise ValueError if it is invalid."""
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("another version")
    drills, packs = document.get("drills"), document.get("packs")
    if not isinstance(drills, list) or not isinstance(packs, dict):
        raise ValueError("no drills or no packs")
    return Proofs(
        [_parse_drill(drill) for drill in drills], {_pack(name): _count(when) for name, when in packs.items()}
    )


def _parse_drill(value: object) -> Drill:
    if not isinstance(value, dict) or value.keys() != set(Drill._fields):
        raise ValueError("no drill")
    if not isinstance(value["snapshot"], str) or not isinstance(value["well"], bool):
        raise ValueError("no drill")
    return Drill(
        _count(value["seconds"]), value["snapshot"], _count(value["files"]), _count(value["bytes"]), value["well"]
    )


def _pack(name: str) -> ID:
    raw = bytes.fromhex(name)
    if len(raw) != 32:
        raise ValueError("no pack")
    return raw


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError("no number")
    return value
