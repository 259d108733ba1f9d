"""pyrestic restore: restore files from a snapshot to a folder."""

import os
from typing import Any

import click

from pyrestic.cli import restore_output as output
from pyrestic.cli.billing import prices_or_default
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import snapshot_filter
from pyrestic.cli.flags import NATURAL
from pyrestic.cli.preflight_output import show_plan
from pyrestic.cli.session import Session, opened
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UsageError
from pyrestic.localfs.select import Patterns, restore_selector
from pyrestic.localfs.text_file import read_patterns
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.preflight import RestorePlan
from pyrestic.operations.restore import Restore
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_progress import RestoreProgress
from pyrestic.operations.restore_root import Named, RestoreRoot, Source, find_source
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, find_snapshot

Flags = dict[str, Any]


@define("restore", "Restore files from a snapshot.")
@snapshot_filter
@click.option("--all-versions", is_flag=True, help="restore every version of a path, with dates in the names")
@click.option("--delete", is_flag=True, help="delete files in the target that are not in the snapshot")
@click.option("--dry-run", is_flag=True, help="only print what would be done")
@click.option("-e", "--exclude", multiple=True, help="exclude files that match PATTERN")
@click.option("--exclude-file", multiple=True, help="read exclude patterns from FILE")
@click.option("--exclude-xattr", multiple=True, help="exclude extended attributes that match PATTERN")
@click.option("--ignore-free-space", is_flag=True, help="start even if the target seems to lack free space")
@click.option("--iexclude", multiple=True, help="like --exclude, but ignores case")
@click.option("--iexclude-file", multiple=True, help="like --exclude-file, but ignores case")
@click.option("--iinclude", multiple=True, help="like --include, but ignores case")
@click.option("--iinclude-file", multiple=True, help="like --include-file, but ignores case")
@click.option("-i", "--include", multiple=True, help="restore only files that match PATTERN")
@click.option("--include-file", multiple=True, help="read include patterns from FILE")
@click.option("--include-xattr", multiple=True, help="restore only extended attributes that match PATTERN")
@click.option(
    "--no-privileged", is_flag=True, help="skip devices, set-user-ID bits, set-group-ID bits and capabilities"
)
@click.option("--overwrite", default="", help="always (default), if-changed, if-newer or never")
@click.option("--ownership-by-name", is_flag=True, help="restore owners by name")
@click.option("--sparse", is_flag=True, help="write sparse files")
@click.option("--strip-components", type=NATURAL, default=0, help="remove the first N folders of every path")
@click.option("-t", "--target", default="", help="folder to restore to; for a single file also its new name")
@click.option("--verify", is_flag=True, help="read back and verify the restored files")
@click.argument("snapshot_id", nargs=-1)
def command(
    app: App,
    wanted: SnapshotFilter,
    target: str,
    snapshot_id: tuple[str, ...],
    **flags: Any,  # noqa: ANN401 - flags of many kinds
) -> None:
    """Restore a snapshot, or a folder or file of it."""
    include, exclude = _patterns(app, flags, "include"), _patterns(app, flags, "exclude")
    # Bad patterns are reported before the password prompt.
    filtered = restore_selector(include, exclude) is not None
    _check(snapshot_id, target, flags, filtered=filtered)
    options = _options(flags, include, exclude)
    terminal, settings = app.terminal, app.settings
    progress = RestoreProgress("restore", "B", total=0)
    report = output.RestoreReporter(terminal, progress)
    look = None
    if not flags["all_versions"]:
        look = Overlap(lambda repository: find_snapshot(repository, snapshot_id[0], wanted, terminal))
    with opened(settings, terminal, LockMode.READ, load_index=True, overlap=look) as session:
        repository = session.repository
        source: Source
        if look is None:
            source = _find_versions(app, session, snapshot_id[0], wanted)
        else:
            found, location = look.found
            source = find_source(repository, found.snapshot.tree_id, location)
        restore = Restore(
            repository,
            source,
            target,
            options,
            report,
            progress=progress,
            on_item=output.item_printer(terminal),
            warn=lambda message: terminal.complain(f"Warning: {message}"),
            state_folder=find_state_folder(settings.environment),
        )
        if look is not None:
            terminal.note(f"restoring {describe_snapshot(found)} to {target}")
        prices = prices_or_default(settings.environment, terminal)
        plan = restore.plan(prices)
        show_plan(settings, terminal, plan, prices, dry_run=options.dry_run, privileged=options.privileged)
        _tell_no_match(terminal, repository, restore.root, options, plan)
        restore.run(plan)
        if progress.error_count:
            raise PyresticError(f"There were {progress.error_count} errors")


