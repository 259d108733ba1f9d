"""pyrestic restore: the files of a snapshot back to a folder."""

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import click

from pyrestic.backend.private_folder import distrust
from pyrestic.cli import restore_output as output
from pyrestic.cli.billing import prices_or_default
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import snapshot_filter
from pyrestic.cli.flags import NATURAL
from pyrestic.cli.prefetch import Look
from pyrestic.cli.preflight_output import check_space, check_whole, show_plan
from pyrestic.cli.session import LockMode, Session, opened
from pyrestic.errors import LocalFileError, PyresticError, UsageError
from pyrestic.ids import ID
from pyrestic.localfs.restore_journal import RestoreNote
from pyrestic.localfs.restore_metadata import MetadataRestorer, MetadataRules
from pyrestic.localfs.select import Patterns, Select, attribute_selector, restore_selector
from pyrestic.localfs.text_file import read_patterns
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.preflight import RestorePlan, make_restore_plan
from pyrestic.operations.restore import RestoreOptions, RestoreProgress, Restorer
from pyrestic.operations.restore_root import RestoreRoot, place_file, stripped_root
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, find_snapshot
from pyrestic.repository.tree_walk import KeptTrees, find_entry

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
    select = _selector(app, flags)
    _check(snapshot_id, target, flags, filtered=select is not None)
    options = RestoreOptions(
        overwrite=Overwrite(flags["overwrite"] or "always"),
        delete=flags["delete"],
        dry_run=flags["dry_run"],
        sparse=flags["sparse"],
        verify=flags["verify"],
    )
    terminal = app.terminal
    progress = RestoreProgress("restore", "B", total=0)
    output.attach(terminal, progress)
    look = None
    if not flags["all_versions"]:
        look = Look(lambda repository: find_snapshot(repository, snapshot_id[0], wanted, terminal))
    with opened(app.settings, terminal, LockMode.READ, load_index=True, look=look) as session:
        repository = session.repository
        if look is None:
            root, folder, tree, location = _find_versions(app, session, snapshot_id[0], wanted), target, "", ""
        else:
            found, location = look.found
            root, folder = _find_root(repository, found.snapshot.tree_id, location, target, flags, select)
            tree = found.snapshot.tree
            terminal.note(f"restoring {describe_snapshot(found)} to {target}")
        writer = _writer(app, repository, folder, flags)
        what = (repository.config.id, tree, location, str(flags["strip_components"]), folder)
        with _note(app, options, what, flags, progress) as note:
            plan = _preflight(app, repository, root, writer, options, flags)
            _tell_no_match(app, repository, root, flags, plan)
            restorer = Restorer(
                repository,
                writer,
                options,
                terminal,
                progress,
                select=root.select,
                on_item=output.item_printer(terminal),
                load=root.load,
                note=note,
            )
            started = time.monotonic()
            with terminal.show(progress):
                restorer.restore(root.tree)
            output.finish(terminal, progress, time.monotonic() - started)
        _raise_errors(progress)
        if options.dry_run:
            check_whole(plan)
            _check_space(plan, flags)
        if options.verify:
            _verify(app, restorer, target)
            _raise_errors(progress)


def _find_versions(app: App, session: Session, path: str, wanted: SnapshotFilter) -> RestoreRoot:
    # It brings what looks for histories, which no other restore needs.
    from pyrestic.cli.all_versions import find_all_versions

    return find_all_versions(app, session, path, wanted)


def _find_root(
    repository: Repository, tree: ID, location: str, target: str, flags: Flags, select: Select | None
) -> tuple[RestoreRoot, str]:
    """Return what is restored, and the folder it goes to."""
    load = KeptTrees(repository).load
    node, tree = find_entry(repository, tree, location)
    count = flags["strip_components"]
    if node is not None:
        if flags["delete"] or count:
            raise UsageError("--delete and --strip-components work only for folders, and this is a single file")
        return place_file(node, target, load, select)
    if count:
        return stripped_root(repository, tree, count, load, select), target
    return RestoreRoot(tree, load, select), target


