"""Makes a snapshot from source files or a stream: its trees (see archive_tree) and its metadata."""

import stat
import time
from collections.abc import Callable

import msgspec

from pyrestic.errors import EndedEarlyError
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import FILE, Node, mode_to_go
from pyrestic.format.snapshot import PARTIAL_TAG, Snapshot, Summary
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.metadata import format_local_time
from pyrestic.localfs.scan import SourceTree
from pyrestic.localfs.select import BackupSelector
from pyrestic.operations.archive_file import ReadInto
from pyrestic.operations.archive_tree import TreeArchiver
from pyrestic.operations.backup_options import NO_PARENT, ArchiveOptions
from pyrestic.operations.backup_progress import BackupProgress, ItemDone
from pyrestic.operations.early_end import EarlyReason, PartialOptions
from pyrestic.operations.partial_snapshots import PartialSnapshots
from pyrestic.report import Reporter
from pyrestic.repository.new_snapshot import save_snapshot
from pyrestic.repository.parent import Parent
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot


class SnapshotDetails(msgspec.Struct, frozen=True):
    """Snapshot metadata and read options. `time_ns` is the snapshot's time in ns since 1970, UTC."""

    time_ns: int
    targets: list[str]
    hostname: str
    username: str = ""
    uid: int = 0
    gid: int = 0
    tags: list[str] = msgspec.field(default_factory=list)
    excludes: list[str] = msgspec.field(default_factory=list)
    program_version: str = ""
    skip_if_unchanged: bool = False
    archive: ArchiveOptions = msgspec.field(default_factory=ArchiveOptions)


class BackupResult(msgspec.Struct, frozen=True):
    """The new snapshot (`id` is None if nothing is new), the statistics, and the parent."""

    id: ID | None
    tree: ID
    """b"" if it ended early and nothing is complete."""
    summary: Summary
    parent: Parent = NO_PARENT
    early: EarlyReason | None = None
    """Why it ended early, so that the snapshot is partial."""
    lost_some: bool = False
    """Whether it ended early, and names of the parent are gone: a file may have moved to what was not reached."""


def archive_files(
    repository: Repository,
    source: SourceTree,
    select: BackupSelector,
    options: SnapshotDetails,
    report: Reporter,
    progress: BackupProgress,
    *,
    parent: StoredSnapshot | None = None,
    on_item: Callable[[ItemDone], None] | None = None,
    before_snapshot: Callable[[], None] = lambda: None,
    ensure_wanted: Callable[[], None] = lambda: None,
    partial: PartialOptions | None = None,
    complete: StoredSnapshot | None = None,
) -> BackupResult:
    """Save the sources as a snapshot; raise PyresticError when the repository fails or nothing could be saved.

    The index must be loaded. Unreadable source files go to `report.error`. After an interrupt, all stored packs are
    indexed, so that the next run finds them. `before_snapshot` is called last and may raise: a lost lock.
    `ensure_wanted` is as in Backup. With `partial`, the snapshot may be partial; `complete` is as in Parent.
    """
    early_end = partial.early_end if partial is not None else None
    start = format_local_time(time.time_ns())

    def save_partial(tree: ID, time_ns: int) -> ID:
        before_snapshot()
        summary = archiver.tally.summary(start, format_local_time(time.time_ns()))
        return _save(repository, options, tree, parent, summary, time_ns, PARTIAL_TAG)

    snapshots = PartialSnapshots(
        repository,
        report,
        save_partial,
        parent_tree=_tree_of(parent),
        time_ns=options.time_ns,
        interval_seconds=partial.checkpoint_seconds if partial is not None else None,
    )

    def ensure_going_on() -> None:
        ensure_wanted()
        if early_end is not None:
            early_end.ensure_unwanted()

    # What is asked for each file costs nothing in a backup that cannot end early.
    archiver = TreeArchiver(
        repository,
        select,
        options.archive,
        report,
        progress,
        on_item,
        ensure_wanted if early_end is None else ensure_going_on,
        None if partial is None or partial.checkpoint_seconds is None else snapshots,
    )
    try:
        tree = archiver.archive(source, _tree_of(parent), _tree_of(complete))
    except EndedEarlyError:
        stored = snapshots.store(archiver.merged) or snapshots.newest
        summary = archiver.tally.summary(start, format_local_time(time.time_ns()))
        reason = early_end.reason if early_end is not None else None
        return BackupResult(stored, archiver.merged or b"", summary, early=reason, lost_some=archiver.lost_some)
    result = _finish(repository, archiver, options, start, tree, parent, before_snapshot)
    if result.id is not None:
        snapshots.remove_all()
    return result


def archive_stream(
    repository: Repository,
    path: list[bytes],
    read_into: ReadInto,
    options: SnapshotDetails,
    report: Reporter,
    progress: BackupProgress,
    *,
    finish: Callable[[], None] = lambda: None,
    parent: StoredSnapshot | None = None,
    on_item: Callable[[ItemDone], None] | None = None,
    before_snapshot: Callable[[], None] = lambda: None,
    ensure_wanted: Callable[[], None] = lambda: None,
) -> BackupResult:
    """Save a stream of unknown length as the one file of a snapshot; `path` names the folders above it, then the file.

    `finish` is called when the stream has ended, and may raise to prevent the snapshot (a command that failed).
    """
    archiver = TreeArchiver(repository, BackupSelector(), options.archive, report, progress, on_item, ensure_wanted)
    start = format_local_time(time.time_ns())
    when = format_local_time(options.time_ns)

    def node(name: bytes, kind: str) -> Node:
        mode = 0o644 if kind == FILE else mode_to_go(stat.S_IFDIR | 0o755)
        made = Node(name=quote_name(name), type=kind, mode=mode, mtime=when, atime=when, ctime=when)
        made.uid, made.gid = options.uid, options.gid
        return made

    tree = archiver.archive_stream(path, node, read_into, _tree_of(parent))
    finish()
    return _finish(repository, archiver, options, start, tree, parent, before_snapshot)


def _tree_of(parent: StoredSnapshot | None) -> ID | None:
    return parse_id(parent.snapshot.tree) if parent is not None and parent.snapshot.tree else None


def _finish(
    repository: Repository,
    archiver: TreeArchiver,
    options: SnapshotDetails,
    start: str,
    tree: ID,
    parent: StoredSnapshot | None,
    before_snapshot: Callable[[], None],
) -> BackupResult:
    repository.flush()
    summary = archiver.tally.summary(start, format_local_time(time.time_ns()))
    if options.skip_if_unchanged and parent is not None and _is_unchanged(parent.snapshot, tree):
        return BackupResult(None, tree, summary)
    before_snapshot()
    return BackupResult(_save(repository, options, tree, parent, summary, options.time_ns), tree, summary)


def _is_unchanged(parent: Snapshot, tree: ID) -> bool:
    """Tell whether nothing is new; after a partial snapshot it is that the backup is complete."""
    return parent.tree == tree.hex() and not parent.is_partial


def _save(
    repository: Repository,
    options: SnapshotDetails,
    tree: ID,
    parent: StoredSnapshot | None,
    summary: Summary,
    time_ns: int,
    *more_tags: str,
) -> ID:
    snapshot = Snapshot(
        time=format_local_time(time_ns),
        parent=parent.id.hex() if parent is not None else None,
        tree=tree.hex(),
        paths=options.targets,
        hostname=options.hostname,
        username=options.username,
        uid=options.uid,
        gid=options.gid,
        excludes=options.excludes,
        tags=[*options.tags, *more_tags],
        program_version=options.program_version,
        summary=summary,
    )
    return save_snapshot(repository, snapshot)
