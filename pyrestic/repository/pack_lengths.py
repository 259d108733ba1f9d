"""How long packs are: as the index has it, and as they are stored."""

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
"""So many names of a listing are billed as one call."""


def indexed_lengths(index: Index) -> dict[ID, int]:
    """Return the length in bytes of each pack that the index names."""
    packs = index.pack_list()
    totals = np.zeros(len(packs), np.int64)
    for segment in index.segments():
        entries = np.where(segment.plain_lengths > 0, COMPRESSED_ENTRY_LENGTH, ENTRY_LENGTH)
        weights = segment.lengths.astype(np.int64) + entries
        totals += np.bincount(segment.pack_numbers, weights, len(packs)).astype(np.int64)
    lengths: dict[ID, int] = {}
    for pack, total in zip(packs, totals.tolist(), strict=True):
        # A pack that two index files name is counted for each.
        lengths[pack] = max(lengths.get(pack, 0), total + HEADER_OVERHEAD)
    return lengths


class StoredLengths:
    """The lengths of packs as the repository's place has them, asked for pack by pack or by one listing of all.

    `listing_costs` says how many questions for single packs cost as much as one call of a listing, which tells
    NAMES_A_CALL names. So what is asked here never costs more than a question for each pack that is wanted.
    """

    def __init__(self, repository: Repository, listing_costs: float) -> None:
        self._repository = repository
        self._listing_costs = listing_costs
        self._known: dict[ID, int | None] = {}
        self._all_known = False
        self.asked = 0
        """How often a single pack was asked for."""
        self.listed_calls = 0
        """How many calls listings were billed as."""

    def find(self, packs: Collection[ID]) -> dict[ID, int | None]:
        """Return the length in bytes of each of these packs, None for one that is not there; raise BackendError."""
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
