"""pyrestic backup: files in, a snapshot out."""

import os
import time
from typing import Any

import click

from pyrestic.cli import password as passwords
from pyrestic.cli.arguments import parse_uint32
from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import GROUP_BY
from pyrestic.cli.filters import skip_damaged_flag
from pyrestic.cli.flags import NATURAL
from pyrestic.cli.options import from_environment
from pyrestic.cli.terminal import exit_error
from pyrestic.errors import UsageError
from pyrestic.localfs import text_file
from pyrestic.nearest import ask_meant, find_nearest
from pyrestic.repository.timespec import parse_snapshot_time

Flags = dict[str, Any]


@define("backup", "Create a snapshot of files and folders.")
@click.option("-n", "--dry-run", is_flag=True, help="only print what would be done")
@click.option("-e", "--exclude", multiple=True, help="exclude files that match PATTERN")
@click.option("--exclude-caches", is_flag=True, help="exclude folders marked by CACHEDIR.TAG")
@click.option("--exclude-file", multiple=True, help="read exclude patterns from FILE")
@click.option("--exclude-if-present", multiple=True, help="NAME[:HEADER]: exclude folders that contain such a file")
@click.option("--exclude-larger-than", default="", help="exclude files larger than SIZE, such as 500M")
@click.option("--files-from", multiple=True, help="read sources from FILE; patterns are allowed")
@click.option("--files-from-raw", multiple=True, help="read sources from FILE, each terminated by a zero byte")
@click.option("--files-from-verbatim", multiple=True, help="read sources from FILE, one per line")
@click.option("-f", "--force", is_flag=True, help="read all files again")
@click.option(
    "-g",
    "--group-by",
    type=GROUP_BY,
    default="host,paths",
    help="criteria that the parent snapshot must share (host,paths,tags)",
)
@click.option("-H", "--host", default=None, help="host name of the snapshot ($RESTIC_HOST)")
@click.option("--hostname", default=None, hidden=True)
@click.option("--iexclude", multiple=True, help="like --exclude, but ignores case")
@click.option("--iexclude-file", multiple=True, help="like --exclude-file, but ignores case")
@click.option("--ignore-ctime", is_flag=True, help="ignore ctime changes when checking for modified files")
@click.option("--ignore-inode", is_flag=True, help="ignore inode and ctime changes when checking for modified files")
@click.option("--no-scan", is_flag=True, help="do not scan the sources for progress estimates")
@click.option("-x", "--one-file-system", is_flag=True, help="do not cross file system boundaries")
@click.option("--parent", default="", help="snapshot to compare with")
@click.option("--read-concurrency", type=NATURAL, default=None, help="number of files to read concurrently (2)")
@skip_damaged_flag
@click.option("--skip-if-unchanged", is_flag=True, help="skip the snapshot if nothing changed")
@click.option("--stdin", is_flag=True, help="store standard input as a file")
@click.option("--stdin-filename", default="stdin", help="name of that file")
@click.option("--stdin-from-command", is_flag=True, help="run the arguments as a command and store its output")
@click.option("--tag", multiple=True, help="tags of the snapshot: tag[,tag…]")
@click.option("--time", "when", default="", help="time of the snapshot, such as 2012-11-01 22:08:41")
@click.option("--with-atime", is_flag=True, help="store access times")
@click.argument("sources", nargs=-1, type=click.Path())
def command(app: App, sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401 - flags of many kinds
    """Make a snapshot and print the result; 3 if some source could not be read."""
    app.terminal.during = "archival"
    _check(app, sources, flags)
    targets, complete = _targets(app, sources, flags)
    flags["read_concurrency"] = _concurrency(app, flags)
    # A snapshot records the patterns of --exclude itself, not those from files.
    flags["named_excludes"] = flags["exclude"]
    flags["exclude"] += tuple(text_file.read_patterns(flags["exclude_file"], app.settings.environment))
    flags["iexclude"] += tuple(text_file.read_patterns(flags["iexclude_file"], app.settings.environment))
    # Not at the top: help does not need it.
    from pyrestic.cli.backup_run import INCOMPLETE, run_backup

    code = run_backup(app, sources, targets, flags, _snapshot_time(flags["when"]), complete=complete)
    if code == INCOMPLETE:
        exit_error(code, "Warning: at least one source file could not be read", as_json=app.settings.json)
    return code


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
    """Return the existing sources, and whether those are all; raise UsageError if there is none."""
    if flags["stdin"] or flags["stdin_from_command"]:
        return [b"/" + os.fsencode(flags["stdin_filename"]).lstrip(b"/")], True
    named, without_match = text_file.read_sources(flags["files_from"])
    for pattern in without_match:
        app.terminal.complain(f'pattern "{pattern}" does not match any files, skipping')
    named += text_file.read_sources_verbatim(flags["files_from_verbatim"])
    named += text_file.read_sources_raw(flags["files_from_raw"])
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


def _concurrency(app: App, flags: Flags) -> int:
    variable = "RESTIC_READ_CONCURRENCY"
    given = flags["read_concurrency"]
    if given is None:
        given = from_environment(variable, app.settings.environment.get(variable, ""), parse_uint32)
    return given or 2
