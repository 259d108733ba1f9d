"""Shared by commands that replace snapshots."""

from typing import Any

import msgspec

from pyrestic.operations.replace_snapshot import ReplaceResult
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import Selection, SnapshotFilter, find_snapshots, oldest_first


def snapshots_in_order(repository: Repository, names: list[str], wanted: SnapshotFilter, report: Reporter) -> Selection:
    """Return the named snapshots in that order, or all that match, oldest first."""
    selection = find_snapshots(repository, names, wanted, report)
    return selection if names else msgspec.structs.replace(selection, snapshots=oldest_first(selection.snapshots))


def replace_summary(result: ReplaceResult, *, dry_run: bool) -> dict[str, Any]:
    """Return the result as JSON."""
    return {
        "message_type": "summary",
        "dry_run": dry_run,
        "replaced": [{"old": old.hex(), "new": new.hex() if new is not None else None} for old, new in result.replaced],
        "emptied": [identifier.hex() for identifier in result.emptied],
    }
