"""pyrestic backup: files in, a snapshot out."""

import os
import time

from pyrestic.cli import password as passwords
from pyrestic.cli.arguments import parse_uint32
from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import GROUP_BY, HOST_AND_PATHS
from pyrestic.cli.filters import skip_damaged_flag
from pyrestic.cli.flag_fields import Flags, arguments, optional_text, parse_variable, parsed, switch, text, texts
from pyrestic.cli.flags import NATURAL, Parsed
from pyrestic.cli.pattern_flags import ExcludeFlags
from pyrestic.cli.terminal import exit_error
from pyrestic.errors import UsageError
from pyrestic.golang import parse_duration
from pyrestic.localfs import text_file
from pyrestic.nearest import ask_meant, find_nearest
from pyrestic.operations.retention import GroupBy
from pyrestic.repository.timespec import parse_snapshot_time


class _SourceFlags(Flags):
    """The flags for what is backed up."""

    TITLE = "Sources"
    files_from: tuple[str, ...] = texts(
        "--files-from", value="FILE", help="read sources from FILE; patterns are allowed"
    )
    files_from_raw: tuple[str, ...] = texts(
        "--files-from-raw", value="FILE", help="read sources from FILE, each terminated by a zero byte"
    )
    files_from_verbatim: tuple[str, ...] = texts(
        "--files-from-verbatim", value="FILE", help="read sources from FILE, one per line"
    )
    stdin: bool = switch("--stdin", help="store standard input as a file")
    stdin_filename: str = text("--stdin-filename", value="NAME", default="stdin", help="name of that file")
    stdin_from_command: bool = switch(
        "--stdin-from-command", help="run the arguments as a command and store its output"
    )


class _ExcludeFlags(ExcludeFlags):
    """The flags for files to exclude, with those that only backup has."""

    TITLE = ExcludeFlags.TITLE
    exclude_caches: bool = switch("--exclude-caches", help="exclude folders marked by CACHEDIR.TAG")
    exclude_if_present: tuple[str, ...] = texts(
        "--exclude-if-present",
        value="NAME[:HEADER]",
        help="exclude folders that contain this file, starting with HEADER if given",
    )
    exclude_larger_than: str = text(
        "--exclude-larger-than", value="SIZE", help="exclude files larger than SIZE, such as 500M"
    )
    one_file_system: bool = switch("-x", "--one-file-system", help="do not cross file system boundaries")


class _SnapshotFlags(Flags):
    """The flags for what the snapshot records."""

    TITLE = "Snapshot"
    host: str | None = optional_text("-H", "--host", value="HOST", help="host name of the snapshot ($RESTIC_HOST)")
    hostname: str | None = optional_text("--hostname", hidden=True)
    skip_if_unchanged: bool = switch("--skip-if-unchanged", help="skip the snapshot if nothing changed")
    tag: tuple[str, ...] = texts("--tag", value="TAGS", help="tags of the snapshot: tag[,tag…]")
    time: str = text("--time", value="TIME", help="time of the snapshot, such as 2012-11-01 22:08:41")
    with_atime: bool = switch("--with-atime", help="store access times")


