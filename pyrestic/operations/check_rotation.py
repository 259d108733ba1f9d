"""Reading a part of all packs each time, those first that were verified longest ago.

So a check with a budget, on a timer, gets round to every pack: it needs as many runs as the budget goes into the
repository. Packs that were never verified come first, in the order of their IDs, which is one of chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyrestic.ids import ID


@dataclass(frozen=True, slots=True)
class Rotation:
    """When each pack was verified whole, in seconds since 1970, and how many bytes may be read."""

    verified: Mapping[ID, int]
    budget_bytes: int

    def choose(self, packs: dict[ID, int]) -> dict[ID, int]:
        """Return the packs to read with their lengths: one at least, and no more than the budget has room for."""
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
    """How much of a repository was verified, and how long ago at most."""

    packs: int
    never: int
    never_bytes: int
    oldest_seconds: int | None
    """When that pack was verified whose turn is longest ago, in seconds since 1970; None if none ever was."""


def measure_coverage(packs: Mapping[ID, int], verified: Mapping[ID, int]) -> Coverage:
    """Return the coverage of packs, given with their lengths."""
    never = [length for pack, length in packs.items() if pack not in verified]
    oldest = min((verified[pack] for pack in packs if pack in verified), default=None)
    return Coverage(len(packs), len(never), sum(never), oldest)
