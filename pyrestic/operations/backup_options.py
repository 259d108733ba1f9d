"""Backup options: every entry point (command line, Python API) translates its arguments to these.

They are complete before the repository is opened, so bad patterns and rules are reported before the password prompt.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from pyrestic.errors import UsageError
from pyrestic.localfs import scan, select
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.scan import SourceTree
from pyrestic.localfs.select import BackupSelector, Patterns
from pyrestic.localfs.user_folders import find_written_folders
from pyrestic.operations.retention import GroupBy
from pyrestic.report import Reporter
from pyrestic.repository.parent import Parent, find_parent
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, find_snapshot

NO_PARENT: Final = Parent(None, [])
HOST_AND_PATHS: Final = GroupBy(host=True, paths=True)


class ArchiveOptions(msgspec.Struct, frozen=True):
    """Read options: change detection, access times, number of concurrent files."""

    with_atime: bool = False
    ignore_ctime: bool = False
    ignore_inode: bool = False
    device_ids_for_links_alone: bool = False
    """Omit the device number except for files with several hard links, which need it."""
    read_concurrency: int = 2


class BackupOptions(msgspec.Struct, frozen=True):
    """Backup options; most fields are the flags of that name."""

    exclude: Patterns = msgspec.field(default_factory=Patterns)
    named_excludes: tuple[str, ...] = ()
    """The patterns that the snapshot records, without those from pattern files."""
    exclude_caches: bool = False
    exclude_if_present: tuple[str, ...] = ()
    exclude_larger_than: int | None = None
    one_file_system: bool = False
    hostname: str = ""
    """The local host name if it is ""."""
    tags: tuple[str, ...] = ()
    time_ns: int = msgspec.field(default_factory=time.time_ns)
    """The snapshot's time in ns since 1970, UTC."""
    force: bool = False
    parent: str = ""
    group_by: GroupBy = HOST_AND_PATHS
    skip_damaged: bool = False
    skip_if_unchanged: bool = False
    program_version: str = ""
    archive: ArchiveOptions = msgspec.field(default_factory=ArchiveOptions)


class BackupRequest:
    """A backup of sources, or of a stream that is stored at the one path among `targets`.

    `environment` tells the working directory, and with `cache_folder` what pyrestic writes itself, which is left out.
    `warn` takes what is wrong with files that mark folders. `sources` tells where the targets are, if they are not at
    their own paths. Raises UsageError for bad patterns and rules.
    """

    def __init__(
        self,
        targets: Sequence[bytes],
        options: BackupOptions,
        *,
        environment: Mapping[str, str],
        cache_folder: str,
        warn: Callable[[str], None],
        streamed: bool = False,
        sources: SourceTree | None = None,
    ) -> None:
        self.targets = targets
        self.sources = sources
        self.options = options
        self.streamed = streamed
        self.hostname = options.hostname or current_identity().hostname
        folder = scan.working_directory(environment, targets)
        self.paths = [os.fsdecode(scan.clean(os.path.join(folder, target))) for target in targets]
        by_path = select.reject_patterns(options.exclude)
        by_path += select.reject_folders([cache_folder, *find_written_folders(environment)])
        by_status = []
        if options.one_file_system and not streamed:
            by_status.append(select.reject_other_devices(targets, folder))
        if options.exclude_larger_than is not None:
            by_status.append(select.reject_larger_than(options.exclude_larger_than))
        rules = [*options.exclude_if_present, *([select.CACHE_TAG] if options.exclude_caches else [])]
        by_status += [select.reject_if_present(rule, warn) for rule in rules]
        self.selector = BackupSelector(by_path, by_status, folder)

    def check_stream(self) -> None:
        """Raise UsageError if no file can have the path of the stream."""
        if self.paths[0] == "/":
            raise UsageError("failed to backup from stdin: invalid filename specified")

    def find_parent(self, repository: Repository, report: Reporter) -> Parent:
        """Return the parent snapshot: the named one, or the newest of the same group that is not newer.

        Raises UsageError if the name does not exist, BackendError, and DamageError if an unreadable snapshot may be
        selected.
        """
        options, grouping = self.options, self.options.group_by
        if options.force:
            return NO_PARENT
        wanted = SnapshotFilter(
            hosts=(self.hostname,) if grouping.host else (),
            tags=(options.tags,) if grouping.tags else (),
            paths=tuple(self.paths) if grouping.paths and not self.streamed else (),
            not_after_ns=options.time_ns,
            skip_damaged=options.skip_damaged,
        )
        if options.parent:
            return Parent(find_snapshot(repository, options.parent, wanted, report)[0], [])
        return find_parent(repository, wanted, report)
