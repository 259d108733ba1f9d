"""Folders in a chosen order. Recent orders are cached: a large folder is sorted once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from pyrestic.errors import NotFoundError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID
from pyrestic.vfs.view import Entry, View

ORDERS: Final = ("name", "size", "date")
_KEPT_ROWS: Final = 300_000


Row = tuple[bytes, Node]
"""A name in a folder, and its entry."""


class Order(NamedTuple):
    """Sort keys of a folder."""

    by: str = "name"
    descending: bool = False


class Listing:
    """Sorts folders. Thread-safe."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[ID, Order], list[Row]] = OrderedDict()
        self._rows = 0

    def rows(self, entry: Entry, order: Order) -> list[Row]:
        """Return a folder's rows, folders first; raise NotFoundError, DamageError or BackendError."""
        if entry.tree is None:
            raise NotFoundError("This is not a folder.")
        key = (entry.tree, order)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        rows = list(self._view.nodes(entry).items())
        rows.sort(key=lambda row: row[0].decode("utf-8", "replace").casefold())
        if order.by != "name":
            rows.sort(key=_KEYS[order.by], reverse=order.descending)
        elif order.descending:
            rows.reverse()
        rows.sort(key=_is_no_folder)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = rows
                self._rows += len(rows)
            while len(self._kept) > 1 and self._rows > _KEPT_ROWS:
                _, dropped = self._kept.popitem(last=False)
                self._rows -= len(dropped)
        return rows


def _is_no_folder(row: Row) -> bool:
    return row[1].type != DIRECTORY


def _size(row: Row) -> int:
    return row[1].size


def _date(row: Row) -> int:
    return row[1].mtime_ns


_KEYS: Final[dict[str, Callable[[Row], int]]] = {"size": _size, "date": _date}