def _tell_no_match(app: App, repository: Repository, root: RestoreRoot, flags: Flags, plan: RestorePlan) -> None:
    """Say so if the patterns of --include match nothing, and what comes nearest to them."""
    wanted = [pattern for name in ("include", "iinclude") for pattern in _patterns(app, flags, name)]
    if not wanted or plan.files or plan.others or plan.files_there or plan.lost_count:
        return
    from pyrestic.operations.nearest_names import suggest_for_patterns

    hint = suggest_for_patterns(repository, root.tree, wanted, root.load)
    app.terminal.complain("nothing in the snapshot matches the patterns of --include", *filter(None, [hint]))


def _preflight(
    app: App,
    repository: Repository,
    root: RestoreRoot,
    writer: TargetWriter,
    options: RestoreOptions,
    flags: Flags,
) -> RestorePlan:
    """Make the plan, tell it, and refuse what has no room."""
    prices = prices_or_default(app.settings.environment, app.terminal)
    plan = make_restore_plan(
        repository,
        root.tree,
        writer,
        options.overwrite,
        select=root.select,
        prices=prices,
        load=root.load,
    )
    show_plan(app.settings, app.terminal, plan, prices, dry_run=options.dry_run, privileged=not flags["no_privileged"])
    if not options.dry_run:
        _check_space(plan, flags)
    return plan


def _check_space(plan: RestorePlan, flags: Flags) -> None:
    if not (flags["sparse"] or flags["ignore_free_space"]):
        check_space(plan)


@contextlib.contextmanager
def _note(
    app: App, options: RestoreOptions, what: tuple[str, ...], flags: Flags, progress: RestoreProgress
) -> Iterator[RestoreNote | None]:
    """Give the note of an interrupted restore that goes on, unless all content is to be compared."""
    state = find_state_folder(app.settings.environment)
    if flags["overwrite"] or flags["all_versions"] or not state or distrust(state) is not None:
        yield None
        return
    # What decides on metadata has to be the same, too: finished files are not touched again.
    metadata = [str(flags[name]) for name in ("ownership_by_name", "no_privileged", "include_xattr", "exclude_xattr")]
    note = RestoreNote(state, (*what[:-1], os.path.abspath(what[-1]), str(os.geteuid()), *metadata))
    done = False
    try:
        yield note
        done = progress.error_count == 0
    finally:
        if not options.dry_run:
            try:
                note.close(done=done)
            except LocalFileError as error:
                app.terminal.note(f"could not keep the restore journal: {error}", 2)


def _raise_errors(progress: RestoreProgress) -> None:
    if progress.error_count:
        raise PyresticError(f"There were {progress.error_count} errors")


def _verify(app: App, restorer: Restorer, target: str) -> None:
    app.terminal.note(f"verifying files in {target}")
    started = time.monotonic()
    count = restorer.verify()
    seconds = time.monotonic() - started
    app.terminal.note(f"finished verifying {count} files in {target} (took {seconds:.3f}s)")


def _selector(app: App, flags: Flags) -> Select | None:
    def patterns(name: str) -> Patterns:
        return Patterns(_patterns(app, flags, name), _patterns(app, flags, f"i{name}"), name)

    return restore_selector(patterns("include"), patterns("exclude"))


def _patterns(app: App, flags: Flags, name: str) -> tuple[str, ...]:
    return (*flags[name], *read_patterns(flags[f"{name}_file"], app.settings.environment))


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


def _writer(app: App, repository: Repository, target: str, flags: Flags) -> TargetWriter:
    rules = MetadataRules(
        ownership_by_name=flags["ownership_by_name"],
        attributes=attribute_selector(flags["include_xattr"], flags["exclude_xattr"]),
        privileged=not flags["no_privileged"],
    )
    metadata = MetadataRestorer(rules, lambda message: app.terminal.complain(f"Warning: {message}"))
    return TargetWriter(os.fsencode(target), metadata, replace_folders=flags["delete"], engines=repository.engines)
