"""The lengths of packs, in the index and in the backend."""

import math
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pyrestic.errors import NotFoundError
from pyrestic.format.pack import COMPRESSED_ENTRY_LENGTH, ENTRY_LENGTH
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, parse_id
from pyrestic.repository.blob_table import HEADER_OVERHEAD
from pyrestic.repository.index import Index
from pyrestic.repository.repository import Repository

NAMES_A_CALL = 1000
"""A listing of this number of names is billed as one call."""


def indexed_lengths(index: Index) -> dict[ID, int]:
    """Return the length in bytes of each pack in the index."""
    packs = index.pack_list()
    totals = np.zeros(len(packs), np.int64)
    for segment in index.segments():
        entries = np.where(segment.plain_lengths > 0, COMPRESSED_ENTRY_LENGTH, ENTRY_LENGTH)
        weights = segment.lengths.astype(np.int64) + entries
        totals += np.bincount(segment.pack_numbers, weights, len(packs)).astype(np.int64)
    lengths: dict[ID, int] = {}
    for pack, total in zip(packs, totals.tolist(), strict=True):
        # A pack in two index files is counted for each.
        lengths[pack] = max(lengths.get(pack, 0), total + HEADER_OVERHEAD)
    return lengths


class StoredLengths:
    """The lengths of packs in the backend, queried pack by pack or by one listing of all.

    `listing_costs` is the number of single-pack queries that cost as much as one listing call, which returns
    NAMES_A_CALL names. So this never costs more than one query for each pack.
    """

    def __init__(self, repository: Repository, listing_costs: float) -> None:
        self._repository = repository
        self._listing_costs = listing_costs
        self._known: dict[ID, int | None] = {}
        self._all_known = False
        self.asked = 0
        """Number of single-pack queries so far."""
        self.listed_calls = 0
        """Number of calls billed for listings."""

    def find(self, packs: Collection[ID]) -> dict[ID, int | None]:
        """Return the length in bytes of each of these packs, None for a missing one; raise BackendError."""
        unknown = [pack for pack in packs if pack not in self._known]
        if unknown and not self._all_known:
            pages = math.ceil(max(1, len(self._repository.index.packs())) / NAMES_A_CALL)
            if len(unknown) > self._listing_costs * pages:
                self._list()
            else:
                self._ask(unknown)
        return {pack: self._known.get(pack) for pack in packs}

    def _list(self) -> None:
        count = 0
        for info in self._repository.list_files(FileType.PACK):
            self._known[parse_id(info.name)] = info.length
            count += 1
        self._all_known = True
        self.listed_calls += math.ceil(max(1, count) / NAMES_A_CALL)

    def _ask(self, packs: list[ID]) -> None:
        backend = self._repository.backend

        def ask(pack: ID) -> int | None:
            try:
                return backend.stat(Handle(FileType.PACK, pack.hex())).length
            except NotFoundError:
                return None

        with ThreadPoolExecutor(backend.connections, "stat") as pool:
            self._known.update(zip(packs, pool.map(ask, packs), strict=True))
        self.asked += len(packs)
