"""Recover: makes a snapshot of all unreferenced trees, each as a folder named by its ID.

The index is repaired first, so that every pack counts. Then all trees are read in batches; those without a reference
from another tree or a snapshot are roots.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pyrestic.errors import PyresticError
from pyrestic.format.gojson import format_time
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.format.tree import encode_tree, parse_tree
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id, short
from pyrestic.operations.repair_index import repair_index
from pyrestic.report import Progress, Reporter
from pyrestic.repository.blob_table import BlobTable
from pyrestic.repository.loader import plain_of
from pyrestic.repository.new_snapshot import save_snapshot
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshots

_AT_ONCE: Final = 4096
_FOLDER_MODE: Final = 0o755
_PATH: Final = "/recover"
_TAG: Final = "recovered"


@dataclass(frozen=True, slots=True)
class Maker:
    """The user and host of the snapshot."""

    hostname: str
    username: str
    uid: int
    gid: int


def find_roots(repository: Repository, report: Reporter, ensure_locked: Callable[[], None]) -> list[ID]:
    """Repair the index, load it, and return the trees without a reference from a tree or a snapshot, sorted.

    Raises PyresticError. An unreadable tree is only reported; it may well be a root.
    """
    report.note("ensuring index is complete")
    repair_index(repository, report, ensure_locked)
    report.note("load index files")
    repository.load_index(report)
    table = BlobTable(repository.index)
    numbers = np.unique(table.blob[table.is_tree()]).tolist()
    trees = [table.handle(number).id for number in numbers]
    report.note(f"load {len(trees)} trees")
    named = _named_by_trees(repository, trees, report)
    report.note("load snapshots")
    named.update(stored.snapshot.tree_id for stored in load_snapshots(repository, report))
    report.note("done")
    roots = sorted(set(trees) - named)
    for root in roots:
        report.note(f"found root tree {short(root)}", 2)
    return roots


def save_recovered(
    repository: Repository, roots: list[ID], maker: Maker, time_ns: int, ensure_locked: Callable[[], None]
) -> ID:
    """Store a snapshot with a folder for each root; return its ID. Raises PyresticError."""
    when = format_time(time_ns, time.localtime(time_ns // 1_000_000_000).tm_gmtoff)
    folders: dict[str, Node] = {}
    for root in roots:
        # Two roots may share their first digits.
        name = short(root) if short(root) not in folders else root.hex()
        folders[name] = Node(
            name=name,
            type=DIRECTORY,
            mode=_FOLDER_MODE,
            mtime=when,
            atime=when,
            ctime=when,
            subtree=root.hex(),
        )
    tree = repository.saver.save(BlobType.TREE, encode_tree([folders[name] for name in sorted(folders)])).id
    repository.flush()
    snapshot = Snapshot(
        time=when,
        tree=tree.hex(),
        paths=[_PATH],
        hostname=maker.hostname,
        username=maker.username,
        uid=maker.uid,
        gid=maker.gid,
        tags=[_TAG],
    )
    ensure_locked()
    return save_snapshot(repository, snapshot)


def _named_by_trees(repository: Repository, trees: list[ID], report: Reporter) -> set[ID]:
    progress = Progress("trees loaded", "trees", len(trees))
    named: set[ID] = set()

    with report.show(progress):
        for start in range(0, len(trees), _AT_ONCE):
            handles = [BlobHandle(BlobType.TREE, tree) for tree in trees[start : start + _AT_ONCE]]
            for handle, outcome in repository.loader.load_each(handles):
                try:
                    nodes = parse_tree(plain_of(outcome))
                except PyresticError as error:
                    report.note(f"unable to load tree {short(handle.id)}: {error}", 0)
                    continue
                folders = (node for node in nodes if node.type == DIRECTORY and node.subtree is not None)
                named.update(parse_id(node.subtree or "") for node in folders)
                progress.done += 1
    return named
