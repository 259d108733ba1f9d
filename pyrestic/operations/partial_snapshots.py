"""The partial snapshots of one backup: checkpoints while it runs, and the one of an early end.

Each holds all that the one before holds, which is then removed; the finished backup removes the last one. Where
removing is refused, as in an append-only repository, the interval doubles each time.

Only snapshots that this run made are removed here, and the partial one that it continued, which is its parent: the new
tree is the parent's with what the disk has now. That one is removed only if every file could be read and nobody else
holds a lock, as `forget` would require.
"""

import time
from collections.abc import Callable

from pyrestic.errors import BackendError, NotFoundError
from pyrestic.handle import FileType
from pyrestic.ids import ID, short
from pyrestic.report import Reporter
from pyrestic.repository.lock_files import list_lock_ids
from pyrestic.repository.repository import Repository

_EARLIER_NS = 1_000_000


class PartialSnapshots:
    """Stores the partial snapshots of one backup.

    `save` makes a snapshot of a tree with a time in ns since 1970. Without an interval there are no checkpoints.
    """

    def __init__(
        self,
        repository: Repository,
        report: Reporter,
        save: Callable[[ID, int], ID],
        *,
        parent_tree: ID | None,
        time_ns: int,
        interval_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._report = report
        self._save = save
        self._tree = parent_tree
        # The finished snapshot of the same run has to be the newest one, for restic as well.
        self._time_ns = time_ns - _EARLIER_NS
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._due = self._find_due()
        self._made: list[ID] = []
        """Those that are not removed."""

    @property
    def newest(self) -> ID | None:
        """The newest partial snapshot of this run."""
        return self._made[-1] if self._made else None

    def seconds_left(self) -> float | None:
        """Return the seconds until the next checkpoint, None if there is none."""
        return max(0.0, self._due - self._clock()) if self._due is not None else None

    def take(self, tree: ID | None) -> None:
        """Store a checkpoint, unless nothing is new; raise PyresticError."""
        stored = self.store(tree)
        if stored is not None:
            self._report.note(f"checkpoint: snapshot {short(stored)} saved, partial", 2)
        self._due = self._find_due()

    def store(self, tree: ID | None) -> ID | None:
        """Store a partial snapshot of a merged tree and return its ID, None if nothing is new; raise PyresticError."""
        if tree is None or tree == self._tree:
            return None
        self._repository.saver.flush_saved()
        self._time_ns += 1
        stored = self._save(tree, self._time_ns)
        self._tree = tree
        self._made = [*self._remove(self._made), stored]
        if len(self._made) > 1 and self._interval_seconds is not None:
            self._interval_seconds *= 2
        return stored

    def remove_all(self) -> None:
        """Remove what the finished snapshot replaces."""
        self._made = self._remove(self._made)

    def _find_due(self) -> float | None:
        return self._clock() + self._interval_seconds if self._interval_seconds is not None else None

    def _remove(self, identifiers: list[ID]) -> list[ID]:
        return [one for one in identifiers if not _is_removed(self._repository, one, self._report)]


def remove_continued(repository: Repository, partial: ID, own_lock: ID | None, report: Reporter) -> None:
    """Remove the partial snapshot that a run continued, unless somebody else holds a lock; `forget` does it then."""
    try:
        others = [lock for lock in list_lock_ids(repository) if lock != own_lock]
    except BackendError as error:
        report.note(f"the partial snapshot {short(partial)} is not removed: {error}", 2)
        return
    if not others:
        _is_removed(repository, partial, report)


def _is_removed(repository: Repository, partial: ID, report: Reporter) -> bool:
    """Remove a snapshot, and return whether it is gone."""
    try:
        repository.remove(FileType.SNAPSHOT, partial)
    except NotFoundError:
        pass
    except BackendError as error:
        report.note(f"the partial snapshot {short(partial)} could not be removed: {error}", 2)
        return False
    return True
