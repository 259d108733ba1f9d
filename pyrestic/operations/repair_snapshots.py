"""Repair snapshots: rewrites them without unreadable data.

Files keep the parts of their content that are in the index, folders with an unreadable tree become empty, and a
snapshot with an unreadable root is removed.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from pyrestic.errors import DamageError, NotFoundError, PyresticError, UsageError
from pyrestic.format.node import FILE, INVALID, IRREGULAR, Node
from pyrestic.handle import BlobHandle, BlobType, FileType
from pyrestic.ids import ID, parse_id, short
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.replace_snapshot import Replacement, ReplaceOptions, Replacer, ReplaceResult
from pyrestic.operations.rewrite_tree import TreeRewriter, describe_error, quote
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshot_name import parse_name
from pyrestic.repository.snapshots import DAMAGED_SNAPSHOT_HINT, StoredSnapshot, find_id, load_snapshot

TAG = "repaired"


def repair_named(
    repository: Repository,
    names: Sequence[str],
    choose: Callable[[list[str]], Iterable[StoredSnapshot]],
    options: ReplaceOptions,
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> ReplaceResult:
    """Repair the damaged ones among the named snapshots, or among all; the index must be loaded.

    Named ones with damaged files are removed. `choose` returns the snapshots of the other names, all without names.
    Raises PyresticError, and DamageError for a damaged file without `options.forget`.
    """
    removed, left = _remove_unreadable(repository, names, options, report, ensure_locked)
    # If no named snapshot is left, that does not mean all snapshots.
    wanted = choose(left) if left or not removed else ()
    result = repair_snapshots(repository, wanted, options, report, ensure_locked)
    result.removed_unreadable = removed
    return result


def repair_snapshots(
    repository: Repository,
    wanted: Iterable[StoredSnapshot],
    options: ReplaceOptions,
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> ReplaceResult:
    """Repair the damaged snapshots; the index must be loaded. Raises PyresticError."""
    rules = _Rules(repository, report)
    rewriter = TreeRewriter(repository, rules.rewrite_node, failed_tree=rules.failed_tree)
    replacer = Replacer(repository, options, report, ensure_locked)
    for stored in wanted:
        report.note("")
        report.note(describe_snapshot(stored))
        try:
            replacer.replace(stored, Replacement(rewriter.rewrite(stored.snapshot.tree_id)))
        except PyresticError as error:
            raise describe_error(error, short(stored.id)) from error
    result = replacer.finish()
    result.losses = rules.losses
    return result


def _remove_unreadable(
    repository: Repository,
    names: Iterable[str],
    options: ReplaceOptions,
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> tuple[list[ID], list[str]]:
    """Remove the named snapshots with damaged files, and return them and the other names.

    A file that the backend cannot return may be intact and is kept. Raises DamageError without `options.forget`,
    BackendError.
    """
    removed: list[ID] = []
    readable: list[str] = []
    for name in names:
        identifier = _find_named(repository, name)
        error = None if identifier is None else _find_damage(repository, identifier)
        if identifier is None or error is None:
            readable.append(name)
            continue
        if not options.forget:
            raise DamageError(f"snapshot {short(identifier)} cannot be read: {error}", hint=DAMAGED_SNAPSHOT_HINT)
        if not options.dry_run:
            ensure_locked()
            repository.remove(FileType.SNAPSHOT, identifier)
        report.note(f"{'would remove' if options.dry_run else 'removed'} unreadable snapshot {identifier.hex()}", 0)
        removed.append(identifier)
    return removed, readable


def _find_named(repository: Repository, name: str) -> ID | None:
    """Return the ID of a name, None for other and unknown names."""
    try:
        prefix = parse_name(name, time.time_ns()).id
        return None if prefix is None else find_id(repository, FileType.SNAPSHOT, prefix)
    except UsageError:
        return None


def _find_damage(repository: Repository, identifier: ID) -> DamageError | None:
    try:
        load_snapshot(repository, identifier)
    except NotFoundError:
        return None
    except DamageError as error:
        return error
    return None


class _Rules:
    def __init__(self, repository: Repository, report: Reporter) -> None:
        self._index = repository.index
        self._report = report
        self.losses = 0
        """Number of files and folders found with lost data."""

    def rewrite_node(self, node: Node, location: bytes) -> Node | None:
        if node.type in (IRREGULAR, INVALID):
            self.losses += 1
            self._report.note(f'  file {quote(location)}: removed node with invalid type "{node.type}"')
            return None
        if node.type != FILE:
            return node
        content: list[str] = []
        size = 0
        for text in node.content or ():
            length = self._index.plain_length(BlobHandle(BlobType.DATA, parse_id(text)))
            if length is not None:
                content.append(text)
                size += length
        if len(content) < len(node.content or ()):
            self.losses += 1
            self._report.note(f"  file {quote(location)}: removed missing content")
        elif size != node.size:
            self._report.note(f"  file {quote(location)}: fixed incorrect size")
        elif node.content is not None:
            return node
        return msgspec.structs.replace(node, content=content, size=size)

    def failed_tree(self, location: bytes) -> list[Node] | None:
        self.losses += 1
        if location == b"/":
            self._report.note(f"  dir {quote(location)}: not readable")
            return None
        self._report.note(f"  dir {quote(location)}: replaced with empty directory")
        return []
