"""An opened repository: its snapshots, and new ones."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from time import time_ns
from types import TracebackType
from typing import BinaryIO

from pyrestic.api.arguments import checked
from pyrestic.api.backup import BackedUp, BackupRun
from pyrestic.api.changing import ChangingVerbs
from pyrestic.api.entry import Location, to_ns
from pyrestic.api.history import PathVersion, find_versions
from pyrestic.api.inspecting import InspectingVerbs
from pyrestic.api.key_verbs import KeyVerbs
from pyrestic.api.maintaining import MaintainingVerbs
from pyrestic.api.proving import ProvingVerbs
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.errors import UsageError
from pyrestic.localfs.select import Patterns
from pyrestic.localfs.tree_facts import index_path
from pyrestic.localfs.user_folders import find_own_folder
from pyrestic.operations.backup_options import ArchiveOptions, BackupOptions
from pyrestic.operations.early_end import EarlyEnd, PartialOptions
from pyrestic.report import Reporter
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import (
    SnapshotFilter,
    StoredSnapshot,
    find_snapshot,
    load_all_snapshots,
    oldest_first,
)


class OpenRepository(ChangingVerbs, InspectingVerbs, KeyVerbs, MaintainingVerbs, ProvingVerbs):
    """From open_repository or create_repository; closed at the end of a with block, or by `close`."""

    def __enter__(self) -> "OpenRepository":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @checked
    def snapshots(
        self,
        *,
        host: str = "",
        tags: Sequence[str] = (),
        paths: Sequence[str] = (),
        after: datetime | None = None,
        before: datetime | None = None,
        skip_damaged: bool = False,
    ) -> list[OpenSnapshot]:
        """Return the snapshots of a host that have all of the tags and paths; by default all snapshots.

        `after` and `before` are inclusive; without a zone they are in the local time zone. The oldest comes first.
        Raises DamageError or BackendError if a snapshot cannot be read; with `skip_damaged` it is skipped, with a note
        to the reporter.
        """
        self._content.check_open()
        wanted = _make_filter(host, tags, paths, after, before, skip_damaged=skip_damaged)
        loaded = load_all_snapshots(
            self._repository, self._report, what="which snapshots exist", skip_damaged=skip_damaged
        )
        found = [each for each in loaded if wanted.matches(each.snapshot)]
        return [self._give(each) for each in oldest_first(found)]

    @checked
    def snapshot(
        self,
        name: str = "latest",
        *,
        host: str = "",
        tags: Sequence[str] = (),
        paths: Sequence[str] = (),
        after: datetime | None = None,
        before: datetime | None = None,
        skip_damaged: bool = False,
    ) -> OpenSnapshot:
        """Return the snapshot of a name: an ID or a prefix, `latest`, `latest~3`, `@2026-03-01 14:30`.

        All names except IDs select from the snapshots that `snapshots` returns for the same arguments. Raises
        UsageError if there is none, DamageError or BackendError also if an unreadable snapshot may be selected.
        """
        self._content.check_open()
        wanted = _make_filter(host, tags, paths, after, before, skip_damaged=skip_damaged)
        found, folder = find_snapshot(self._repository, name, wanted, self._report)
        if folder:
            raise UsageError(f"{name!r} names a folder in a snapshot, not a snapshot")
        return self._give(found)

    @checked
    def history(
        self,
        location: Location,
        *,
        host: str = "",
        tags: Sequence[str] = (),
        paths: Sequence[str] = (),
        after: datetime | None = None,
        before: datetime | None = None,
        absences: bool = False,
        skip_damaged: bool = False,
    ) -> list[PathVersion]:
        """Return the distinct versions of a file or folder in the selected snapshots, newest first.

        With `absences`, also periods of absence. Facts about folders are cached for the next time if `environment`
        defines the location of the user's cache. Raises DamageError and BackendError as `snapshots` does.
        """
        found = [
            snapshot._stored
            for snapshot in self.snapshots(
                host=host, tags=tags, paths=paths, after=after, before=before, skip_damaged=skip_damaged
            )
        ]
        if not found:
            return []
        covered = self._content.cover(found[-1].id)
        with self._content.unless_closed():
            return find_versions(
                self._content,
                covered,
                found,
                location,
                index_file=index_path(find_own_folder(self._environment), self.id),
                absences=absences,
            )

    @checked
    def backup(
        self,
        sources: Sequence[str | os.PathLike[str]],
        *,
        tags: Sequence[str] = (),
        exclude: Sequence[str] = (),
        iexclude: Sequence[str] = (),
        exclude_caches: bool = False,
        exclude_if_present: Sequence[str] = (),
        exclude_larger_than: int | None = None,
        one_file_system: bool = False,
        host: str = "",
        time: datetime | None = None,
        parent: str = "",
        force: bool = False,
        skip_if_unchanged: bool = False,
        skip_damaged: bool = False,
        ignore_ctime: bool = False,
        ignore_inode: bool = False,
        with_atime: bool = False,
        scan: bool = False,
        end_early: threading.Event | None = None,
        checkpoint_seconds: float | None = None,
        time_limit_seconds: float | None = None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> BackedUp:
        """Make a snapshot of files and folders; arguments are as the flags of `pyrestic backup` of that name.

        Setting `end_early` ends the backup with a partial snapshot of what is complete, as `--partial` and a signal do.
        With `scan`, the sources are counted in parallel, so that the progress has totals. The result lists unreadable
        files in `failures`. Raises LocalFileError if a source does not exist, UsageError, LockedError, BackendError,
        CancelledError.
        """
        options = BackupOptions(
            exclude=Patterns(exclude, iexclude),
            named_excludes=tuple(exclude),
            exclude_caches=exclude_caches,
            exclude_if_present=tuple(exclude_if_present),
            exclude_larger_than=exclude_larger_than,
            one_file_system=one_file_system,
            hostname=host,
            tags=tuple(tags),
            time_ns=time_ns() if time is None else to_ns(time),
            force=force,
            parent=parent,
            skip_damaged=skip_damaged,
            skip_if_unchanged=skip_if_unchanged,
            archive=ArchiveOptions(with_atime=with_atime, ignore_ctime=ignore_ctime, ignore_inode=ignore_inode),
        )
        if any(seconds is not None and seconds <= 0 for seconds in (checkpoint_seconds, time_limit_seconds)):
            raise UsageError("checkpoint_seconds and time_limit_seconds must be greater than 0")
        with self._backing_up(options, report, cancel) as run:
            may_end = (end_early, checkpoint_seconds, time_limit_seconds) != (None, None, None)
            partial = PartialOptions(EarlyEnd(event=end_early), checkpoint_seconds, time_limit_seconds)
            return run.save_files(sources, partial if may_end else None, scan=scan)

    @checked
    def backup_stream(
        self,
        stream: BinaryIO,
        path: str,
        *,
        tags: Sequence[str] = (),
        host: str = "",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> BackedUp:
        """Make a snapshot whose one file, at `path`, has the content of a binary stream; raises as `backup` does.

        Exceptions of the stream are passed on, and there is no snapshot then. Cancelling does not end a read of the
        stream itself.
        """
        with self._backing_up(BackupOptions(hostname=host, tags=tuple(tags)), report, cancel) as run:
            return run.save_stream(stream, path)

    def _give(self, stored: StoredSnapshot) -> OpenSnapshot:
        return OpenSnapshot(self._content, stored)

    @contextlib.contextmanager
    def _backing_up(
        self, options: BackupOptions, report: Reporter | None, cancel: threading.Event | None
    ) -> Iterator[BackupRun]:
        """Hold a lock, with the index loaded, during a with block."""
        with self._working(LockMode.APPEND, report, cancel, load_index=True) as work:
            yield BackupRun(
                self._content, work, options, environment=self._environment, cache_folder=self._cache_folder
            )


def _make_filter(
    host: str,
    tags: Sequence[str],
    paths: Sequence[str],
    after: datetime | None,
    before: datetime | None,
    *,
    skip_damaged: bool,
) -> SnapshotFilter:
    return SnapshotFilter(
        hosts=(host,) if host else (),
        tags=(tuple(tags),) if tags else (),
        paths=tuple(paths),
        after_ns=None if after is None else to_ns(after),
        before_ns=None if before is None else to_ns(before),
        skip_damaged=skip_damaged,
    )
