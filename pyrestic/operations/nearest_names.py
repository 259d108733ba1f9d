"""What a person may have meant whose patterns match nothing in a snapshot."""

import itertools
import re
from collections.abc import Callable, Iterable

from pyrestic.format.node import Node
from pyrestic.ids import ID
from pyrestic.nearest import ask_meant, find_nearest
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import walk

_LOOKED_AT = 50_000
"""So many names are compared at most."""
_WILD = re.compile(r"[*?\[\]\\]+")


def suggest_for_patterns(
    repository: Repository, tree: ID, patterns: Iterable[str], load: Callable[[ID], list[Node]]
) -> str:
    """Return a sentence with the locations below a tree whose names come nearest to those of patterns, "" for none.

    Trees that cannot be read are passed over.
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