def _find_versions(app: App, session: Session, path: str, wanted: SnapshotFilter) -> Named:
    # This imports the history search, which no other restore needs.
    from pyrestic.cli.all_versions import find_all_versions

    return find_all_versions(app, session, path, wanted)


def _tell_no_match(
    terminal: Terminal, repository: Repository, root: RestoreRoot, options: RestoreOptions, plan: RestorePlan
) -> None:
    """Report that the patterns of --include match nothing, with the closest names."""
    wanted = [*options.include.exact, *options.include.any_case]
    if not wanted or plan.files or plan.others or plan.files_there or plan.lost_count:
        return
    from pyrestic.operations.nearest_names import suggest_for_patterns

    hint = suggest_for_patterns(repository, root.tree, wanted, root.load)
    terminal.complain("nothing in the snapshot matches the patterns of --include", *filter(None, [hint]))


def _patterns(app: App, flags: Flags, name: str) -> Patterns:
    """Return the patterns of --include or --exclude, including those in files."""
    exact, any_case = (
        (*flags[flag], *read_patterns(flags[f"{flag}_file"], app.settings.environment)) for flag in (name, f"i{name}")
    )
    return Patterns(exact, any_case, name)


def _options(flags: Flags, include: Patterns, exclude: Patterns) -> RestoreOptions:
    return RestoreOptions(
        overwrite=Overwrite(flags["overwrite"] or "always"),
        # An explicit overwrite mode compares everything, as in restic.
        resume=not flags["overwrite"],
        delete=flags["delete"],
        dry_run=flags["dry_run"],
        sparse=flags["sparse"],
        verify=flags["verify"],
        ignore_free_space=flags["ignore_free_space"],
        strip_components=flags["strip_components"],
        include=include,
        exclude=exclude,
        ownership_by_name=flags["ownership_by_name"],
        include_xattr=flags["include_xattr"],
        exclude_xattr=flags["exclude_xattr"],
        privileged=not flags["no_privileged"],
    )


def _check(snapshot_id: tuple[str, ...], target: str, flags: Flags, *, filtered: bool) -> None:
    if flags["all_versions"]:
        _check_versions(snapshot_id, flags, filtered=filtered)
    if not snapshot_id:
        raise UsageError("no snapshot ID specified")
    if len(snapshot_id) > 1:
        raise UsageError(f"more than one snapshot ID specified: {' '.join(snapshot_id)}")
    if not target:
        raise UsageError("please specify a directory to restore to (--target)")
    if flags["dry_run"] and flags["verify"]:
        raise UsageError("--dry-run and --verify are mutually exclusive")
    if flags["delete"] and os.path.normpath(target) == "/" and not filtered:
        raise UsageError("'--target / --delete' must be combined with an include or exclude filter")
    if flags["overwrite"] not in {"", *(mode.value for mode in Overwrite)}:
        raise UsageError(
            f"invalid overwrite behavior {flags['overwrite']!r}, must be one of (always|if-changed|if-newer|never)"
        )


def _check_versions(paths: tuple[str, ...], flags: Flags, *, filtered: bool) -> None:
    if len(paths) != 1:
        raise UsageError("--all-versions takes one path")
    if filtered or flags["delete"] or flags["strip_components"]:
        raise UsageError("--all-versions cannot be combined with --include, --exclude, --delete and --strip-components")
