"""pyrestic restore: restore files from a snapshot to a folder."""

import os
from functools import partial

from pyrestic.cli import restore_output as output
from pyrestic.cli.billing import prices_or_default
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import Flags, arguments, parsed, switch, text, texts
from pyrestic.cli.flags import NATURAL, Parsed
from pyrestic.cli.pattern_flags import ExcludeFlags, IncludeFlags
from pyrestic.cli.preflight_output import show_plan
from pyrestic.cli.session import Session, opened
from pyrestic.cli.stored_path import find_meant
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UsageError
from pyrestic.localfs.select import Patterns, restore_selector
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


def _parse_overwrite(text: str) -> Overwrite:
    try:
        return Overwrite(text)
    except ValueError:
        modes = "|".join(mode.value for mode in Overwrite)
        raise UsageError(f'invalid overwrite behavior "{text}", must be one of ({modes})') from None


class _TargetFlags(Flags):
    """The flags for where and how files are written."""

    TITLE = "Target"
    delete: bool = switch("--delete", help="delete files in the target that are not in the snapshot")
    ignore_free_space: bool = switch("--ignore-free-space", help="start even if the target seems to lack free space")
    missing: bool = switch("--missing", help="restore only what the target lacks, and leave everything else as it is")
    overwrite: Overwrite | None = parsed(
        "--overwrite", type=Parsed("mode", _parse_overwrite), help="always (default), if-changed, if-newer or never"
    )
    sparse: bool = switch("--sparse", help="write sparse files")
    strip_components: int = parsed(
        "--strip-components", type=NATURAL, default=0, help="remove the first N folders of every path"
    )
    target: str = text("-t", "--target", value="PATH", help="folder to restore to; for a single file also its new name")


class _MetadataFlags(Flags):
    """The flags for owners, permissions and attributes."""

    TITLE = "Metadata"
    exclude_xattr: tuple[str, ...] = texts(
        "--exclude-xattr", value="PATTERN", help="exclude extended attributes that match PATTERN"
    )
    include_xattr: tuple[str, ...] = texts(
        "--include-xattr", value="PATTERN", help="restore only extended attributes that match PATTERN"
    )
    no_privileged: bool = switch(
        "--no-privileged", help="skip devices, set-user-ID bits, set-group-ID bits and capabilities"
    )
    ownership_by_name: bool = switch("--ownership-by-name", help="restore owners by name")


class RestoreFlags(_TargetFlags, IncludeFlags, ExcludeFlags, _MetadataFlags, SnapshotFlags):
    """The flags of restore."""

    all_versions: bool = switch("--all-versions", help="restore every version of a path, with dates in the names")
    dry_run: bool = switch("--dry-run", help="only print what would be done")
    verify: bool = switch("--verify", help="read back and verify the restored files")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("restore", "Restore files from a snapshot.", RestoreFlags)
def command(app: App, flags: RestoreFlags) -> None:
    """Restore a snapshot, or a folder or file of it."""
    environment = app.settings.environment
    include, exclude = flags.read_includes(environment), flags.read_excludes(environment)
    # Bad patterns are reported before the password prompt.
    filtered = restore_selector(include, exclude) is not None
    _check(flags, filtered=filtered)
    options = _options(flags, include, exclude)
    terminal, settings = app.terminal, app.settings
    name, wanted, target = flags.snapshot_id[0], flags.wanted(environment), flags.target
    progress = RestoreProgress("restore", "B", total=0)
    report = output.RestoreReporter(terminal, progress)
    look = None
    if not flags.all_versions:
        look = Overlap(lambda repository: find_snapshot(repository, name, wanted, terminal))
    with opened(settings, terminal, LockMode.READ, load_index=True, overlap=look) as session:
        repository = session.repository
        source: Source
        if look is None:
            source = _find_versions(app, session, name, wanted)
        else:
            found, location = look.found
            source = find_meant(
                repository, terminal, found, location, partial(find_source, repository, found.snapshot.tree_id)
            )
        restore = Restore(
            repository,
            source,
            target,
            options,
            report,
            progress=progress,
            on_item=output.item_printer(terminal),
            warn=lambda message: terminal.complain(f"Warning: {message}"),
            state_folder=find_state_folder(environment),
        )
        if look is not None:
            terminal.note(f"restoring {describe_snapshot(found)} to {target}")
        prices = prices_or_default(environment, terminal)
        plan = restore.plan(prices)
        show_plan(settings, terminal, plan, prices, dry_run=options.dry_run, privileged=options.privileged)
        _tell_no_match(terminal, repository, restore.root, options, plan)
        if not options.dry_run:
            session.ensure_allowed(plan.usage, "this restore")
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


def _options(flags: RestoreFlags, include: Patterns, exclude: Patterns) -> RestoreOptions:
    return RestoreOptions(
        overwrite=flags.overwrite or Overwrite.ALWAYS,
        # An explicit overwrite mode compares everything, as in restic.
        resume=flags.overwrite is None,
        missing=flags.missing,
        delete=flags.delete,
        dry_run=flags.dry_run,
        sparse=flags.sparse,
        verify=flags.verify,
        ignore_free_space=flags.ignore_free_space,
        strip_components=flags.strip_components,
        include=include,
        exclude=exclude,
        ownership_by_name=flags.ownership_by_name,
        include_xattr=flags.include_xattr,
        exclude_xattr=flags.exclude_xattr,
        privileged=not flags.no_privileged,
    )


def _check(flags: RestoreFlags, *, filtered: bool) -> None:
    if flags.all_versions:
        _check_versions(flags, filtered=filtered)
    if not flags.snapshot_id:
        raise UsageError("no snapshot ID specified")
    if len(flags.snapshot_id) > 1:
        raise UsageError(f"more than one snapshot ID specified: {' '.join(flags.snapshot_id)}")
    if not flags.target:
        raise UsageError("please specify a directory to restore to (--target)")
    if flags.dry_run and flags.verify:
        raise UsageError("--dry-run and --verify are mutually exclusive")
    if flags.missing and (flags.delete or flags.overwrite is not None):
        raise UsageError(f"--missing and --{'delete' if flags.delete else 'overwrite'} are mutually exclusive")
    if flags.delete and os.path.normpath(flags.target) == "/" and not filtered:
        raise UsageError("'--target / --delete' must be combined with an include or exclude filter")


def _check_versions(flags: RestoreFlags, *, filtered: bool) -> None:
    if len(flags.snapshot_id) != 1:
        raise UsageError("--all-versions takes one path")
    if filtered or flags.delete or flags.strip_components:
        raise UsageError("--all-versions cannot be combined with --include, --exclude, --delete and --strip-components")
