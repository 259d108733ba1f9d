"""The plan of a restore, for programs."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.errors import PyresticError
from pyrestic.operations import preflight


class RestoreSpace(NamedTuple):
    """A file system that a restore writes to; counts bytes, `free_bytes` is None if unknown."""

    path: str
    free_bytes: int | None
    needed_bytes: int

    @property
    def fits(self) -> bool:
        """Whether there is enough free space, as far as known."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes


class WrongPack(NamedTuple):
    """A pack whose length differs from the index, in bytes; `length` is None if it is missing."""

    pack: str
    length: int | None
    indexed_length: int


class LostFile(NamedTuple):
    """A file that cannot be fully restored, or a folder with unknown content, and the reason."""

    path: str
    error: PyresticError


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """The plan of a restore. Lengths are in bytes; `others` are folders, links, devices and pipes."""

    files: int
    others: int
    bytes_to_write: int
    files_there: int
    """Existing files, by their length and time."""
    bytes_there: int
    spaces: tuple[RestoreSpace, ...]
    """The file systems to be written to, the target's first; they need space for the growth of files."""
    devices: int
    set_id_files: int
    capability_files: int
    """Devices, files with set-user-ID or set-group-ID bits, files with capabilities, including omitted ones."""
    packs: int
    requests: int
    bytes_to_fetch: int
    wrong_packs: tuple[WrongPack, ...]
    lost: tuple[LostFile, ...]
    """Files and folders that cannot be fully restored, some thousand at most."""
    lost_count: int
    """Their total number."""

    @property
    def whole(self) -> bool:
        """Whether all required data is present."""
        return not (self.wrong_packs or self.lost_count)

    @property
    def space_bytes(self) -> int:
        """Growth of the files to be written."""
        return sum(space.needed_bytes for space in self.spaces)

    @property
    def free_bytes(self) -> int | None:
        """Free space on the target itself, None if unknown."""
        return self.spaces[0].free_bytes if self.spaces else None

    @property
    def fits(self) -> bool:
        """Whether there is enough free space on each file system, as far as known."""
        return all(space.fits for space in self.spaces)


def describe_plan(plan: preflight.RestorePlan) -> RestorePlan:
    """Return a plan in the API's form."""
    return RestorePlan(
        files=plan.files,
        others=plan.others,
        bytes_to_write=plan.bytes_to_write,
        files_there=plan.files_there,
        bytes_there=plan.bytes_there,
        spaces=tuple(
            RestoreSpace(os.fsdecode(space.path), space.free_bytes, space.needed_bytes) for space in plan.spaces
        ),
        devices=plan.devices,
        set_id_files=plan.set_id_files,
        capability_files=plan.capability_files,
        packs=plan.packs,
        requests=plan.requests,
        bytes_to_fetch=plan.bytes_to_fetch,
        wrong_packs=tuple(WrongPack(one.pack.hex(), one.length, one.indexed_length) for one in plan.wrong_packs),
        lost=tuple(LostFile(os.fsdecode(one.location), one.error) for one in plan.lost),
        lost_count=plan.lost_count,
    )
