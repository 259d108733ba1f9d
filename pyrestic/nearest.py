"""Suggestions for misspelled names: the nearest existing names, as a hint for a message."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

Kind = Literal["IDs", "commands", "hosts", "keys", "migrations", "names", "options", "paths", "tags"]
"""What the names denote, in the plural, for messages."""
MEANT: Final = "Did you mean {}?"
THERE_ARE: Final = "The {} there are: {}."
_MOST = 3
_ALL = 5
_LIKE = 0.65


def find_nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return a few similar known names, nearest first: those with this prefix, and misspelled ones."""
    from difflib import get_close_matches

    by_folded: dict[str, list[str]] = {}
    for one in sorted(set(known)):
        by_folded.setdefault(one.casefold(), []).append(one)
    folded = name.casefold()
    near = [folded] if folded in by_folded else []
    if folded:
        near += [one for one in by_folded if one.startswith(folded)]
    near += get_close_matches(folded, by_folded, _MOST, _LIKE)
    return [one for key in dict.fromkeys(near) for one in by_folded[key]][:_MOST]


def suggest(name: str, known: Iterable[str], what: Kind = "names") -> str:
    """Return a hint with the similar names, or with all names if there are few; "" for neither."""
    # A hint may have several lines; a name is part of one.
    names = sorted({one.replace("\n", r"\n") for one in known})
    near = find_nearest(name, names)
    if near:
        return ask_meant(near)
    return THERE_ARE.format(what, ", ".join(names)) if 0 < len(names) <= _ALL else ""


def ask_meant(near: Sequence[str]) -> str:
    """Return a question that offers these names, "" if there are none."""
    return MEANT.format(join(list(near))) if near else ""


def join(names: list[str]) -> str:
    """Return names as an enumeration with "or"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
