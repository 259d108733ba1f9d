"""One run of backup: flags and sources in, operations.backup, the summary out."""

import importlib
import signal
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pyrestic import __version__
from pyrestic.backend.metering import Sums
from pyrestic.cli import backup_output as output
from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.backup_lock import locked_here
from pyrestic.cli.command import App
from pyrestic.cli.commands.backup import BackupFlags
from pyrestic.cli.features import DEVICE_ID_FOR_HARDLINKS
from pyrestic.cli.interrupts import INTERRUPTED, ending_early, limit_early_end
from pyrestic.cli.local_folders import cache_base
from pyrestic.cli.session import opened
from pyrestic.cli.source_stream import opened_stream
from pyrestic.cli.terminal import Fields, Terminal
from pyrestic.golang import parse_size
from pyrestic.localfs.select import Patterns
from pyrestic.operations.backup_options import ArchiveOptions, BackupOptions, BackupRequest
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.early_end import EarlyEnd, EarlyReason, PartialOptions
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.parent import Parent
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotList
from pyrestic.units import format_bytes

if TYPE_CHECKING:
    from pyrestic.cli.billing import Bill

INCOMPLETE = 3


class BackupSource(msgspec.Struct, frozen=True):
    """What is read, and how: found out before the repository is opened."""

    targets: list[bytes]
    exclude: Patterns
    time_ns: int
    read_concurrency: int


class Ended(NamedTuple):
    """The exit code of a backup, and why it ended early."""

    code: int
    early: EarlyReason | None = None


def run_backup(app: App, flags: BackupFlags, source: BackupSource, *, complete: bool) -> Ended:
    """Make the snapshot and return the exit code; `complete` means that all named sources exist."""
    settings, terminal = app.settings, app.terminal
    # Bad patterns and rules are reported before the password prompt.
    request = BackupRequest(
        source.targets,
        _options(app, flags, source),
        environment=settings.environment,
        cache_folder=cache_base(settings),
        warn=terminal.complain,
        streamed=flags.streamed,
    )
    progress = BackupProgress("backup", "B")
    output.attach(terminal, progress)
    terminal.note("open repository", 2)

    listed: list[SnapshotList] = []

    def find_parent(repository: Repository) -> Parent:
        repository.snapshot_watches.append(listed.append)
        return request.find_parent(repository, terminal)

    look = Overlap(None if flags.stdin else find_parent, imports=_import_machinery)
    with (
        nullcontext() if flags.dry_run else locked_here(app, request),
        opened(
            settings,
            terminal,
            LockMode.NONE if flags.dry_run else LockMode.APPEND,
            load_index=True,
            dry_run=flags.dry_run,
            overlap=look,
        ) as session,
    ):
        from pyrestic.operations.backup import Backup, Stream

        early_end = EarlyEnd(lambda _: limit_early_end())
        scans = not flags.no_scan and (request.streamed or output.wants_totals(terminal))
        backup = Backup(
            session.repository,
            request,
            terminal,
            lock=session.lock,
            progress=progress,
            scan_reporter=output.ScanOutput(terminal) if scans else None,
            on_item=output.item_printer(terminal),
            partial=PartialOptions(early_end, flags.checkpoint, flags.time_limit) if flags.may_end_early else None,
        )
        if session.bill is not None and session.bill.has_budget and not (request.streamed or flags.dry_run):
            _foresee(terminal, session.bill, request, look.found, partial=flags.partial)
        stream = None
        if request.streamed:
            command = flags.sources if flags.stdin_from_command else ()
            stream = Stream(lambda: opened_stream(command), has_parent=not flags.stdin)
        with ending_early(lambda number: early_end.request(_reason(number))) if flags.partial else nullcontext():
            result = backup.run(parent=None if flags.stdin else look.found, stream=stream)
        facts = _describe(session.repository, listed) if app.profile else {}
    output.finish(terminal, result, dry_run=flags.dry_run, more=facts)
    if result.early is not None:
        return Ended(INTERRUPTED if result.early is EarlyReason.INTERRUPTED else INCOMPLETE, result.early)
    result.parent.ensure_complete()
    return Ended(0 if complete and not terminal.error_count else INCOMPLETE)


def _foresee(terminal: Terminal, bill: "Bill", request: BackupRequest, parent: Parent, *, partial: bool) -> None:
    """Say if the month's budget does not allow the backup; raise BudgetError if it cannot end with a part of it."""
    # Only where something is billed.
    from pyrestic.operations.backup_forecast import forecast_bytes

    length = forecast_bytes(request, parent)
    usage, what = Sums(stored_bytes=length), f"this backup of up to {format_bytes(length)}"
    if not partial:
        bill.ensure_allowed(usage, what)
    elif not bill.allows(usage):
        terminal.note(f"{what} may cost more than what is left of the month's budget: storing what it allows", 0)


def _describe(repository: Repository, listed: list[SnapshotList]) -> Fields:
    """Return what `status` shows of the repository."""
    fields: Fields = {}
    if listed:
        known = {one.id for one in listed[-1].found} | {one.id for one in listed[-1].unreadable}
        fields["repository_snapshots"] = len((known | repository.saved_snapshots) - repository.removed_snapshots)
    return fields | {"repository_bytes": repository.index.stored_length()}


def _reason(number: int) -> EarlyReason:
    return {signal.SIGUSR2: EarlyReason.ASKED, 0: EarlyReason.BUDGET}.get(number, EarlyReason.INTERRUPTED)


def _options(app: App, flags: BackupFlags, source: BackupSource) -> BackupOptions:
    larger_than = flags.exclude_larger_than
    return BackupOptions(
        exclude=source.exclude,
        # A snapshot records the patterns of --exclude itself, not those from files.
        named_excludes=flags.exclude,
        exclude_caches=flags.exclude_caches,
        exclude_if_present=flags.exclude_if_present,
        exclude_larger_than=parse_size(larger_than) if larger_than else None,
        one_file_system=flags.one_file_system,
        hostname=_find_hostname(app, flags),
        tags=tuple(tag for tags in parse_tags(flags.tag) for tag in tags if tag),
        time_ns=source.time_ns,
        force=flags.force,
        parent=flags.parent,
        group_by=flags.group_by,
        skip_damaged=flags.skip_damaged,
        skip_if_unchanged=flags.skip_if_unchanged,
        program_version=f"pyrestic {__version__}",
        archive=ArchiveOptions(
            with_atime=flags.with_atime,
            ignore_ctime=flags.ignore_ctime,
            ignore_inode=flags.ignore_inode,
            device_ids_for_links_alone=DEVICE_ID_FOR_HARDLINKS in app.settings.features,
            read_concurrency=source.read_concurrency,
        ),
    )


def _find_hostname(app: App, flags: BackupFlags) -> str:
    given = flags.host if flags.host is not None else flags.hostname
    return given if given is not None else app.settings.environment.get("RESTIC_HOST", "")


def _import_machinery() -> None:
    importlib.import_module("pyrestic.operations.backup")
