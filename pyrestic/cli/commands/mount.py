"""pyrestic mount: the repository as folders and files."""

import os
import sys

import click

from pyrestic.backend.location import LOCAL
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import snapshot_filter
from pyrestic.cli.flags import OldOption
from pyrestic.cli.session import find_location, opened
from pyrestic.errors import UsageError
from pyrestic.ids import ID
from pyrestic.repository.locking import LockMode
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot, load_all_snapshots
from pyrestic.vfs.namespace import DEFAULT_TEMPLATES, DEFAULT_TIME_LAYOUT, NamespaceEntry, make_namespace
from pyrestic.vfs.view import View


@define("mount", "Mount the repository.")
@snapshot_filter
@click.option("--allow-other", is_flag=True, help="allow other users to access the mount")
@click.option("--no-default-permissions", is_flag=True, help="with --allow-other: ignore file permissions")
@click.option("--owner-root", is_flag=True, help="show everything as owned by root")
@click.option("--path-template", multiple=True, help="path template for snapshots, such as hosts/%h/%T")
@click.option("--snapshot-template", cls=OldOption, advice="use --time-template")
@click.option("--time-template", help="time format, as a Go layout")
@click.argument("arguments", nargs=-1)
def command(
    app: App,
    wanted: SnapshotFilter,
    allow_other: bool,
    no_default_permissions: bool,
    owner_root: bool,
    path_template: tuple[str, ...],
    snapshot_template: str | None,
    time_template: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Serve until interrupted or unmounted."""
    from pyrestic.mount.filesystem import Filesystem, MountOptions, serve

    layout = _time_layout(time_template, snapshot_template)
    if not arguments:
        raise UsageError("wrong number of parameters")
    folder = arguments[0]
    _check_folder(app, folder)
    options = MountOptions(owner_root, allow_other, not no_default_permissions)
    with opened(app.settings, app.terminal, LockMode.READ, load_index=True) as session:
        repository = session.repository
        covered: set[ID] = set()

        def load() -> NamespaceEntry:
            # A running mount that shows the readable part is worth more than one that ends.
            snapshots = _choose(app, repository, wanted, lenient=bool(covered))
            found = {stored.id for stored in snapshots}
            if not found <= covered:
                # New snapshots have new index files.
                repository.load_new_index()
                covered.update(found)
            return make_namespace(snapshots, path_template or DEFAULT_TEMPLATES, layout)

        def ready() -> None:
            for line in (
                f"Now serving the repository at {folder}",
                "Use another terminal or tool to browse the contents of this folder.",
                "When finished, quit with Ctrl-c here or umount the mountpoint.",
            ):
                _say(app, line)

        _say(app, "Loading snapshots...")
        view = View(repository, load)
        filesystem = Filesystem(view, repository, app.terminal, options, ready)
        serve(filesystem, folder, f"restic:{repository.config.id[:10]}", options)


def _say(app: App, text: str) -> None:
    """Print a message even with --quiet and --json, and flush it: a script may wait for it."""
    app.terminal.print(text)
    sys.stdout.flush()


def _choose(app: App, repository: Repository, wanted: SnapshotFilter, *, lenient: bool) -> list[StoredSnapshot]:
    absolute = wanted.absolute()
    skip_damaged = lenient or wanted.skip_damaged
    found = load_all_snapshots(repository, app.terminal, what="which state is the latest", skip_damaged=skip_damaged)
    return [stored for stored in found if absolute.matches(stored.snapshot)]


def _time_layout(time_template: str | None, snapshot_template: str | None) -> str:
    layout = time_template if time_template is not None else snapshot_template
    if layout is None:
        return DEFAULT_TIME_LAYOUT
    if not layout:
        raise UsageError("time template string cannot be empty")
    if layout.startswith("/") or layout.endswith("/"):
        raise UsageError("time template string cannot start or end with '/'")
    return layout


def _check_folder(app: App, folder: str) -> None:
    """Raise UsageError unless the folder is a usable mount point."""
    if not os.path.exists(folder):
        raise UsageError(f"mountpoint {folder} does not exist")
    if not os.path.isdir(folder):
        raise UsageError(f"mountpoint {folder} is not a directory")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"mountpoint {folder} is not writeable or not executable")
    location = find_location(app.settings)
    if location.scheme != LOCAL:
        return
    here, there = os.path.realpath(folder), os.path.realpath(location.address)
    # A server that must read its own files through the mount would deadlock.
    tail = "; refusing to mount to avoid deadlocking the FUSE server"
    if here == there:
        raise UsageError(f"mountpoint {here} is the local repository directory{tail}")
    if os.path.commonpath([here, there]) == there:
        raise UsageError(f"mountpoint {here} is inside the local repository directory {there}{tail}")
    if os.path.commonpath([here, there]) == here:
        raise UsageError(f"local repository directory {there} is inside the mountpoint {here}{tail}")
