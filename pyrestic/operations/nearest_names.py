"""Suggestions for patterns that match nothing in a snapshot."""

import itertools
import re
from collections.abc import Callable, Iterable

from pyrestic.format.node import Node
from pyrestic.ids import ID
from pyrestic.nearest import ask_meant, find_nearest
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import walk

_LOOKED_AT = 50_000
"""Maximum number of compared names."""
_WILD = re.compile(r"[*?\[\]\\]+")


def suggest_for_patterns(
    repository: Repository, tree: ID, patterns: Iterable[str], load: Callable[[ID], list[Node]]
) -> str:
    """Return a hint with the locations below a tree whose names are closest to those of patterns, "" for none.

    Unreadable trees are skipped.
    """
    by_name: dict[str, list[str]] = {}
    visits = walk(repository, tree, load=load, on_error=lambda *_: None)
    for visit in itertools.islice(visits, _LOOKED_AT):
        location = visit.location.decode("utf-8", "surrogateescape")
        by_name.setdefault(location.rpartition("/")[2], []).append(location)
    near = {
        location
        for pattern in patterns
        for name in find_nearest(_WILD.sub("", pattern.rstrip("/").rpartition("/")[2]), by_name)
        for location in by_name[name][:2]
    }
    return ask_meant(sorted(near)[:3])
