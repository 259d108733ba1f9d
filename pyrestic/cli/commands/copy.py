"""pyrestic copy: snapshots from one repository into another."""

from typing import TYPE_CHECKING, Any

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.secondary import SecondaryFlags, secondary_settings
from pyrestic.cli.session import Session, opened
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import oldest_first, select_snapshots

if TYPE_CHECKING:
    from pyrestic.operations.copy import CopyResult


class CopyFlags(SecondaryFlags, SnapshotFlags):
    """The flags of copy."""

    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("copy", "Copy snapshots from one repository into another.", CopyFlags)
def command(app: App, flags: CopyFlags) -> int | None:
    """Copy everything that is missing from the target."""
    first, second = app.settings, secondary_settings(flags, app.settings)
    source, target, names = first, second, ("repository", "destination repository")
    if flags.is_source:
        source, target, names = second, first, ("source repository", "repository")
    with (
        opened(source, app.terminal, LockMode.READ, load_index=True, name=names[0]) as reading,
        opened(target, app.terminal, LockMode.APPEND, load_index=True, name=names[1]) as writing,
    ):
        result, failures = _copy(app, reading, writing, flags)
    if first.json:
        app.terminal.print_json(_summary(result))
    return end_incomplete(app, failures)


def _copy(app: App, reading: Session, writing: Session, flags: CopyFlags) -> "tuple[CopyResult, int]":
    """Return the result, and the number of unusable snapshots in both repositories."""
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.operations.copy import Copy

    source, target, terminal = reading.repository, writing.repository, app.terminal
    names, wanted = list(flags.snapshot_id), flags.wanted(app.settings.environment)
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
