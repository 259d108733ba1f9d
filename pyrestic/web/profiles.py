"""How things stand with the profiles of this machine, as the first page shows it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class ProfileStates(NamedTuple):
    """A table of the profiles, a row each, and what there is to say; `well` means that nobody has to act."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    sentences: Sequence[str]
    well: bool


LookAtProfiles = Callable[[], ProfileStates | None]
"""Returns how things stand now, None if no profile is used."""
