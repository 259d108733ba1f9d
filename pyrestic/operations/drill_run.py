"""A drill with one snapshot: selects files by the previous snapshots, restores them in memory, and compares them."""

import os
import posixpath
from typing import NamedTuple

from pyrestic.errors import PyresticError
from pyrestic.ids import ID
from pyrestic.operations.drill import DrillResult, drill
from pyrestic.operations.drill_choice import Pick, choose_files
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot, read_snapshots
from pyrestic.repository.tree_walk import find_tree

_EARLIER = 10
"""Number of previous snapshots that show which files change most."""


class Drilled(NamedTuple):
    """The selected files, and their result."""

    picks: list[Pick]
    result: DrillResult


def run_drill(
    repository: Repository, found: StoredSnapshot, folder: str, report: Reporter, *, seed: int, budget_bytes: int
) -> Drilled:
    """Run a drill with a snapshot, or a folder of it; the index must be loaded. Raises PyresticError."""
    unread: list[tuple[bytes, PyresticError]] = []
    picks = choose_files(
        repository,
        find_tree(repository, found.snapshot.tree_id, folder),
        _trees_before(repository, found, folder),
        seed=seed,
        budget_bytes=budget_bytes,
        on_error=lambda location, error: unread.append((location, error)),
    )
    result = drill(repository, picks, report, root=os.fsencode(find_root(folder)))
    result.damaged += unread
    return Drilled(picks, result)


def find_root(folder: str) -> str:
    """Return the local folder of the locations in a drill."""
    return posixpath.normpath(os.path.join("/", folder))


def _trees_before(repository: Repository, found: StoredSnapshot, folder: str) -> list[ID]:
    """Return the trees of the previous snapshots of the same host and paths, newest first."""
    snapshot = found.snapshot
    before = [
        other.snapshot
        for other in read_snapshots(repository).found
        if (other.snapshot.hostname, other.snapshot.paths) == (snapshot.hostname, snapshot.paths)
        and other.snapshot.time_ns < snapshot.time_ns
    ]
    before.sort(key=lambda other: other.time_ns, reverse=True)
    trees = []
    for other in before[:_EARLIER]:
        try:
            trees.append(find_tree(repository, other.tree_id, folder))
        except PyresticError:
            # The folder did not exist yet, or is unreadable: its changes are unknown.
            break
    return trees
