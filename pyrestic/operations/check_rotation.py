"""Selects part of all packs, least recently verified first.

So a check with a budget, on a timer, reaches every pack: it takes as many runs as the size of the repository divided by
the budget. Packs that were never verified come first, in order of their IDs, which is random.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyrestic.ids import ID


@dataclass(frozen=True, slots=True)
class Rotation:
    """The last full verification of each pack, in seconds since 1970, and the number of bytes to read."""

    verified: Mapping[ID, int]
    budget_bytes: int

    def choose(self, packs: dict[ID, int]) -> dict[ID, int]:
        """Return the packs to read with their lengths: at least one, and no more than fit into the budget."""
        chosen: dict[ID, int] = {}
        room = self.budget_bytes
        for pack in sorted(packs, key=lambda pack: (self.verified.get(pack, 0), pack)):
            if chosen and packs[pack] > room:
                break
            chosen[pack] = packs[pack]
            room -= packs[pack]
        return chosen


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a repository was verified, and the oldest verification."""

    packs: int
    never: int
    never_bytes: int
    oldest_seconds: int | None
    """The oldest verification in seconds since 1970; None if there was none."""


def measure_coverage(packs: Mapping[ID, int], verified: Mapping[ID, int]) -> Coverage:
    """Return the coverage of packs, given with their lengths."""
    never = [length for pack, length in packs.items() if pack not in verified]
    oldest = min((verified[pack] for pack in packs if pack in verified), default=None)
    return Coverage(len(packs), len(never), sum(never), oldest)
