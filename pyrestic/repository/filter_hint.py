"""Suggestions for a filter that matches no snapshot."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pyrestic.nearest import Kind, suggest

if TYPE_CHECKING:
    from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot


def suggest_filter(wanted: "SnapshotFilter", there: "Iterable[StoredSnapshot]") -> str:
    """Return a hint with the closest existing host, tag or path for a missing one, "" if there is none."""
    snapshots = [stored.snapshot for stored in there]
    asked: tuple[tuple[Sequence[str], set[str], Kind], ...] = (
        (wanted.hosts, {snapshot.hostname for snapshot in snapshots}, "hosts"),
        ([tag for tags in wanted.tags for tag in tags if tag], {tag for one in snapshots for tag in one.tags}, "tags"),
        (wanted.paths, {path for snapshot in snapshots for path in snapshot.paths}, "paths"),
    )
    sentences = (suggest(name, known, what) for names, known, what in asked for name in names if name not in known)
    return " ".join(dict.fromkeys(filter(None, sentences)))