def _parse_interval(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise UsageError("must be longer than nothing")
    return seconds


_INTERVAL = Parsed("duration", _parse_interval)


class _EndFlags(Flags):
    """The flags for backups that may not finish."""

    TITLE = "Partial snapshots"
    partial: bool = switch("--partial", help="if interrupted, make a partial snapshot of what is complete")
    checkpoint: float | None = parsed(
        "--checkpoint", type=_INTERVAL, help="make a partial snapshot at this interval, such as 30m"
    )
    time_limit: float | None = parsed(
        "--time-limit", type=_INTERVAL, help="end after this time with a partial snapshot, such as 2h"
    )

    @property
    def may_end_early(self) -> bool:
        """Whether a snapshot may be partial."""
        return self.partial or self.checkpoint is not None or self.time_limit is not None


class _ChangeFlags(Flags):
    """The flags for which files are read."""

    TITLE = "Find changes"
    force: bool = switch("-f", "--force", help="read all files again")
    group_by: GroupBy = parsed(
        "-g",
        "--group-by",
        type=GROUP_BY,
        default=HOST_AND_PATHS,
        help="criteria that the parent snapshot must share (host,paths,tags)",
    )
    ignore_ctime: bool = switch("--ignore-ctime", help="ignore ctime changes when checking for modified files")
    ignore_inode: bool = switch(
        "--ignore-inode", help="ignore inode and ctime changes when checking for modified files"
    )
    parent: str = text("--parent", value="SNAPSHOT", help="snapshot to compare with")
    skip_damaged: bool = skip_damaged_flag()


class BackupFlags(_SourceFlags, _ExcludeFlags, _SnapshotFlags, _ChangeFlags, _EndFlags):
    """The flags of backup."""

    dry_run: bool = switch("-n", "--dry-run", help="only print what would be done")
    no_scan: bool = switch("--no-scan", help="do not scan the sources for progress estimates")
    read_concurrency: int | None = parsed(
        "--read-concurrency", type=NATURAL, help="number of files to read concurrently (2)"
    )
    sources: tuple[str, ...] = arguments("SOURCES", files=True)

    @property
    def streamed(self) -> bool:
        """Whether the source is a stream of bytes, not files."""
        return self.stdin or self.stdin_from_command


@define("backup", "Create a snapshot of files and folders.", BackupFlags)
def command(app: App, flags: BackupFlags) -> int:
    """Make a snapshot and print the result; 3 if some source could not be read or the backup ended early."""
    app.terminal.during = "archival"
    _check(app, flags)
    targets, complete = _targets(app, flags)
    concurrency = _concurrency(app, flags)
    exclude = flags.read_excludes(app.settings.environment)
    # Not at the top: help does not need it.
    from pyrestic.cli.backup_run import INCOMPLETE, BackupSource, run_backup

    source = BackupSource(targets, exclude, _snapshot_time(flags.time), concurrency)
    ended = run_backup(app, flags, source, complete=complete)
    if ended.early is not None:
        exit_error(ended.code, f"Warning: the backup ended early: {ended.early.value}", as_json=app.settings.json)
    elif ended.code == INCOMPLETE:
        exit_error(ended.code, "Warning: at least one source file could not be read", as_json=app.settings.json)
    return ended.code


def _check(app: App, flags: BackupFlags) -> None:
    if not passwords.is_given(app.settings):
        if flags.stdin:
            raise UsageError("cannot read both password and data from stdin")
        if "-" in (*flags.files_from, *flags.files_from_raw, *flags.files_from_verbatim):
            raise UsageError(
                "unable to read password from stdin when data is to be read from stdin,"
                " use --password-file or $RESTIC_PASSWORD"
            )
    for name, lists in (
        ("--files-from", flags.files_from),
        ("--files-from-verbatim", flags.files_from_verbatim),
        ("--files-from-raw", flags.files_from_raw),
    ):
        if flags.streamed and lists:
            raise UsageError(f"--stdin and {name} cannot be used together")
    if flags.stdin and flags.sources and not flags.stdin_from_command:
        raise UsageError("--stdin was specified and files/dirs were listed as arguments")
    if flags.stdin_from_command and not flags.sources:
        raise UsageError("no command was specified after --stdin-from-command")
    if flags.may_end_early and (flags.streamed or flags.dry_run):
        other = "--dry-run" if flags.dry_run else "--stdin" if flags.stdin else "--stdin-from-command"
        raise UsageError(f"{other} makes no partial snapshots: leave out --partial, --checkpoint and --time-limit")


def _targets(app: App, flags: BackupFlags) -> tuple[list[bytes], bool]:
    """Return the existing sources, and whether those are all; raise UsageError if there is none."""
    if flags.streamed:
        return [b"/" + os.fsencode(flags.stdin_filename).lstrip(b"/")], True
    named, without_match = text_file.read_sources(flags.files_from)
    for pattern in without_match:
        app.terminal.complain(f'pattern "{pattern}" does not match any files, skipping')
    named += text_file.read_sources_verbatim(flags.files_from_verbatim)
    named += text_file.read_sources_raw(flags.files_from_raw)
    named += [os.fsencode(source) for source in flags.sources]
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
        hint = _suggest_source(path) if missing else ""
        if hint:
            app.terminal.complain(hint)
        return False
    return True


def _suggest_source(path: bytes) -> str:
    """Return a hint with the closest existing path for a missing source, "" if there is none."""
    path = path.rstrip(b"/")
    folder = os.path.dirname(path)
    try:
        names = os.listdir(folder or b".")
    except OSError:
        return ""
    near = find_nearest(os.fsdecode(path), (os.fsdecode(os.path.join(folder, name)) for name in names))
    return ask_meant(near)


def _snapshot_time(text: str) -> int:
    return parse_snapshot_time(text) if text else time.time_ns()


def _concurrency(app: App, flags: BackupFlags) -> int:
    variable = "RESTIC_READ_CONCURRENCY"
    given = flags.read_concurrency
    value = app.settings.environment.get(variable, "")
    if given is None and value:
        given = parse_variable(variable, value, parse_uint32)
    return given or 2
