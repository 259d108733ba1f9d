"""Finds the blobs that snapshots use: a walk through all trees, each loaded once.

Trees are processed in rounds, level by level for some snapshots at a time, and each round is fetched in as few requests
as its trees' packs allow. So a repository without a cache on a distant server costs a few requests per level, not one
per tree.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pyrestic.errors import PyresticError
from pyrestic.format.tree import parse_links
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.report import Progress, Reporter
from pyrestic.repository.blob_table import BlobTable, encode_handles
from pyrestic.repository.loader import plain_of
from pyrestic.repository.repository import Repository

_ROOTS: Final = 64
_ROUND: Final = 4096
_BUFFERED_BYTES: Final = 4 << 20


def _fail(_: BlobHandle, error: PyresticError) -> None:
    raise error


def find_used_blobs(
    repository: Repository,
    table: BlobTable,
    roots: Sequence[ID],
    report: Reporter,
    *,
    progress: Progress | None = None,
    fail: Callable[[BlobHandle, PyresticError], None] = _fail,
) -> tuple[NDArray[np.bool_], set[BlobHandle]]:
    """Return for each blob of the table whether it is used, and the used blobs that the table does not know.

    Raises the PyresticError of the first tree that cannot be read, unless `fail` takes it. A `progress` that is given
    is shown already.
    """
    walk = _Walk(repository, table, fail)
    shown = progress is not None
    progress = progress or Progress("snapshots", "snapshots", len(roots))
    rest = iter(roots)
    with nullcontext() if shown else report.show(progress):
        while batch := list(islice(rest, _ROOTS)):
            walk.visit(batch)
            progress.done += len(batch)
    walk.settle()
    return walk.used, walk.missing


def find_first_use(
    repository: Repository, table: BlobTable, roots: Sequence[ID], report: Reporter
) -> tuple[NDArray[np.int32], set[BlobHandle]]:
    """Return for each blob of the table the first of the roots that uses it, or -1, and the used unknown blobs.

    Raises the PyresticError of the first tree that cannot be read.
    """
    walk = _FirstUse(repository, table, _fail)
    progress = Progress("snapshots", "snapshots", len(roots), only_on_terminal=True)
    with report.show(progress):
        for number, root in enumerate(roots):
            walk.number = number
            walk.visit([root])
            walk.settle()
            progress.done += 1
    return walk.first, walk.missing


class _Walk:
    def __init__(
        self, repository: Repository, table: BlobTable, fail: Callable[[BlobHandle, PyresticError], None]
    ) -> None:
        self._fail = fail
        self.used = np.zeros(table.blob_count, np.bool_)
        self.missing: set[BlobHandle] = set()
        self._repository = repository
        self._table = table
        self._seen: set[ID] = set()
        self._noted = bytearray()

    def visit(self, roots: list[ID]) -> None:
        """Walk all unseen trees below the roots."""
        waiting = self._unseen(roots)
        while waiting:
            trees, waiting = waiting[-_ROUND:], waiting[:-_ROUND]
            waiting += self._load(trees)

    def settle(self) -> None:
        """Mark the blobs recorded so far."""
        numbers, missing = self._table.find(bytes(self._noted))
        self._mark(numbers)
        self.missing.update(missing)
        self._noted.clear()

    def _mark(self, numbers: NDArray[np.int64]) -> None:
        self.used[numbers] = True

    def _unseen(self, trees: list[ID]) -> list[ID]:
        fresh = [tree for tree in dict.fromkeys(trees) if tree not in self._seen]
        self._seen.update(fresh)
        self._noted += encode_handles(BlobType.TREE, fresh)
        return fresh

    def _load(self, trees: list[ID]) -> list[ID]:
        """Load trees, record their blobs, and return the trees below them."""
        below: list[ID] = []
        for handle, outcome in self._repository.loader.load_each(BlobHandle(BlobType.TREE, tree) for tree in trees):
            try:
                below += self._read(plain_of(outcome))
            except PyresticError as error:
                self._fail(handle, error)
        if len(self._noted) > _BUFFERED_BYTES:
            self.settle()
        return self._unseen(below)

    def _read(self, data: bytes) -> list[ID]:
        """Return the subtrees of a tree, and record the content of its files."""
        links = parse_links(data)
        self._noted += encode_handles(BlobType.DATA, links.content)
        return links.trees


class _FirstUse(_Walk):
    def __init__(
        self, repository: Repository, table: BlobTable, fail: Callable[[BlobHandle, PyresticError], None]
    ) -> None:
        super().__init__(repository, table, fail)
        self.number = 0
        self.first = np.full(table.blob_count, -1, np.int32)

    def _mark(self, numbers: NDArray[np.int64]) -> None:
        self.first[numbers[self.first[numbers] < 0]] = self.number
