"""pyrestic backup: files in, a snapshot out."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from pyrestic import __version__
from pyrestic.cli import backup_output as output
from pyrestic.cli import password as passwords
from pyrestic.cli.arguments import parse_size, parse_tags
from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import GROUP_BY, GroupBy
from pyrestic.cli.identity import current_identity
from pyrestic.cli.session import LockMode, Session, opened
from pyrestic.errors import LocalFileError, PyresticError, UsageError
from pyrestic.format.node import FILE, Node
from pyrestic.ids import short
from pyrestic.localfs import scan, select, textfile
from pyrestic.localfs.patterns import check_patterns
from pyrestic.localfs.scan import SourceTree, Totals
from pyrestic.localfs.select import BackupSelector
from pyrestic.operations.archive_tree import ArchiveOptions
from pyrestic.operations.backup import BackupOptions, BackupResult, Parent, backup, backup_stream, format_local_time
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.operations.salvage import salvage
from pyrestic.repository.snapshots import SnapshotFilter, find_latest, find_snapshot

INCOMPLETE = 3
Flags = dict[str, Any]


@define("backup", "Create a snapshot of files and folders.")
@click.option("-n", "--dry-run", is_flag=True, help="store nothing, only show what would be done")
@click.option("-e", "--exclude", multiple=True, help="leave out what matches this pattern")
@click.option("--exclude-caches", is_flag=True, help="leave out folders marked by CACHEDIR.TAG")
@click.option("--exclude-file", multiple=True, help="file with patterns to leave out")
@click.option("--exclude-if-present", multiple=True, help="NAME[:HEADER]: leave out folders that hold such a file")
@click.option("--exclude-larger-than", default="", help="leave out files above this size, such as 500M")
@click.option("--exclude-cloud-files", is_flag=True, hidden=True)
@click.option("--files-from", multiple=True, help="file with sources, patterns allowed")
@click.option("--files-from-raw", multiple=True, help="file with sources, each ended by a zero byte")
@click.option("--files-from-verbatim", multiple=True, help="file with sources, a line each")
@click.option("-f", "--force", is_flag=True, help="read all files again")
@click.option(
    "-g",
    "--group-by",
    type=GROUP_BY,
    default="host,paths",
    help="what a parent snapshot has to share (host,paths,tags)",
)
@click.option("-H", "--host", default=None, help="host name of the snapshot ($RESTIC_HOST)")
@click.option("--hostname", default=None, hidden=True)
@click.option("--iexclude", multiple=True, help="like --exclude, upper and lower case alike")
@click.option("--iexclude-file", multiple=True, help="like --exclude-file, upper and lower case alike")
@click.option("--ignore-ctime", is_flag=True, help="a changed ctime does not make a file changed")
@click.option("--ignore-inode", is_flag=True, help="a changed inode or ctime does not make a file changed")
@click.option("--no-scan", is_flag=True, help="do not count beforehand what there is")
@click.option("-x", "--one-file-system", is_flag=True, help="stay on the file systems of the sources")
@click.option("--parent", default="", help="snapshot to compare with")
@click.option("--read-concurrency", type=click.IntRange(min=0), default=None, help="files to read at once (2)")
@click.option("--skip-if-unchanged", is_flag=True, help="make no snapshot if nothing changed")
@click.option("--stdin", is_flag=True, help="store standard input as a file")
@click.option("--stdin-filename", default="stdin", help="name of that file")
@click.option("--stdin-from-command", is_flag=True, help="store what the command given as arguments prints")
@click.option("--tag", multiple=True, help="tags of the snapshot: tag[,tag…]")
@click.option("--time", "when", default="", help="time of the snapshot, such as 2012-11-01 22:08:41")
@click.option("--use-fs-snapshot", is_flag=True, hidden=True)
@click.option("--with-atime", is_flag=True, help="store access times")
@click.argument("sources", nargs=-1, type=click.Path())
def command(app: App, sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401 - flags of many kinds
    """Make a snapshot and tell what was done; 3 if some source could not be read."""
    app.terminal.during = "archival"
    _check(app, sources, flags)
    targets, complete = _targets(app, sources, flags)
    time_ns = _snapshot_time(flags["when"])
    options = _options(app, targets, flags, time_ns)
    check_patterns(flags["exclude"], "--exclude")
    check_patterns(flags["iexclude"], "--iexclude")
    mode = LockMode.NONE if flags["dry_run"] else LockMode.APPEND
    progress = BackupProgress("backup", "B")
    output.attach(app.terminal, progress)
    with opened(app.settings, app.terminal, mode, dry_run=flags["dry_run"]) as session:
        parent = None if flags["stdin"] else _find_parent(app, session, targets, flags, time_ns)
        session.repository.load_index(app.terminal)
        if session.interrupted_before:
            salvage(session.repository, app.terminal)
        with app.terminal.show(progress):
            if flags["stdin"] or flags["stdin_from_command"]:
                result = _run_stream(app, session, sources, options, flags, progress, parent)
            else:
                result = _run(app, session, targets, options, flags, progress, parent)
    output.finish(app.terminal, result, dry_run=flags["dry_run"])
    return 0 if complete and not app.terminal.error_count else INCOMPLETE


def _check(app: App, sources: tuple[str, ...], flags: Flags) -> None:
    lists = [*flags["files_from"], *flags["files_from_raw"], *flags["files_from_verbatim"]]
    streamed = flags["stdin"] or flags["stdin_from_command"]
    if not passwords.is_given(app.settings):
        if flags["stdin"]:
            raise UsageError("cannot read both password and data from stdin")
        if "-" in lists:
            raise UsageError(
                "unable to read password from stdin when data is to be read from stdin,"
                " use --password-file or $RESTIC_PASSWORD"
            )
    for name in ("files_from", "files_from_verbatim", "files_from_raw"):
        if streamed and flags[name]:
            raise UsageError(f"--stdin and --{name.replace('_', '-')} cannot be used together")
    if flags["stdin"] and sources and not flags["stdin_from_command"]:
        raise UsageError("--stdin was specified and files/dirs were listed as arguments")
    if flags["stdin_from_command"] and not sources:
        raise UsageError("no command was specified after --stdin-from-command")


def _targets(app: App, sources: tuple[str, ...], flags: Flags) -> tuple[list[bytes], bool]:
    """Return the sources that exist, and whether those are all; raise UsageError if there is none."""
    if flags["stdin"] or flags["stdin_from_command"]:
        return [b"/" + os.fsencode(flags["stdin_filename"]).lstrip(b"/")], True
    named, without_match = textfile.read_sources(flags["files_from"])
    for pattern in without_match:
        app.terminal.complain(f'pattern "{pattern}" does not match any files, skipping')
    named += textfile.read_sources_verbatim(flags["files_from_verbatim"])
    named += textfile.read_sources_raw(flags["files_from_raw"])
    named += [os.fsencode(source) for source in sources]
    if not named:
        raise UsageError("nothing to backup, please specify source files/dirs")
    found = [name for name in named if _exists(app, name)]
    if not found:
        raise UsageError("all source directories/files do not exist")
    return found, len(found) == len(named)


def _exists(app: App, path: bytes) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else "cannot be accessed"
        app.terminal.complain(f"{os.fsdecode(path)} {reason}, skipping")
        return False
    return True


def _snapshot_time(text: str) -> int:
    if not text:
        return time.time_ns()
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - it is meant in the local zone
    except ValueError as error:
        raise UsageError(f"error in time option: {text!r} is not like 2012-11-01 22:08:41") from error
    return int(moment.timestamp()) * 1_000_000_000


def _options(app: App, targets: list[bytes], flags: Flags, time_ns: int) -> BackupOptions:
    who = current_identity()
    environment = app.settings.environment
    given = flags["host"] if flags["host"] is not None else flags["hostname"]
    host = given if given is not None else environment.get("RESTIC_HOST", "")
    excludes, _ = _excludes(app, flags)
    folder = os.getcwdb()
    return BackupOptions(
        time_ns=time_ns,
        targets=[os.fsdecode(scan.clean(os.path.join(folder, target))) for target in targets],
        hostname=host or who.hostname,
        username=who.username,
        uid=who.uid,
        gid=who.gid,
        tags=[tag for tags in parse_tags(flags["tag"]) for tag in tags if tag],
        excludes=excludes,
        program_version=f"pyrestic {__version__}",
        skip_if_unchanged=flags["skip_if_unchanged"],
        archive=ArchiveOptions(
            with_atime=flags["with_atime"],
            ignore_ctime=flags["ignore_ctime"],
            ignore_inode=flags["ignore_inode"],
            read_concurrency=_concurrency(app, flags),
        ),
    )


def _concurrency(app: App, flags: Flags) -> int:
    text = app.settings.environment.get("RESTIC_READ_CONCURRENCY", "")
    if flags["read_concurrency"] is None and text:
        if not text.isdigit():
            raise UsageError(f"invalid value for RESTIC_READ_CONCURRENCY {text!r}: it is a whole number")
        return int(text) or 2
    return flags["read_concurrency"] or 2


def _excludes(app: App, flags: Flags) -> tuple[list[str], list[str]]:
    """Return the patterns of --exclude with those of its files, and the same for --iexclude."""
    environment = app.settings.environment
    exact = [*flags["exclude"], *textfile.read_patterns(flags["exclude_file"], environment)]
    any_case = [*flags["iexclude"], *textfile.read_patterns(flags["iexclude_file"], environment)]
    return exact, any_case


def _selector(app: App, session: Session, targets: list[bytes], flags: Flags) -> BackupSelector:
    exact, any_case = _excludes(app, flags)
    by_path = select.reject_patterns(select.Patterns(tuple(exact), tuple(any_case)))
    folder = getattr(session.repository.backend, "cache_path", None)
    if folder is not None:
        by_path.append(select.reject_folder(os.fsencode(folder)))
    by_status = []
    if flags["one_file_system"]:
        by_status.append(select.reject_other_devices(targets))
    if flags["exclude_larger_than"]:
        by_status.append(select.reject_larger_than(parse_size(flags["exclude_larger_than"])))
    rules = [*flags["exclude_if_present"], *([select.CACHE_TAG] if flags["exclude_caches"] else [])]
    by_status += [select.reject_if_present(rule, app.terminal.complain) for rule in rules]
    return BackupSelector(by_path, by_status, os.getcwdb())


def _find_parent(app: App, session: Session, targets: list[bytes], flags: Flags, time_ns: int) -> Parent | None:
    """Return the snapshot to compare with: the named one, or the newest of the same group that is not newer."""
    if flags["force"]:
        found = None
    elif flags["parent"]:
        found, _ = find_snapshot(session.repository, flags["parent"], SnapshotFilter(), app.terminal)
    else:
        grouping: GroupBy = flags["group_by"]
        options = _options(app, targets, flags, time_ns)
        wanted = SnapshotFilter(
            hosts=(options.hostname,) if grouping.host else (),
            tags=(tuple(options.tags),) if grouping.tags else (),
            paths=tuple(options.targets) if grouping.paths else (),
            not_after_ns=time_ns,
        )
        found = find_latest(session.repository, wanted, app.terminal)
    if found is None:
        app.terminal.note("no parent snapshot found, will read all files\n")
        return None
    app.terminal.note(f"using parent snapshot {short(found.id)}\n")
    return Parent(found.id, found.snapshot)


def _run(
    app: App,
    session: Session,
    targets: list[bytes],
    options: BackupOptions,
    flags: Flags,
    progress: BackupProgress,
    parent: Parent | None,
) -> BackupResult:
    selector = _selector(app, session, targets, flags)
    tree = scan.resolve(targets)
    stop = threading.Event()
    scanner = None
    if not flags["no_scan"] and output.wants_totals(app.terminal):
        scanner = threading.Thread(target=_scan, args=(app, tree, selector, progress, stop), name="scan", daemon=True)
        scanner.start()
    try:
        return backup(
            session.repository,
            tree,
            selector,
            options,
            app.terminal,
            progress,
            parent=parent,
            on_item=output.item_printer(app.terminal),
            before_snapshot=session.ensure_locked,
        )
    finally:
        stop.set()
        if scanner is not None:
            scanner.join()


def _scan(
    app: App, tree: SourceTree, selector: BackupSelector, progress: BackupProgress, stop: threading.Event
) -> None:
    started = time.monotonic()

    def found(totals: Totals) -> None:
        progress.total_files, progress.total_bytes = totals.files, totals.length

    scan.measure(tree, selector.by_path, selector.by_status, found, stop.is_set)
    if not stop.is_set():
        progress.scan_finished = True
        progress.total = progress.total_bytes
        output.scan_finished(app.terminal, progress, time.monotonic() - started)


def _run_stream(
    app: App,
    session: Session,
    sources: tuple[str, ...],
    options: BackupOptions,
    flags: Flags,
    progress: BackupProgress,
    parent: Parent | None,
) -> BackupResult:
    name = os.fsencode(flags["stdin_filename"]).strip(b"/")
    if not name or b"/" in name:
        raise UsageError(f"{flags['stdin_filename']!r} is not a file name")
    read_into, finish = _open_stream(sources if flags["stdin_from_command"] else ())
    when = format_local_time(options.time_ns)
    node = Node(name="", type=FILE, mode=0o644, mtime=when, atime=when, ctime=when)
    return backup_stream(
        session.repository,
        name,
        node,
        read_into,
        options,
        app.terminal,
        progress,
        finish=finish,
        parent=parent,
        on_item=output.item_printer(app.terminal),
        before_snapshot=session.ensure_locked,
    )


def _open_stream(command: tuple[str, ...]) -> tuple[Callable[[memoryview], int], Callable[[], None]]:
    """Return what reads standard input or a command's output, and what raises if the command failed."""
    if not command:
        descriptor = sys.stdin.fileno()
        return lambda view: os.readv(descriptor, [view]), lambda: None
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - the user's own command
    except OSError as error:
        raise LocalFileError(f"the command {command[0]!r} could not be started: {error.strerror}") from error
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    descriptor = process.stdout.fileno()

    def finish() -> None:
        code = process.wait()
        if code != 0:
            raise PyresticError(f"command failed: exit status {code}; no snapshot was made")

    return lambda view: os.readv(descriptor, [view]), finish
