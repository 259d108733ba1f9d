"""What a restore is going to do, for programs."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.errors import PyresticError
from pyrestic.operations import preflight


class RestoreSpace(NamedTuple):
    """A file system that a restore writes to; counts bytes, `free_bytes` is None if that is not known."""

    path: str
    free_bytes: int | None
    needed_bytes: int

    @property
    def fits(self) -> bool:
        """What is needed is free, as far as one knows."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes


class WrongPack(NamedTuple):
    """A pack that is not as long as the index says, in bytes; `length` is None if it is not there."""

    pack: str
    length: int | None
    indexed_length: int


class LostFile(NamedTuple):
    """A file that cannot be restored whole, or a folder whose content is not known, and why."""

    path: str
    error: PyresticError


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore is going to do. Lengths are in bytes; `others` are folders, links, devices and pipes."""

    files: int
    others: int
    bytes_to_write: int
    files_there: int
    """Files that are there already, by their length and time."""
    bytes_there: int
    spaces: tuple[RestoreSpace, ...]
    """The file systems that are written to, that of the target first; what is needed is by how much files grow."""
    devices: int
    set_id_files: int
    capability_files: int
    """Devices, files with set-user-ID or set-group-ID bits, files with capabilities; also those that are left out."""
    packs: int
    requests: int
    bytes_to_fetch: int
    wrong_packs: tuple[WrongPack, ...]
    lost: tuple[LostFile, ...]
    """Files and folders that cannot be restored whole, some thousand at most."""
    lost_count: int
    """How many there are in all."""

    @property
    def whole(self) -> bool:
        """Everything that is needed is there."""
        return not (self.wrong_packs or self.lost_count)

    @property
    def space_bytes(self) -> int:
        """By how much the files that are written will grow."""
        return sum(space.needed_bytes for space in self.spaces)

    @property
    def free_bytes(self) -> int | None:
        """Free space on the target itself, None if that is not known."""
        return self.spaces[0].free_bytes if self.spaces else None

    @property
    def fits(self) -> bool:
        """There is enough free space on each file system, as far as one knows."""
        return all(space.fits for space in self.spaces)


def describe_plan(plan: preflight.RestorePlan) -> RestorePlan:
    """Return a plan as programs see it."""
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
