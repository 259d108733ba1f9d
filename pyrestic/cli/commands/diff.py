"""pyrestic diff: the changes from one snapshot to another."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import default_filter
from pyrestic.cli.flag_fields import Flags, arguments, switch
from pyrestic.cli.session import opened
from pyrestic.cli.stored_path import find_meant
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.ids import short
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.snapshots import find_snapshot
from pyrestic.repository.tree_walk import find_tree
from pyrestic.units import format_bytes

if TYPE_CHECKING:
    from pyrestic.operations.diff import Change, DiffStatistics


class DiffFlags(Flags):
    """The flags of diff."""

    metadata: bool = switch("--metadata", help="also show files of which only the metadata changed")
    snapshots: tuple[str, ...] = arguments("SNAPSHOTS")


@define("diff", "Show the changes between two snapshots, or folders in them (ID:FOLDER).", DiffFlags, prints=True)
def command(app: App, flags: DiffFlags) -> None:
    """Print the changes and the statistics."""
    snapshots = flags.snapshots
    if len(snapshots) != 2:
        raise UsageError("specify two snapshot IDs")
    terminal = app.terminal
    wanted = default_filter(app.settings.environment)
    look = Overlap(lambda repository: [find_snapshot(repository, name, wanted, terminal) for name in snapshots])
    with opened(app.settings, terminal, LockMode.READ, load_index=True, overlap=look) as session:
        # This imports numpy, which is imported while a lock waits.
        from pyrestic.operations.diff import Diff

        (before, _), (after, _) = look.found
        terminal.note(f"comparing snapshot {short(before.id)} to {short(after.id)}:")
        terminal.note("")
        repository = session.repository
        tree_before, tree_after = (
            find_meant(repository, terminal, one, folder, partial(find_tree, repository, one.snapshot.tree_id))
            for one, folder in look.found
        )
        terminal.during = "diff"
        comparison = Diff(repository, tree_before, tree_after, terminal, metadata=flags.metadata)
        for change in comparison.changes():
            if not app.settings.quiet:
                print_change(terminal, change)
        _print_statistics(terminal, snapshots, comparison.statistics())


def print_change(terminal: Terminal, change: "Change") -> None:
    """Print a changed path."""
    path = change.location.decode("utf-8", "surrogateescape")
    if terminal.json:
        terminal.print_json({"message_type": "change", "path": path, "modifier": change.modifier})
    else:
        terminal.print(f"{change.modifier:<5}{path}")


def _print_statistics(terminal: Terminal, names: tuple[str, ...], found: "DiffStatistics") -> None:
    if terminal.json:
        names_of = {"source_snapshot": names[0], "target_snapshot": names[1]}
        terminal.print_json({"message_type": "statistics", **names_of, **asdict(found)})
        return
    added, removed = found.added, found.removed
    for line in (
        "",
        f"Files:       {added.files:5} new, {removed.files:5} removed, {found.changed_files:5} changed",
        f"Dirs:        {added.dirs:5} new, {removed.dirs:5} removed",
        f"Others:      {added.others:5} new, {removed.others:5} removed",
        f"Data Blobs:  {added.data_blobs:5} new, {removed.data_blobs:5} removed",
        f"Tree Blobs:  {added.tree_blobs:5} new, {removed.tree_blobs:5} removed",
        f"  Added:   {format_bytes(added.bytes):<5}",
        f"  Removed: {format_bytes(removed.bytes):<5}",
    ):
        terminal.print(line)
