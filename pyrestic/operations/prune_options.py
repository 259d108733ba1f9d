"""User options of a prune."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from pyrestic.errors import UsageError
from pyrestic.golang import parse_size

UNLIMITED: Final = (1 << 64) - 1


class UnusedLimit(NamedTuple):
    """The limit of unused data: a percentage of the remaining size, or a number of bytes."""

    percent: float | None = 5.0
    length: int = UNLIMITED

    def bytes_beside(self, used: int) -> int:
        """Return the limit of unused bytes for this number of used ones."""
        return self.length if self.percent is None else int(self.percent / (100 - self.percent) * used)


FIVE_PERCENT: Final = UnusedLimit()


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """User options of a prune; lengths are in bytes."""

    max_unused: UnusedLimit = FIVE_PERCENT
    max_repack: int = UNLIMITED
    small_pack: int = 0
    """Packs below this length are repacked; 0 derives it from the existing packs."""
    cacheable_only: bool = False
    uncompressed: bool = False
    recover_space: str = ""
    """Repack nothing and remove the index first, for a full disk: the ID of the repository, which confirms it."""


def make_prune_options(
    *,
    max_unused: str,
    max_repack_size: str,
    repack_smaller_than: str,
    cacheable_only: bool,
    uncompressed: bool,
    recover_space: str = "",
) -> PruneOptions:
    """Return the options, with sizes such as 10M; raise UsageError."""
    max_repack = parse_size(max_repack_size) if max_repack_size else UNLIMITED
    return PruneOptions(
        max_unused=parse_max_unused(max_unused),
        max_repack=0 if recover_space else max_repack,
        small_pack=_parse_small(repack_smaller_than),
        cacheable_only=cacheable_only,
        uncompressed=uncompressed,
        recover_space=recover_space,
    )


def parse_max_unused(text: str) -> UnusedLimit:
    """Return the limit in --max-unused; raise UsageError."""
    word = text.strip()
    if not word:
        raise UsageError(f'invalid value for --max-unused: "{text}"')
    if word == "unlimited":
        return UnusedLimit(None)
    if word.endswith("%"):
        return UnusedLimit(_parse_percent(word[:-1], text))
    try:
        return UnusedLimit(None, parse_size(word))
    except UsageError as error:
        raise UsageError(f'invalid number of bytes "{text}" for --max-unused: {error}') from None


def _parse_percent(number: str, text: str) -> float:
    try:
        percent = float(number)
        if number != number.strip() or "_" in number or percent != percent:
            raise ValueError
    except ValueError:
        raise UsageError(
            f'invalid percentage "{text}" passed for --max-unused: strconv.ParseFloat: parsing "{number}": invalid'
            " syntax"
        ) from None
    if percent < 0:
        raise UsageError("percentage for --max-unused must be positive")
    if percent >= 100:
        raise UsageError("percentage for --max-unused must be below 100%")
    return percent


def _parse_small(text: str) -> int:
    if not text:
        return 0
    try:
        size = parse_size(text)
    except UsageError as error:
        raise UsageError(f'invalid number of bytes "{text}" for --repack-smaller-than: {error}') from None
    if size <= 0:
        raise UsageError("--repack-smaller-than must be larger than zero")
    return size


def check_options(
    options: PruneOptions, *, repository_id: str, version: int, connections: int, pack_length: int
) -> None:
    """Raise UsageError for options that do not fit the repository."""
    if options.recover_space and options.recover_space != repository_id:
        raise UsageError(f"must pass id '{repository_id}' to --unsafe-recover-no-free-space")
    if connections < 2:
        raise UsageError("prune requires a backend connection limit of at least two")
    if version < 2 and options.uncompressed:
        raise UsageError("compression requires at least repository format version 2")
    if options.small_pack > pack_length:
        raise UsageError("repack-smaller-than exceeds repository packsize")
