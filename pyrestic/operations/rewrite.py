"""Rewrite: copies of snapshots without some files, with a summary, or with another host or time.

New snapshots are stored after all of their trees; the old ones are removed after that, if requested.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from pyrestic.errors import PyresticError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.format.snapshot import Summary
from pyrestic.ids import short
from pyrestic.localfs.patterns import PatternList
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.replace_snapshot import Replacement, ReplaceOptions, Replacer, ReplaceResult
from pyrestic.operations.rewrite_tree import TreeRewriter, describe_error, quote
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot

TAG = "rewrite"


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes. At most one of excludes and includes is given; "" keeps the old value."""

    excludes: Sequence[PatternList] = ()
    includes: Sequence[PatternList] = ()
    summary: bool = False
    hostname: str = ""
    time: str = ""
    """RFC 3339."""

    @property
    def of_trees(self) -> bool:
        """Whether the trees must be read."""
        return bool(self.excludes or self.includes) or self.summary


def rewrite(
    repository: Repository,
    wanted: Iterable[StoredSnapshot],
    make_changes: Callable[[], Changes],
    options: ReplaceOptions,
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> ReplaceResult:
    """Rewrite snapshots; the index has to be loaded. Raises PyresticError.

    `make_changes` is called with the first snapshot; what it raises counts as an error of that snapshot.
    """
    changes: Changes | None = None
    replacer = Replacer(repository, options, report, ensure_locked)
    for stored in wanted:
        report.note("")
        report.note(describe_snapshot(stored))
        try:
            if changes is None:
                changes = make_changes()
            replacer.replace(stored, _rewrite(repository, stored, changes, report))
        except PyresticError as error:
            raise describe_error(error, short(stored.id)) from error
    return replacer.finish()


def _rewrite(repository: Repository, stored: StoredSnapshot, changes: Changes, report: Reporter) -> Replacement:
    snapshot = stored.snapshot
    if not changes.of_trees:
        return Replacement(snapshot.tree_id, None, changes.hostname, changes.time)
    rules = _Rules(changes, report)
    # Every node is counted, so no tree is skipped as already seen.
    rewriter = TreeRewriter(repository, rules.rewrite_node, keep_empty=rules.keep_empty, remember=False)
    tree = rewriter.rewrite(snapshot.tree_id)
    summary = msgspec.structs.replace(
        snapshot.summary or Summary(), total_files_processed=rules.files, total_bytes_processed=rules.bytes
    )
    return Replacement(tree, summary, changes.hostname, changes.time)


class _Rules:
    def __init__(self, changes: Changes, report: Reporter) -> None:
        self._changes = changes
        self._report = report
        self.files = 0
        self.bytes = 0

    def rewrite_node(self, node: Node, location: bytes) -> Node | None:
        if not (self._includes(node, location) if self._changes.includes else self._stays(location)):
            return None
        if node.type == FILE:
            self.files += 1
            self.bytes += node.size
        return node

    def keep_empty(self, location: bytes) -> bool:
        if not self._changes.includes:
            return True
        keep = any(patterns.matches(location) for patterns in self._changes.includes)
        if keep:
            self._report.note(f"including directory {quote(location)}", 3)
        return keep

    def _stays(self, location: bytes) -> bool:
        if not any(patterns.matches(location) for patterns in self._changes.excludes):
            return True
        self._report.note(f"excluding {quote(location)}", 3)
        return False

    def _includes(self, node: Node, location: bytes) -> bool:
        if node.type == DIRECTORY:
            return any(any(patterns.matches_or_below(location)) for patterns in self._changes.includes)
        if not any(patterns.matches(location) for patterns in self._changes.includes):
            return False
        self._report.note(f"including {quote(location)}", 3)
        return True
