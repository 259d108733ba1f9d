"""One run of backup: parent, selection, scan, the archive itself."""

import importlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from pyrestic import __version__
from pyrestic.cli import backup_output as output
from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.command import App
from pyrestic.cli.features import DEVICE_ID_FOR_HARDLINKS
from pyrestic.cli.local_folders import cache_base
from pyrestic.cli.session import LockMode, Session, opened
from pyrestic.cli.source_stream import opened_stream
from pyrestic.errors import UsageError
from pyrestic.golang import parse_size
from pyrestic.ids import short
from pyrestic.localfs import scan, select
from pyrestic.localfs.identity import current_identity
from pyrestic.localfs.scan import SourceTree, Totals
from pyrestic.localfs.select import BackupSelector
from pyrestic.localfs.user_folders import find_written_folders
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.retention import GroupBy
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import Parent, SnapshotFilter, StoredSnapshot, find_parent, find_snapshot

if TYPE_CHECKING:
    from pyrestic.operations.backup import BackupOptions, BackupResult

INCOMPLETE = 3
Flags = dict[str, Any]


class Backup:
    """A backup as the flags ask for it."""

    def __init__(self, app: App, command: tuple[str, ...], targets: list[bytes], flags: Flags, time_ns: int) -> None:
        self._app = app
        self._terminal = app.terminal
        self._command = command if flags["stdin_from_command"] else ()
        self._targets = targets
        self._flags = flags
        self._time_ns = time_ns
        self._streamed = flags["stdin"] or flags["stdin_from_command"]
        self._hostname = self._find_hostname()
        self._tags = [tag for tags in parse_tags(flags["tag"]) for tag in tags if tag]
        self._folder = scan.working_directory(app.settings.environment, targets)
        self._paths = [os.fsdecode(scan.clean(os.path.join(self._folder, target))) for target in targets]
        # Bad patterns and rules are told before a password is asked for.
        self._selector = self._make_selector()
        self._progress = BackupProgress("backup", "B")

    def run(self, *, complete: bool) -> int:
        """Make the snapshot and return the exit code; `complete` says that all named sources exist."""
        flags, terminal = self._flags, self._terminal
        output.attach(terminal, self._progress)
        mode = LockMode.NONE if flags["dry_run"] else LockMode.APPEND
        terminal.note("open repository", 2)
        look = Overlap(None if flags["stdin"] else self._find_parent, imports=_import_machinery)
        with opened(
            self._app.settings,
            terminal,
            mode,
            load_index=True,
            dry_run=flags["dry_run"],
            overlap=look,
        ) as session:
            parent = Parent(None, []) if flags["stdin"] else self._tell_parent(look.found)
            terminal.note("load index files", 2)
            if session.interrupted_before:
                from pyrestic.operations.salvage import salvage

                salvage(session.repository, terminal)
            with terminal.show(self._progress):
                run = self._run_stream if self._streamed else self._run_files
                result = run(session, parent.found)
        output.finish(terminal, result, dry_run=flags["dry_run"])
        parent.ensure_complete()
        return 0 if complete and not terminal.error_count else INCOMPLETE

    def _find_hostname(self) -> str:
        given = self._flags["host"] if self._flags["host"] is not None else self._flags["hostname"]
        named = given if given is not None else self._app.settings.environment.get("RESTIC_HOST", "")
        return named or current_identity().hostname

    def _make_selector(self) -> BackupSelector:
        flags = self._flags
        by_path = select.reject_patterns(select.Patterns(flags["exclude"], flags["iexclude"]))
        settings = self._app.settings
        by_path += select.reject_folders([cache_base(settings), *find_written_folders(settings.environment)])
        by_status = []
        if flags["one_file_system"] and not self._streamed:
            by_status.append(select.reject_other_devices(self._targets, self._folder))
        if flags["exclude_larger_than"]:
            by_status.append(select.reject_larger_than(parse_size(flags["exclude_larger_than"])))
        rules = [*flags["exclude_if_present"], *([select.CACHE_TAG] if flags["exclude_caches"] else [])]
        by_status += [select.reject_if_present(rule, self._terminal.complain) for rule in rules]
        return BackupSelector(by_path, by_status, self._folder)

    def _find_parent(self, repository: Repository) -> Parent:
        """Return the snapshot to compare with: the named one, or the newest of the same group that is not newer."""
        flags, terminal = self._flags, self._terminal
        if flags["force"]:
            return Parent(None, [])
        grouping: GroupBy = flags["group_by"]
        wanted = SnapshotFilter(
            hosts=(self._hostname,) if grouping.host else (),
            tags=(tuple(self._tags),) if grouping.tags else (),
            paths=tuple(self._paths) if grouping.paths and not self._streamed else (),
            not_after_ns=self._time_ns,
            skip_damaged=flags["skip_damaged"],
        )
        if flags["parent"]:
            return Parent(find_snapshot(repository, flags["parent"], wanted, terminal)[0], [])
        return find_parent(repository, wanted, terminal)

    def _tell_parent(self, parent: Parent) -> Parent:
        if parent.found is None:
            self._terminal.note("no parent snapshot found, will read all files")
        else:
            self._terminal.note(f"using parent snapshot {short(parent.found.id)}")
        return parent

    def _options(self) -> "BackupOptions":
        from pyrestic.operations.backup import BackupOptions
        from pyrestic.operations.source_file import ArchiveOptions

        flags = self._flags
        who = current_identity()
        return BackupOptions(
            time_ns=self._time_ns,
            targets=self._paths,
            hostname=self._hostname,
            username=who.username,
            uid=who.uid,
            gid=who.gid,
            tags=self._tags,
            excludes=list(flags["named_excludes"]),
            program_version=f"pyrestic {__version__}",
            skip_if_unchanged=flags["skip_if_unchanged"],
            archive=ArchiveOptions(
                with_atime=flags["with_atime"],
                ignore_ctime=flags["ignore_ctime"],
                ignore_inode=flags["ignore_inode"],
                device_ids_for_links_alone=DEVICE_ID_FOR_HARDLINKS in self._app.settings.features,
                read_concurrency=flags["read_concurrency"],
            ),
        )

    def _run_files(self, session: Session, parent: StoredSnapshot | None) -> "BackupResult":
        from pyrestic.operations.backup import backup

        tree = scan.resolve(self._targets)
        stop = threading.Event()
        scanner = threading.Thread(target=self._scan, args=(tree, stop), name="scan", daemon=True)
        scans = not self._flags["no_scan"] and output.wants_totals(self._terminal)
        if scans:
            self._announce("scan")
            scanner.start()
        self._announce("backup")
        try:
            return backup(
                session.repository,
                tree,
                self._selector,
                self._options(),
                self._terminal,
                self._progress,
                parent=parent,
                on_item=output.item_printer(self._terminal),
                before_snapshot=session.ensure_locked,
            )
        finally:
            stop.set()
            if scans:
                scanner.join()

    def _announce(self, what: str) -> None:
        named = self._paths if self._streamed else map(os.fsdecode, self._targets)
        self._terminal.note(f"start {what} on [{' '.join(named)}]", 2)

    def _scan(self, tree: SourceTree, stop: threading.Event) -> None:
        started = time.monotonic()
        progress = self._progress

        def found(totals: Totals) -> None:
            progress.total_files, progress.total_bytes = totals.files, totals.length

        def failed(path: bytes, verb: str, error: OSError) -> None:
            output.scan_failed(self._terminal, os.fsdecode(path), verb, error)

        scan.measure(tree, self._selector.by_path, self._selector.by_status, found, stop.is_set, failed)
        if not stop.is_set():
            progress.scan_finished = True
            progress.total = progress.total_bytes
            output.scan_finished(self._terminal, progress, time.monotonic() - started)

    def _run_stream(self, session: Session, parent: StoredSnapshot | None) -> "BackupResult":
        from pyrestic.operations.backup import backup_stream

        location = self._paths[0]
        if location == "/":
            raise UsageError("failed to backup from stdin: invalid filename specified")
        self._terminal.note("read data from stdin", 2)
        self._progress.current_files[threading.get_ident()] = os.fsencode(location)
        if not self._flags["no_scan"]:
            self._announce("scan")
            self._progress.total_files = 1
            output.scan_finished(self._terminal, self._progress, 0.0)
        self._announce("backup")
        with opened_stream(self._command) as (read_into, finish):
            return backup_stream(
                session.repository,
                os.fsencode(location).strip(b"/").split(b"/"),
                read_into,
                self._options(),
                self._terminal,
                self._progress,
                finish=finish,
                parent=parent,
                on_item=output.item_printer(self._terminal),
                before_snapshot=session.ensure_locked,
            )


def _import_machinery() -> None:
    importlib.import_module("pyrestic.operations.backup")
