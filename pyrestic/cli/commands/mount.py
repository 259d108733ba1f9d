"""pyrestic mount: the repository as folders and files."""

import os
import sys

from pyrestic.backend.location import LOCAL
from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, optional_text, switch, texts
from pyrestic.cli.session import find_location, opened
from pyrestic.errors import UsageError
from pyrestic.ids import ID
from pyrestic.repository.locking import LockMode
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot, load_all_snapshots
from pyrestic.vfs.namespace import DEFAULT_TEMPLATES, DEFAULT_TIME_LAYOUT, NamespaceEntry, make_namespace
from pyrestic.vfs.view import View


class MountFlags(SnapshotFlags):
    """The flags of mount."""

    allow_other: bool = switch("--allow-other", help="allow other users to access the mount")
    no_default_permissions: bool = switch(
        "--no-default-permissions", help="with --allow-other: ignore file permissions"
    )
    owner_root: bool = switch("--owner-root", help="show everything as owned by root")
    path_template: tuple[str, ...] = texts(
        "--path-template", value="TEMPLATE", help="path template for snapshots, such as hosts/%h/%T"
    )
    snapshot_template: str | None = optional_text("--snapshot-template", advice="use --time-template")
    time_template: str | None = optional_text("--time-template", value="LAYOUT", help="time format, as a Go layout")
    arguments: tuple[str, ...] = arguments("ARGUMENTS")


@define("mount", "Mount the repository.", MountFlags)
def command(app: App, flags: MountFlags) -> None:
    """Serve until interrupted or unmounted."""
    from pyrestic.mount.filesystem import Filesystem, MountOptions, serve

    layout = _time_layout(flags)
    if not flags.arguments:
        raise UsageError("wrong number of parameters")
    folder = flags.arguments[0]
    _check_folder(app, folder)
    options = MountOptions(flags.owner_root, flags.allow_other, not flags.no_default_permissions)
    wanted = flags.wanted(app.settings.environment)
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
            return make_namespace(snapshots, flags.path_template or DEFAULT_TEMPLATES, layout)

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


def _time_layout(flags: MountFlags) -> str:
    layout = flags.time_template if flags.time_template is not None else flags.snapshot_template
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
