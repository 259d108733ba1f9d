"""Selects the files of a drill: those that changed most often, the largest ones, and random ones.

The same seed, snapshots and budget select the same files.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pyrestic.errors import PyresticError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.ids import ID, parse_id
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import KeptTrees, walk

_CANDIDATES = 2000
_MAX_CHANGED = 200_000
_MAX_LARGEST = 5

LARGEST, CHANGED, RANDOM = "largest", "changed", "random"


class Pick(NamedTuple):
    """A file, and the reason for its selection."""

    location: bytes
    node: Node
    why: str


def choose_files(
    repository: Repository,
    tree: ID,
    earlier: Sequence[ID],
    *,
    seed: int,
    budget_bytes: int,
    on_error: Callable[[bytes, PyresticError], None],
) -> list[Pick]:
    """Select files below a tree, no more than fit into the budget.

    `earlier` are the trees of the previous snapshots, newest first: the number of differences between them shows how
    often a file changes. Unreadable folders go to `on_error`; raises PyresticError if the tree itself is unreadable.
    """
    trees = KeptTrees(repository)
    changes: Counter[bytes] = Counter()
    for newer, older in zip([tree, *earlier], earlier, strict=False):
        _count_changes(trees.load, newer, older, changes)
    candidates = _Candidates(random.Random(seed), changes)
    for location, node, _ in walk(repository, tree, load=trees.load, on_error=on_error):
        if node.type == FILE and 0 < node.size <= budget_bytes:
            candidates.add(location, node)
    return candidates.choose(budget_bytes)


def _count_changes(load: Callable[[ID], list[Node]], newer: ID, older: ID, changes: Counter[bytes]) -> None:
    """Count the files whose content differs from the older tree; unreadable folders are skipped."""
    waiting = [(b"", newer, older)]
    while waiting and len(changes) < _MAX_CHANGED:
        folder, one, other = waiting.pop()
        if one == other:
            continue
        try:
            before = {node.name: node for node in load(other)}
            now = load(one)
        except PyresticError:
            continue
        for node in now:
            old = before.get(node.name)
            if old is None or old.type != node.type:
                continue
            if node.type == FILE and node.content != old.content:
                changes[folder + b"/" + node.raw_name] += 1
            elif node.type == DIRECTORY and node.subtree and old.subtree:
                waiting.append((folder + b"/" + node.raw_name, parse_id(node.subtree), parse_id(old.subtree)))


class _Candidates:
    """Some thousand files of each kind, however many there are."""

    def __init__(self, dice: random.Random, changes: Counter[bytes]) -> None:
        self._dice = dice
        self._changes = changes
        self._largest: list[tuple[int, int, bytes, Node]] = []
        self._changed: list[tuple[int, int, bytes, Node]] = []
        self._random: list[tuple[bytes, Node]] = []
        self._count = 0

    def add(self, location: bytes, node: Node) -> None:
        """Consider a file."""
        self._count += 1
        # The number breaks ties, so that nodes are never compared.
        _keep(self._largest, (node.size, -self._count, location, node))
        changed = self._changes.get(location, 0)
        if changed:
            _keep(self._changed, (changed, -self._count, location, node))
        if len(self._random) < _CANDIDATES:
            self._random.append((location, node))
        elif (place := self._dice.randrange(self._count)) < _CANDIDATES:
            self._random[place] = (location, node)

    def choose(self, budget_bytes: int) -> list[Pick]:
        """Return the selection: changed and large files for a third of the budget each, random ones for the rest."""
        self._dice.shuffle(self._random)
        chosen: dict[bytes, Pick] = {}
        changed = [(location, node) for _, _, location, node in sorted(self._changed, reverse=True)]
        left = budget_bytes - _take(chosen, CHANGED, changed, budget_bytes // 3)
        largest = [(location, node) for _, _, location, node in sorted(self._largest, reverse=True)]
        left -= _take(chosen, LARGEST, largest, budget_bytes // 3, most=_MAX_LARGEST)
        _take(chosen, RANDOM, self._random, left)
        return list(chosen.values())


def _keep(heap: list[tuple[int, int, bytes, Node]], item: tuple[int, int, bytes, Node]) -> None:
    if len(heap) < _CANDIDATES:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _take(
    chosen: dict[bytes, Pick], why: str, files: Iterable[tuple[bytes, Node]], room: int, *, most: int = _CANDIDATES
) -> int:
    """Select files that fit into this number of bytes; return their total."""
    taken = 0
    for location, node in files:
        if most and location not in chosen and node.size <= room - taken:
            chosen[location] = Pick(location, node, why)
            taken += node.size
            most -= 1
    return taken
