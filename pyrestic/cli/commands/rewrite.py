"""pyrestic rewrite: rewrite snapshots without some files or with other metadata."""

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import StrictSnapshotFlags
from pyrestic.cli.flag_fields import arguments, switch, text
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.pattern_flags import ExcludeFlags, IncludeFlags
from pyrestic.cli.replacing import replace_summary, snapshots_in_order
from pyrestic.cli.session import opened
from pyrestic.errors import UsageError
from pyrestic.localfs.metadata import format_local_time
from pyrestic.operations.replace_snapshot import ReplaceOptions
from pyrestic.operations.rewrite import TAG, Changes, rewrite
from pyrestic.repository.locking import LockMode
from pyrestic.repository.timespec import parse_snapshot_time


class RewriteFlags(ExcludeFlags, IncludeFlags, StrictSnapshotFlags):
    """The flags of rewrite."""

    dry_run: bool = switch("-n", "--dry-run", help="only print what would be done")
    forget: bool = switch("--forget", help="remove the old snapshots after saving the new ones")
    new_host: str = text("--new-host", value="HOST", help="set this host in the snapshots")
    new_time: str = text("--new-time", value="TIME", help="set this time in the snapshots, such as 2012-11-01 22:08:41")
    snapshot_summary: bool = switch("-s", "--snapshot-summary", help="add a summary to snapshots without one")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("rewrite", "Rewrite snapshots without some files or with other metadata.", RewriteFlags)
def command(app: App, flags: RewriteFlags) -> int | None:
    """Rewrite the snapshots that change."""
    _check(flags)
    terminal = app.terminal
    dry_run, forget, wanted = flags.dry_run, flags.forget, flags.wanted(app.settings.environment)
    options = ReplaceOptions(TAG, dry_run=dry_run, forget=forget, keep_empty=flags.includes)
    mode = LockMode.EXCLUSIVE if forget else LockMode.APPEND
    if forget:
        terminal.note("create exclusive lock for repository")
    with opened(
        app.settings, terminal, LockMode.NONE if dry_run else mode, load_index=True, dry_run=dry_run
    ) as session:
        repository = session.repository
        selection = snapshots_in_order(repository, list(flags.snapshot_id), wanted, terminal)
        result = rewrite(
            repository,
            selection.snapshots,
            lambda: _make_changes(app, flags),
            options,
            terminal,
            session.ensure_locked,
        )
    if app.settings.json:
        terminal.print_json(replace_summary(result, dry_run=dry_run))
    return end_incomplete(app, selection.failures)


def _check(flags: RewriteFlags) -> None:
    if not (flags.snapshot_summary or flags.excludes or flags.includes or flags.new_host or flags.new_time):
        raise UsageError("Nothing to do: no excludes/includes provided and no new metadata provided")
    if flags.excludes and flags.includes:
        raise UsageError("exclude and include patterns are mutually exclusive")


def _make_changes(app: App, flags: RewriteFlags) -> Changes:
    environment = app.settings.environment
    excludes, includes = flags.read_excludes(environment).lists(), flags.read_includes(environment).lists()
    time = format_local_time(parse_snapshot_time(flags.new_time)) if flags.new_time else ""
    return Changes(excludes, includes, flags.snapshot_summary, flags.new_host, time)
