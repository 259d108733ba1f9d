"""Finds the parent snapshot of a backup: the state to which files are compared."""

from typing import NamedTuple

from pyrestic.errors import BackendError, DamageError
from pyrestic.ids import short
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import (
    SnapshotFilter,
    StoredSnapshot,
    Unreadable,
    newest_first,
    read_snapshots,
)


class Parent(NamedTuple):
    """The parent snapshot of a backup, if there is one, and the unreadable snapshots."""

    found: StoredSnapshot | None
    unreadable: list[Unreadable]
    complete: StoredSnapshot | None = None
    """The newest complete snapshot, if the parent is a newer partial one."""

    def ensure_complete(self) -> None:
        """Raise DamageError or BackendError if one of the snapshots could not be read."""
        if self.unreadable:
            identifier, error = self.unreadable[0]
            kind = BackendError if isinstance(error, BackendError) else DamageError
            raise kind(
                f"snapshot {short(identifier)} cannot be read, so it could not be the parent of this backup: {error}",
                hint="The new snapshot is stored and complete. With --skip-damaged such a backup ends with 0.",
            )


def find_parent(repository: Repository, wanted: SnapshotFilter, report: Reporter) -> Parent:
    """Return the newest readable snapshot that matches: a wrong parent costs time, no backup costs data.

    Raises BackendError if the snapshots cannot be listed.
    """
    snapshots = read_snapshots(repository)
    matching = newest_first(snapshots.found, wanted)
    found = next(iter(matching), None)
    complete = next((one for one in matching if not one.snapshot.is_partial), None)
    if complete is found:
        complete = None
    if not wanted.skip_damaged:
        return Parent(found, snapshots.unreadable, complete)
    for identifier, error in snapshots.unreadable:
        report.note(f"snapshot {short(identifier)} is left out: {error}", 0)
    return Parent(found, [], complete)
