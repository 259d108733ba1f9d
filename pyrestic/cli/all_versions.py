"""`restore --all-versions`: each version of a path under a name with its modification time."""

from pyrestic.cli.command import App
from pyrestic.cli.commands.history import find_path, suggest_path
from pyrestic.cli.history_index import opened_index
from pyrestic.cli.session import Session
from pyrestic.errors import UsageError
from pyrestic.operations.restore_root import Named
from pyrestic.repository.snapshots import SnapshotFilter, load_all_snapshots
from pyrestic.vfs.version_names import name_versions


def find_all_versions(app: App, session: Session, path: str, wanted: SnapshotFilter) -> Named:
    """Return the versions, and print their number; raise UsageError if no snapshot contains the path."""
    repository, terminal = session.repository, app.terminal
    snapshots = load_all_snapshots(
        repository, terminal, what="which versions there are", skip_damaged=wanted.skip_damaged
    )
    with opened_index(app.settings, session) as index:
        history = find_path(repository, snapshots, path, index, terminal)
    if not history.versions:
        raise UsageError(f"no snapshot contains {path}", hint=suggest_path(repository, snapshots, [path]))
    if history.unreadable:
        terminal.complain(f"{history.unreadable} snapshots cannot be read and are skipped")
    named = [(name, version.node) for name, version in name_versions(history)]
    shown = history.location.decode("utf-8", "replace")
    count = len(named)
    terminal.note(f"restoring {count} version{'s' * (count != 1)} of {shown} in {history.snapshots} snapshots")
    return Named([(name, node) for name, node in named if node is not None])
