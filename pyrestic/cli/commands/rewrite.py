"""pyrestic rewrite: rewrite snapshots without some files or with other metadata."""

from typing import Any

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import strict_snapshot_filter
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.replacing import replace_summary, snapshots_in_order
from pyrestic.cli.session import opened
from pyrestic.errors import UsageError
from pyrestic.localfs.metadata import format_local_time
from pyrestic.localfs.patterns import PatternList
from pyrestic.localfs.select import Patterns
from pyrestic.localfs.text_file import read_patterns
from pyrestic.operations.replace_snapshot import ReplaceOptions
from pyrestic.operations.rewrite import TAG, Changes, rewrite
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.repository.timespec import parse_snapshot_time

Flags = dict[str, Any]


@define("rewrite", "Rewrite snapshots without some files or with other metadata.")
@click.option("-n", "--dry-run", is_flag=True, help="only print what would be done")
@click.option("-e", "--exclude", multiple=True, help="exclude files that match PATTERN")
@click.option("--exclude-file", multiple=True, help="read exclude patterns from FILE")
@click.option("--forget", is_flag=True, help="remove the old snapshots after saving the new ones")
@click.option("--iexclude", multiple=True, help="like --exclude, but ignores case")
@click.option("--iexclude-file", multiple=True, help="like --exclude-file, but ignores case")
@click.option("--iinclude", multiple=True, help="like --include, but ignores case")
@click.option("--iinclude-file", multiple=True, help="like --include-file, but ignores case")
@click.option("-i", "--include", multiple=True, help="keep only files that match PATTERN")
@click.option("--include-file", multiple=True, help="read include patterns from FILE")
@click.option("--new-host", default="", help="set this host in the snapshots")
@click.option("--new-time", default="", help="set this time in the snapshots, such as 2012-11-01 22:08:41")
@click.option("-s", "--snapshot-summary", is_flag=True, help="add a summary to snapshots without one")
@strict_snapshot_filter
@click.argument("snapshot_id", nargs=-1)
def command(app: App, snapshot_id: tuple[str, ...], wanted: SnapshotFilter, **flags: Any) -> int | None:  # noqa: ANN401 - flags of many kinds
    """Rewrite the snapshots that change."""
    _check(flags)
    terminal = app.terminal
    dry_run, forget = flags["dry_run"], flags["forget"]
    options = ReplaceOptions(TAG, dry_run=dry_run, forget=forget, keep_empty=_given(flags, "include"))
    mode = LockMode.EXCLUSIVE if forget else LockMode.APPEND
    if forget:
        terminal.note("create exclusive lock for repository")
    with opened(
        app.settings, terminal, LockMode.NONE if dry_run else mode, load_index=True, dry_run=dry_run
    ) as session:
        repository = session.repository
        selection = snapshots_in_order(repository, list(snapshot_id), wanted, terminal)
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


def _given(flags: Flags, family: str) -> bool:
    """Tell whether any flag of a family of patterns is given."""
    return any(flags[name] for name in (family, f"i{family}", f"{family}_file", f"i{family}_file"))


def _check(flags: Flags) -> None:
    excludes, includes = _given(flags, "exclude"), _given(flags, "include")
    if not (flags["snapshot_summary"] or excludes or includes or flags["new_host"] or flags["new_time"]):
        raise UsageError("Nothing to do: no excludes/includes provided and no new metadata provided")
    if excludes and includes:
        raise UsageError("exclude and include patterns are mutually exclusive")


def _make_changes(app: App, flags: Flags) -> Changes:
    excludes, includes = _patterns(app, flags, "exclude"), _patterns(app, flags, "include")
    time = format_local_time(parse_snapshot_time(flags["new_time"])) if flags["new_time"] else ""
    return Changes(excludes, includes, flags["snapshot_summary"], flags["new_host"], time)


def _patterns(app: App, flags: Flags, family: str) -> list[PatternList]:
    environment = app.settings.environment
    exact = [*flags[family], *read_patterns(flags[f"{family}_file"], environment)]
    any_case = [*flags[f"i{family}"], *read_patterns(flags[f"i{family}_file"], environment)]
    return Patterns(tuple(exact), tuple(any_case), family).lists()
