"""Backups that programs make: sources or a stream in, a snapshot out."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NamedTuple

from typing_extensions import Buffer

from pyrestic import __version__
from pyrestic.api.content import Content
from pyrestic.api.reporting import Failure, FailureReporter
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.api.summary import BackupSummary, describe_summary
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.ids import short
from pyrestic.localfs import scan, select
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.user_folders import find_written_folders
from pyrestic.operations.backup import BackupOptions, BackupResult, backup, backup_stream
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.salvage import salvage
from pyrestic.report import Reporter
from pyrestic.repository.locks import Lock
from pyrestic.repository.snapshots import Parent, SnapshotFilter, StoredSnapshot, find_parent, load_snapshot


class BackedUp(NamedTuple):
    """A finished backup: the snapshot, None if it was skipped as unchanged; what was counted; what was not readable."""

    snapshot: OpenSnapshot | None
    summary: BackupSummary
    failures: tuple[Failure, ...]


class BackupRun:
    """One backup into an opened and locked repository whose index is loaded."""

    def __init__(
        self, content: Content, lock: Lock, report: Reporter, *, environment: Mapping[str, str], cache_folder: str
    ) -> None:
        self._content = content
        self._repository = content.repository
        self._lock = lock
        self._report = FailureReporter(report)
        self._environment = environment
        self._cache_folder = cache_folder
        self._time_ns = time.time_ns()
        self._progress = BackupProgress("backup", "B")
        if lock.met_interrupted:
            salvage(self._repository, self._report)
            # Once is enough for as long as the lock is held.
            lock.met_interrupted = False

    def save_files(
        self,
        sources: Sequence[str | os.PathLike[str]],
        tags: Sequence[str],
        *,
        exclude: Sequence[str],
        exclude_caches: bool,
        one_file_system: bool,
        host: str,
        skip_if_unchanged: bool,
    ) -> BackedUp:
        """Save files and folders; raise as OpenRepository.backup does."""
        if isinstance(sources, str | bytes) or not sources:
            raise UsageError("pass the sources of a backup as a list of paths")
        targets = [os.fsencode(source) for source in sources]
        for target in targets:
            if not os.path.lexists(target):
                raise LocalFileError(f"{os.fsdecode(target)} does not exist")
        folder = scan.working_directory(self._environment)
        by_path = select.reject_patterns(select.Patterns(exclude))
        by_path += select.reject_folders([self._cache_folder, *find_written_folders(self._environment)])
        by_status = [select.reject_other_devices(targets, folder)] if one_file_system else []
        if exclude_caches:
            by_status.append(select.reject_if_present(select.CACHE_TAG, self._report.note))
        paths = [os.fsdecode(scan.clean(os.path.join(folder, target))) for target in targets]
        options = self._options(paths, tags, host, list(exclude), skip_if_unchanged=skip_if_unchanged)
        parent = self._find_parent(options, tuple(paths))
        for unread, error in parent.unreadable:
            self._report.error(f"snapshot {short(unread)}", error)
        with self._report.show(self._progress):
            result = backup(
                self._repository,
                scan.resolve(targets),
                select.BackupSelector(by_path, by_status, folder),
                options,
                self._report,
                self._progress,
                parent=parent.found,
                before_snapshot=self._lock.ensure_held,
            )
        return self._finish(result)

    def save_stream(self, stream: BinaryIO, path: str, tags: Sequence[str], *, host: str) -> BackedUp:
        """Save a stream as a file; raise as OpenRepository.backup_stream does."""
        clean = os.path.normpath("/" + path.lstrip("/"))
        if clean == "/":
            raise UsageError(f"{path!r} is not a file path")
        options = self._options([clean], tags, host, [], skip_if_unchanged=False)
        names = os.fsencode(clean).strip(b"/").split(b"/")
        with self._report.show(self._progress):
            result = backup_stream(
                self._repository,
                names,
                lambda view: _read_into(stream, view),
                options,
                self._report,
                self._progress,
                before_snapshot=self._lock.ensure_held,
            )
        return self._finish(result)

    def _options(
        self, paths: list[str], tags: Sequence[str], host: str, excludes: list[str], *, skip_if_unchanged: bool
    ) -> BackupOptions:
        who = current_identity()
        return BackupOptions(
            time_ns=self._time_ns,
            targets=paths,
            hostname=host or who.hostname,
            username=who.username,
            uid=who.uid,
            gid=who.gid,
            tags=list(tags),
            excludes=excludes,
            program_version=f"pyrestic {__version__}",
            skip_if_unchanged=skip_if_unchanged,
        )

    def _find_parent(self, options: BackupOptions, paths: tuple[str, ...]) -> Parent:
        """Return the newest snapshot of the same host and paths, as the command line does by default."""
        wanted = SnapshotFilter((options.hostname,), paths=paths, not_after_ns=self._time_ns)
        return find_parent(self._repository, wanted, self._report)

    def _finish(self, result: BackupResult) -> BackedUp:
        snapshot = None
        if result.id is not None:
            stored = StoredSnapshot(result.id, load_snapshot(self._repository, result.id))
            snapshot = OpenSnapshot(self._content, stored)
        return BackedUp(snapshot, describe_summary(result.summary), tuple(self._report.failures))


def _read_into(stream: BinaryIO, view: Buffer) -> int:
    """Fill the view with what comes next in a stream of any kind; return how many bytes that are, 0 at the end."""
    view = memoryview(view)
    data = stream.read(len(view))
    view[: len(data)] = data
    return len(data)
