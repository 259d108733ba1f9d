"""Backup: sources or a stream in, a snapshot out.

The complete operation for every entry point: the parent, packs of an interrupted run, the advance scan, the snapshot
itself (see archive_snapshot), and a last check of the lock.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

from pyrestic.ids import short
from pyrestic.localfs import scan
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.scan import SourceTree, Totals
from pyrestic.operations.archive_file import ReadInto
from pyrestic.operations.archive_snapshot import BackupResult, SnapshotDetails, archive_files, archive_stream
from pyrestic.operations.backup_options import NO_PARENT, BackupRequest
from pyrestic.operations.backup_progress import BackupProgress, ItemDone
from pyrestic.operations.early_end import PartialOptions
from pyrestic.operations.partial_snapshots import remove_continued
from pyrestic.operations.salvage import salvage
from pyrestic.report import Reporter
from pyrestic.repository.locks import Lock
from pyrestic.repository.parent import Parent
from pyrestic.repository.repository import Repository


class ScanReporter(Protocol):
    """Receives the errors and the end of a scan."""

    def scan_failed(self, path: str, verb: str, error: OSError) -> None:
        """Ignore a scan error; the backup itself reports it as well."""

    def scan_finished(self, progress: BackupProgress, seconds: float) -> None:
        """Receive the totals."""


class Stream(NamedTuple):
    """A stream to back up: `open` returns its reader, which raises at the end if the stream was incomplete."""

    open: Callable[[], AbstractContextManager[tuple[ReadInto, Callable[[], None]]]]
    name: str = "stdin"
    has_parent: bool = True
    """Whether it is compared with a parent snapshot."""


class Backup:
    """One backup into an opened repository whose index is loaded; used once.

    `lock` is the held lock, None for a dry run. Without `scan_reporter` there is no advance scan. `ensure_wanted` is
    called often, on every thread, and raises PyresticError to end the backup.
    """

    def __init__(
        self,
        repository: Repository,
        request: BackupRequest,
        report: Reporter,
        *,
        lock: Lock | None,
        progress: BackupProgress | None = None,
        scan_reporter: ScanReporter | None = None,
        on_item: Callable[[ItemDone], None] | None = None,
        ensure_wanted: Callable[[], None] = lambda: None,
        partial: PartialOptions | None = None,
    ) -> None:
        self._repository = repository
        self._request = request
        self._report = report
        self._lock = lock
        self._progress = progress or BackupProgress("backup", "B")
        self._scan_reporter = scan_reporter
        self._on_item = on_item
        self._ensure_wanted = ensure_wanted
        self._partial = partial

    def run(self, *, parent: Parent | None = None, stream: Stream | None = None) -> BackupResult:
        """Save the sources, or a stream; `parent` is what the request has found already.

        Raises PyresticError when the repository fails, the lock was lost or nothing could be saved, and what reading a
        stream raises; there is no snapshot then. Source files that cannot be read go to `report.error`.
        """
        parent = self._find_parent(parent, stream)
        self._report.note("load index files", 2)
        if self._lock is not None and self._lock.met_interrupted:
            salvage(self._repository, self._report)
            # Once is enough while the lock is held.
            self._lock.met_interrupted = False
        with self._report.show(self._progress):
            result = self._save_files(parent) if stream is None else self._save_stream(parent, stream)
        if result.id is not None and self._progress.error_count == 0 and not result.lost_some:
            self._remove_continued(parent)
        return msgspec.structs.replace(result, parent=parent)

    def _remove_continued(self, parent: Parent) -> None:
        """Remove the partial snapshot that this run continued, if it is one: the new one holds all that it holds."""
        request, found = self._request, parent.found
        if (
            self._lock is not None
            and found is not None
            and found.snapshot.is_partial
            and found.snapshot.hostname == request.hostname
            and set(found.snapshot.paths) == set(request.paths)
        ):
            remove_continued(self._repository, found.id, self._lock.id, self._report)

    def _find_parent(self, parent: Parent | None, stream: Stream | None) -> Parent:
        if stream is not None and not stream.has_parent:
            return NO_PARENT
        if parent is None:
            parent = self._request.find_parent(self._repository, self._report)
        if parent.found is None:
            self._report.note("no parent snapshot found, will read all files")
        else:
            self._report.note(f"using parent snapshot {short(parent.found.id)}")
        return parent

    def _save_files(self, parent: Parent) -> BackupResult:
        request = self._request
        tree = request.sources or scan.resolve(request.targets)
        with self._scanning(tree), self._limited():
            self._announce("backup")
            return archive_files(
                self._repository,
                tree,
                request.selector,
                self._details(),
                self._report,
                self._progress,
                parent=parent.found,
                on_item=self._on_item,
                before_snapshot=self._ensure_complete,
                ensure_wanted=self._ensure_wanted,
                partial=self._partial,
                complete=parent.complete,
            )

    def _limited(self) -> AbstractContextManager[None]:
        partial = self._partial
        return contextlib.nullcontext() if partial is None else partial.early_end.limited(partial.time_limit_seconds)

    def _save_stream(self, parent: Parent, stream: Stream) -> BackupResult:
        request, progress = self._request, self._progress
        request.check_stream()
        location = os.fsencode(request.paths[0])
        self._report.note(f"read data from {stream.name}", 2)
        progress.current_files[threading.get_ident()] = location
        if self._scan_reporter is not None:
            self._announce("scan")
            progress.total_files = 1
            self._scan_reporter.scan_finished(progress, 0.0)
        self._announce("backup")
        with stream.open() as (read_into, finish):
            return archive_stream(
                self._repository,
                location.strip(b"/").split(b"/"),
                read_into,
                self._details(),
                self._report,
                progress,
                finish=finish,
                parent=parent.found,
                on_item=self._on_item,
                before_snapshot=self._ensure_complete,
                ensure_wanted=self._ensure_wanted,
            )

    def _ensure_complete(self) -> None:
        """Raise PyresticError if there must be no snapshot."""
        self._ensure_wanted()
        if self._lock is not None:
            self._lock.ensure_held()

    def _announce(self, what: str) -> None:
        request = self._request
        named = request.paths if request.streamed else map(os.fsdecode, request.targets)
        self._report.note(f"start {what} on [{' '.join(named)}]", 2)

    def _details(self) -> SnapshotDetails:
        request, options, who = self._request, self._request.options, current_identity()
        return SnapshotDetails(
            time_ns=options.time_ns,
            targets=request.paths,
            hostname=request.hostname,
            username=who.username,
            uid=who.uid,
            gid=who.gid,
            tags=list(options.tags),
            excludes=list(options.named_excludes),
            program_version=options.program_version,
            skip_if_unchanged=options.skip_if_unchanged,
            archive=options.archive,
        )

    @contextlib.contextmanager
    def _scanning(self, tree: SourceTree) -> Iterator[None]:
        """Count the files in parallel with the backup."""
        reporter = self._scan_reporter
        if reporter is None:
            yield
            return
        stop = threading.Event()
        scanner = threading.Thread(target=self._scan, args=(tree, stop, reporter), name="scan", daemon=True)
        self._announce("scan")
        scanner.start()
        try:
            yield
        finally:
            stop.set()
            scanner.join()

    def _scan(self, tree: SourceTree, stop: threading.Event, reporter: ScanReporter) -> None:
        started = time.monotonic()
        progress, selector = self._progress, self._request.selector

        def found(totals: Totals) -> None:
            progress.total_files, progress.total_bytes = totals.files, totals.length

        def failed(path: bytes, verb: str, error: OSError) -> None:
            reporter.scan_failed(os.fsdecode(path), verb, error)

        scan.measure(tree, selector.by_path, selector.by_status, found, stop.is_set, failed)
        if not stop.is_set():
            progress.scan_finished = True
            progress.total = progress.total_bytes
            reporter.scan_finished(progress, time.monotonic() - started)
