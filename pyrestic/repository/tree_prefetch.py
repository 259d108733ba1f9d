"""Prefetches trees in batches.

A walk from folder to folder needs one tree after the other, and each would cost a request. So a tree that is not cached
is fetched together with the upcoming ones, level by level below the waiting folders, in as few requests as their packs
allow. The size of prefetched trees is bounded, and so is the size of visited trees kept for the next snapshot: they
count by their stored bytes, and take about twice as much as objects.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from pyrestic.errors import FormatError, PyresticError
from pyrestic.format.node import Node
from pyrestic.format.tree import parse_tree
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.repository.repository import Repository

_AHEAD_BYTES: Final = 4 << 20
_KEPT_BYTES: Final = 4 << 20
_WAITING: Final = 1024
_NEXT: Final = 32
_ROUND: Final = 1024

T = TypeVar("T")


class TreeCache:
    """The cached trees, upcoming and visited."""

    def __init__(
        self, repository: Repository, *, ahead_bytes: int = _AHEAD_BYTES, kept_bytes: int = _KEPT_BYTES
    ) -> None:
        self._repository = repository
        self._ahead_bytes = ahead_bytes
        self._kept_bytes = kept_bytes
        self._ahead: dict[ID, tuple[list[Node], int]] = {}
        self._waiting_bytes = 0
        self._kept: OrderedDict[ID, tuple[list[Node], int]] = OrderedDict()
        self._visited_bytes = 0
        self._failed: dict[ID, PyresticError] = {}

    def _has(self, tree: ID) -> bool:
        return tree in self._ahead or tree in self._kept or tree in self._failed

    def peek(self, tree: ID) -> list[Node] | None:
        """Return a tree if it is cached."""
        found = self._ahead.get(tree) or self._kept.get(tree)
        return found[0] if found else None

    def take(self, tree: ID) -> list[Node]:
        """Return a tree and mark it as visited; raise DamageError or BackendError."""
        if tree in self._failed:
            raise self._failed[tree]
        if tree in self._kept:
            self._kept.move_to_end(tree)
            return self._kept[tree][0]
        found = self._ahead.pop(tree, None)
        if found is None:
            found = self._load(tree)
        else:
            self._waiting_bytes -= found[1]
        self._kept[tree] = found
        self._visited_bytes += found[1]
        while self._visited_bytes > self._kept_bytes and len(self._kept) > 1:
            _, (_, length) = self._kept.popitem(last=False)
            self._visited_bytes -= length
        return found[0]

    def _load(self, tree: ID) -> tuple[list[Node], int]:
        try:
            data = self._repository.load_blob(BlobHandle(BlobType.TREE, tree))
            return parse_tree(data), len(data)
        except PyresticError as error:
            self._failed[tree] = error
            raise

    def _fetch(self, trees: Iterable[ID], limit: int) -> None:
        """Fetch trees up to about `limit` bytes, and always the first."""
        wanted = (BlobHandle(BlobType.TREE, tree) for tree in trees)
        found: dict[ID, tuple[list[Node], int]] = {}
        for handle, outcome in self._repository.loader.load_each(wanted, limit_bytes=limit):
            # An error is left to the user of the tree.
            if isinstance(outcome, bytes):
                with contextlib.suppress(FormatError):
                    found[handle.id] = parse_tree(outcome), len(outcome)
        self._ahead |= found
        self._waiting_bytes += sum(length for _, length in found.values())

    def prepare(
        self,
        now: T,
        upcoming: Iterator[T],
        trees_of: Callable[[T], Iterable[ID]],
        below: Callable[[T], Iterable[T]],
    ) -> None:
        """Cache the trees of `now`, and the upcoming ones, level by level below it.

        If many unvisited trees are cached, only the nearest are fetched. `below` returns the subfolders of cached
        trees. Unreadable trees are left to `take`.
        """
        if all(self._has(tree) for tree in trees_of(now)):
            return
        roomy = 2 * self._waiting_bytes < self._ahead_bytes
        level = [now, *islice(upcoming, _WAITING if roomy else _NEXT)]
        # Many trees may be waiting, such as the roots of all snapshots: half of the limit is for those below the first.
        room = (self._ahead_bytes - self._waiting_bytes) // 2
        while level:
            missing = [tree for one in level for tree in trees_of(one) if not self._has(tree)][:_ROUND]
            if missing:
                self._fetch(missing, max(room, 1))
            room = self._ahead_bytes - self._waiting_bytes
            if not roomy or room <= 0:
                return
            level = [each for one in level for each in below(one)]
