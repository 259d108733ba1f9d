"""Restores only what the target lacks: whatever is there stays as it is, with its content and metadata.

Files are written to a staging folder in the target and moved to their places when all are complete. So an interrupted
restore leaves no incomplete file that the next one would take for the user's own, and the next one continues in the
same staging folder.
"""

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterable

from pyrestic.errors import LocalFileError
from pyrestic.localfs.select import Select
from pyrestic.localfs.write import TargetWriter

_PREFIX = ".pyrestic-missing-"
_DIGITS = 12


def staging_folder(target: str, what: tuple[str, ...]) -> str:
    """Return the path of the staging folder for a restore to a target; equal restores share it."""
    words = "\0".join((*what, os.path.abspath(target)))
    digest = hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
    return os.path.join(target, _PREFIX + digest)


class MissingOnly:
    """Selects the entries that a target does not have; `select` is another selector that must select them, too.

    An entry of another type is there as well, a link to a folder included, and nothing is restored below it.
    """

    def __init__(self, target: str, select: Select | None) -> None:
        self._writer = TargetWriter(os.fsencode(target))
        self._inner = select
        self.folders = {b"/"}
        """The folders that the target has."""
        self._top: set[bytes] = set()
        """The missing entries whose parents the target has."""

    def open(self) -> None:
        """Open the target to look at it; raise LocalFileError."""
        self._writer.open(create=False)

    def close(self) -> None:
        """Close the target."""
        self._writer.close()

    def select(self, location: bytes, is_folder: bool) -> tuple[bool, bool]:
        """Tell whether an entry is restored, and whether something below it may be; raise LocalFileError."""
        selected, enter = (True, True) if self._inner is None else self._inner(location, is_folder)
        if not (selected or enter):
            return False, False
        status = self._writer.status(location)
        if status is None:
            if posixpath.dirname(location) in self.folders:
                self._top.add(location)
            return selected, enter
        if not (is_folder and stat.S_ISDIR(status.st_mode)):
            return False, False
        self.folders.add(location)
        return False, enter

    def move_from(self, staging: TargetWriter, failed: Iterable[bytes]) -> list[bytes]:
        """Move what was restored to its place; return the locations where something is now.

        Entries with one of the `failed` locations in them stay behind. Raises LocalFileError.
        """
        unsafe = {above for location in failed for above in _with_parents(location)}
        taken = []
        self._writer.open()
        staging.open(create=False)
        try:
            for location in sorted(self._top - unsafe):
                if staging.status(location) is not None and not self._writer.adopt(location, staging):
                    taken.append(location)
            if not (taken or unsafe):
                name = os.fsencode(os.path.basename(staging.root))
                self._writer.remove(b"/" + name)
        finally:
            staging.close()
            self._writer.close()
        return taken


def _with_parents(location: bytes) -> Iterable[bytes]:
    while location not in (b"/", b""):
        yield location
        location = posixpath.dirname(location)


def tell_left(staging: str, count: int) -> LocalFileError:
    """Return the error for entries that could not be moved to their places."""
    return LocalFileError(
        f"{count} restored entries stay in {staging}: something with their names has appeared meanwhile",
        hint="Move them by hand, then remove that folder.",
    )
