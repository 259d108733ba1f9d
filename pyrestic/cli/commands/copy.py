"""pyrestic copy: snapshots from one repository into another."""

from typing import TYPE_CHECKING, Any

import click

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import snapshot_filter
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.secondary import is_source, secondary_flags, secondary_settings
from pyrestic.cli.session import Session, opened
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import SnapshotFilter, oldest_first, select_snapshots

if TYPE_CHECKING:
    from pyrestic.operations.copy import CopyResult


@define("copy", "Copy snapshots from one repository into another.")
@secondary_flags
@snapshot_filter
@click.argument("snapshot_id", nargs=-1)
def command(app: App, snapshot_id: tuple[str, ...], wanted: SnapshotFilter, **flags: Any) -> int | None:  # noqa: ANN401 - flags of many kinds
    """Copy everything that is missing from the target."""
    first, second = app.settings, secondary_settings(flags, app.settings)
    source, target, names = first, second, ("repository", "destination repository")
    if is_source(flags, first.environment):
        source, target, names = second, first, ("source repository", "repository")
    with (
        opened(source, app.terminal, LockMode.READ, load_index=True, name=names[0]) as reading,
        opened(target, app.terminal, LockMode.APPEND, load_index=True, name=names[1]) as writing,
    ):
        result, failures = _copy(app, reading, writing, wanted, list(snapshot_id))
    if first.json:
        app.terminal.print_json(_summary(result))
    return end_incomplete(app, failures)


def _copy(
    app: App, reading: Session, writing: Session, wanted: SnapshotFilter, names: list[str]
) -> "tuple[CopyResult, int]":
    """Return the result, and the number of unusable snapshots in both repositories."""
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.operations.copy import Copy

    source, target, terminal = reading.repository, writing.repository, app.terminal
    selected = select_snapshots(source, names, wanted, terminal)
    found = selected.snapshots if names else oldest_first(selected.snapshots)

    def ensure_locked() -> None:
        reading.ensure_locked()
        writing.ensure_locked()

    copy = Copy(source, target, terminal, ensure_locked)
    result = copy.run(found)
    return result, selected.failures + result.unreadable


def _summary(result: "CopyResult") -> dict[str, Any]:
    return {
        "message_type": "summary",
        "snapshots": [{"id": new.hex(), "source": old.hex()} for old, new in result.saved],
        "skipped": [{"id": there.hex(), "source": old.hex()} for old, there in result.skipped],
        "blobs": result.blobs,
        "bytes": result.bytes,
    }
