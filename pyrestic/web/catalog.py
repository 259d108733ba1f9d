"""The visible snapshots, newest first; new backups appear after a while."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from pyrestic.errors import NotFoundError, PyresticError
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot, load_all_snapshots, load_snapshot

_REFRESH_SECONDS = 30.0
_LEAST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Shelf:
    """The snapshots at one time, newest first."""

    snapshots: list[StoredSnapshot] = field(default_factory=list)
    places: dict[ID, int] = field(default_factory=dict)
    sorted_ids: list[str] = field(default_factory=list)


class Catalog:
    """Lists the snapshots that match a filter; later backups appear automatically, with their index files.

    Thread-safe.
    """

    def __init__(
        self,
        repository: Repository,
        wanted: SnapshotFilter,
        report: Reporter,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._wanted = wanted.absolute()
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        found = load_all_snapshots(
            repository, report, what="which state is the newest", skip_damaged=wanted.skip_damaged
        )
        self._known: dict[ID, StoredSnapshot] = {stored.id: stored for stored in found}
        self._unreadable: set[ID] = set()
        self._shelf = self._arrange()
        self._looked_at = clock()

    def shelf(self) -> Shelf:
        """Return the snapshots; raise nothing: if the backend fails, return the last known ones."""
        with self._lock:
            if self._clock() - self._looked_at >= _REFRESH_SECONDS:
                try:
                    self._refresh()
                except PyresticError as error:
                    self._report.error("snapshots", error)
                self._looked_at = self._clock()
            return self._shelf

    def snapshots(self) -> list[StoredSnapshot]:
        """Return the snapshots, newest first."""
        return self.shelf().snapshots

    def find(self, digits: str) -> StoredSnapshot:
        """Return the snapshot whose ID begins with these hex digits, eight at least; raise NotFoundError."""
        shelf = self.shelf()
        place = bisect_left(shelf.sorted_ids, digits)
        found = [one for one in shelf.sorted_ids[place : place + 2] if one.startswith(digits)]
        if len(found) != 1 or len(digits) < _LEAST_DIGITS:
            raise NotFoundError("There is no such snapshot; it may have been removed.")
        return shelf.snapshots[shelf.places[bytes.fromhex(found[0])]]

    def before(self, stored: StoredSnapshot) -> StoredSnapshot | None:
        """Return the previous snapshot of the same host and paths."""
        shelf = self.shelf()
        return next((one for one in shelf.snapshots[shelf.places[stored.id] + 1 :] if _alike(one, stored)), None)

    def after(self, stored: StoredSnapshot) -> StoredSnapshot | None:
        """Return the next snapshot of the same host and paths."""
        shelf = self.shelf()
        return next((one for one in reversed(shelf.snapshots[: shelf.places[stored.id]]) if _alike(one, stored)), None)

    def _refresh(self) -> None:
        present = set(self._repository.list_ids(FileType.SNAPSHOT))
        new = present - self._known.keys() - self._unreadable
        gone = self._known.keys() - present
        if not new and not gone:
            return
        if new:
            self._repository.load_new_index()
        for identifier in new:
            try:
                self._known[identifier] = StoredSnapshot(identifier, load_snapshot(self._repository, identifier))
            except PyresticError as error:
                self._unreadable.add(identifier)
                self._report.error(f"snapshot {identifier.hex()[:8]}", error)
        for identifier in gone:
            del self._known[identifier]
        self._shelf = self._arrange()

    def _arrange(self) -> Shelf:
        chosen = [stored for stored in self._known.values() if self._wanted.matches(stored.snapshot)]
        chosen.sort(key=lambda stored: (stored.snapshot.time_ns, stored.id), reverse=True)
        places = {stored.id: place for place, stored in enumerate(chosen)}
        return Shelf(chosen, places, sorted(identifier.hex() for identifier in places))


def _alike(one: StoredSnapshot, other: StoredSnapshot) -> bool:
    return one.snapshot.hostname == other.snapshot.hostname and one.snapshot.paths == other.snapshot.paths
