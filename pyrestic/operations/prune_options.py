"""What a person may decide about a prune."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from pyrestic.errors import UsageError

UNLIMITED: Final = (1 << 64) - 1


class UnusedLimit(NamedTuple):
    """How much may stay unused: a share in percent of all that remains, or so many bytes."""

    percent: float | None = 5.0
    length: int = UNLIMITED

    def bytes_beside(self, used: int) -> int:
        """Return how many bytes may be unused beside so many used ones."""
        return self.length if self.percent is None else int(self.percent / (100 - self.percent) * used)


FIVE_PERCENT: Final = UnusedLimit()


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """What a person may decide about a prune; lengths are bytes."""

    max_unused: UnusedLimit = FIVE_PERCENT
    max_repack: int = UNLIMITED
    small_pack: int = 0
    """Packs below this length are repacked; 0 chooses it by the packs there are."""
    cacheable_only: bool = False
    uncompressed: bool = False
    recover_space: bool = False
    """Repack nothing and remove the index first: for a place that is full."""


def check_options(options: PruneOptions, *, version: int, connections: int, pack_length: int) -> None:
    """Raise UsageError for options that do not suit the repository."""
    if connections < 2:
        raise UsageError("prune requires a backend connection limit of at least two")
    if version < 2 and options.uncompressed:
        raise UsageError("compression requires at least repository format version 2")
    if options.small_pack > pack_length:
        raise UsageError("repack-smaller-than exceeds repository packsize")
