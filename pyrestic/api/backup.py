"""Backups by programs: sources or a stream in, a snapshot out."""

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NamedTuple

import msgspec
from typing_extensions import Buffer

from pyrestic import __version__
from pyrestic.api.access import Work
from pyrestic.api.content import Content
from pyrestic.api.reporting import Failure, FailureReporter
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.api.summary import BackupSummary, describe_summary
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.ids import short
from pyrestic.operations.backup import Backup, Stream
from pyrestic.operations.backup_options import BackupOptions, BackupRequest
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.early_end import PartialOptions
from pyrestic.repository.snapshots import StoredSnapshot, load_snapshot


class BackedUp(NamedTuple):
    """A finished backup: the snapshot, None if nothing is new; the statistics; the unreadable files."""

    snapshot: OpenSnapshot | None
    summary: BackupSummary
    failures: tuple[Failure, ...]
    ended_early: bool = False
    """Whether it ended early; the snapshot is partial then."""


class BackupRun:
    """One backup into an opened and locked repository whose index is loaded."""

    def __init__(
        self,
        content: Content,
        work: Work,
        options: BackupOptions,
        *,
        environment: Mapping[str, str],
        cache_folder: str,
    ) -> None:
        self._content = content
        self._work = work
        self._report = FailureReporter(work.report)
        self._options = options
        self._environment = environment
        self._cache_folder = cache_folder

    def save_files(
        self, sources: Sequence[str | os.PathLike[str]], partial: PartialOptions | None, *, scan: bool
    ) -> BackedUp:
        """Save files and folders; raise as OpenRepository.backup does. `scan` counts them in advance."""
        if not sources:
            raise UsageError("pass the sources of a backup as a list of paths")
        targets = [os.fsencode(source) for source in sources]
        for target in targets:
            if not os.path.lexists(target):
                raise LocalFileError(f"{os.fsdecode(target)} does not exist")
        return self._run(targets, partial=partial, scan=scan)

    def save_stream(self, stream: BinaryIO, path: str) -> BackedUp:
        """Save a stream as a file; raise as OpenRepository.backup_stream does."""
        clean = os.path.normpath("/" + path.lstrip("/"))
        if clean == "/" or "\0" in clean:
            raise UsageError(f"{path!r} is not a file path")
        opened = contextlib.nullcontext((functools.partial(_read_into, stream), lambda: None))
        return self._run([os.fsencode(clean)], Stream(lambda: opened, "a stream", has_parent=False))

    def _run(
        self,
        targets: list[bytes],
        stream: Stream | None = None,
        *,
        partial: PartialOptions | None = None,
        scan: bool = False,
    ) -> BackedUp:
        work, report = self._work, self._report
        request = BackupRequest(
            targets,
            msgspec.structs.replace(self._options, program_version=f"pyrestic {__version__}"),
            environment=self._environment,
            cache_folder=self._cache_folder,
            warn=report.note,
            streamed=stream is not None,
        )
        scan_reporter = _SilentScan() if scan else None
        backup = Backup(
            work.repository,
            request,
            report,
            lock=work.lock,
            scan_reporter=scan_reporter,
            ensure_wanted=work.ensure_wanted,
            partial=partial,
        )
        result = backup.run(stream=stream)
        for unread, error in result.parent.unreadable:
            report.error(f"snapshot {short(unread)}", error)
        snapshot = None
        if result.id is not None:
            stored = StoredSnapshot(result.id, load_snapshot(work.repository, result.id))
            snapshot = OpenSnapshot(self._content, stored)
        summary = describe_summary(result.summary)
        return BackedUp(snapshot, summary, tuple(report.failures), result.early is not None)


class _SilentScan:
    """Ignores the messages of a scan: the counters have the totals, and the backup reports unreadable files."""

    def scan_failed(self, path: str, verb: str, error: OSError) -> None:
        """Drop the error."""

    def scan_finished(self, progress: BackupProgress, seconds: float) -> None:
        """Drop the totals."""


def _read_into(stream: BinaryIO, view: Buffer) -> int:
    """Fill the view from a stream of any kind; return the number of bytes, 0 at the end."""
    view = memoryview(view)
    data: object = stream.read(len(view))
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"the stream of a backup must return bytes, not {type(data).__name__}")
    part = memoryview(data).cast("B")
    if len(part) > len(view):
        raise UsageError("the stream of a backup returned more bytes than requested")
    view[: len(part)] = part
    return len(part)
