"""Histories of files and folders, computed one after the other; the most recent ones are cached."""

import threading
from collections import OrderedDict

from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.vfs.history import History, find_history
from pyrestic.web.catalog import Shelf

_KEPT = 16


class Histories:
    """Computes histories, one after the other, and caches the most recent ones. Thread-safe."""

    def __init__(self, repository: Repository, index: HistoryIndex | None, report: Reporter) -> None:
        self._repository = repository
        self._index = index
        self._report = report
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[Shelf, History]] = OrderedDict()

    def find(self, shelf: Shelf, location: bytes) -> History:
        """Return the history of a location in all snapshots; raise PyresticError."""
        with self._lock:
            kept = self._kept.get(location)
            if kept is not None and kept[0] is shelf:
                self._kept.move_to_end(location)
                return kept[1]
            history = find_history(self._repository, shelf.snapshots, location, self._index, self._report)
            self._kept[location] = shelf, history
            self._kept.move_to_end(location)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return history
