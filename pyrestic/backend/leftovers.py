"""Partly written files that killed programs left in a local repository: pyrestic, restic or rest-server.

Each of them writes under a temporary name and renames. No program reads such a file, and no listing shows it.
"""

import os
import re
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from pyrestic.backend.files import translated
from pyrestic.backend.layout import CONFIG_NAME, FOLDERS
from pyrestic.handle import FileType

OLD_SECONDS: Final = 24 * 60 * 60
"""Beyond this age, no process can still be writing it."""

_NAME: Final = re.compile(
    rf"(?:[0-9a-f]{{64}}|{CONFIG_NAME})(?:-tmp-[0-9]+|-restic-temp-[0-9a-z]+|\.rest-server-temp[0-9]*)"
)


class Leftover(NamedTuple):
    """A partly written file: its path, length in bytes, and last write in seconds since 1970."""

    path: str
    length: int
    modified_seconds: float

    def is_old(self, now_seconds: float) -> bool:
        """Tell whether it is old enough to be removed."""
        return self.modified_seconds < now_seconds - OLD_SECONDS


def list_leftovers(repository: str) -> list[Leftover]:
    """Return the leftovers in the repository at a path, sorted; raise BackendError if its folders cannot be read."""
    with translated(f"listing {repository}"):
        return sorted(leftover for folder in _folders(repository) for leftover in _list_folder(folder))


def remove_leftover(leftover: Leftover) -> None:
    """Remove it; raise NotFoundError or BackendError."""
    with translated(f"removing {leftover.path}"):
        os.unlink(leftover.path)


def _folders(repository: str) -> Iterator[str]:
    yield repository
    for file_type, name in FOLDERS.items():
        folder = os.path.join(repository, name)
        yield folder
        if file_type is FileType.PACK and os.path.isdir(folder):
            with os.scandir(folder) as entries:
                below = [
                    entry.path for entry in entries if len(entry.name) == 2 and entry.is_dir(follow_symlinks=False)
                ]
            yield from below


def _list_folder(folder: str) -> Iterator[Leftover]:
    try:
        with os.scandir(folder) as entries:
            named = [entry for entry in entries if _NAME.fullmatch(entry.name)]
    except FileNotFoundError:
        return
    for entry in named:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield Leftover(entry.path, status.st_size, status.st_mtime)
