"""What `history --deleted` prints: the entries that folders no longer hold."""

from typing import Any

from pyrestic.cli.commands.snapshots import zone_name
from pyrestic.cli.options import Settings
from pyrestic.cli.table import format_table
from pyrestic.cli.terminal import Terminal
from pyrestic.format.gojson import format_time
from pyrestic.ids import short
from pyrestic.repository.timespec import show_moment
from pyrestic.units import format_bytes
from pyrestic.vfs.deleted import Deleted, DeletedEntries
from pyrestic.vfs.history import age


def print_deleted(settings: Settings, terminal: Terminal, folder: bytes, found: DeletedEntries) -> None:
    """Print a table, the entry that was seen last comes first."""
    entries = sorted(found.entries, key=lambda entry: age(entry.last), reverse=True)
    hosts = len({entry.line.host for entry in entries}) > 1
    columns = ["Last seen", "Snapshot", "Modified", "Size", "Files", *["Host"] * hosts, "Path"]
    rows = [
        [
            show_moment(entry.last.snapshot.time_ns),
            short(entry.last.id),
            show_moment(entry.mtime_ns),
            format_bytes(entry.size),
            "" if entry.tree is None else str(entry.files),
            *[entry.line.host] * hosts,
            _shown(entry.location) + "/" * (entry.tree is not None),
        ]
        for entry in entries
    ]
    footer = f"{len(entries)} deleted {'entry' if len(entries) == 1 else 'entries'}"
    footer += f", {found.unreadable} folders or snapshots cannot be read" if found.unreadable else ""
    terminal.print(f"{_shown(folder)}:")
    footers = (f"Timestamps shown in {zone_name(settings.environment)}", footer)
    terminal.print(*format_table(columns, rows, footers, quoted=terminal.is_terminal))


def deleted_json(folder: bytes, found: DeletedEntries) -> dict[str, Any]:
    """Return the entries as a JSON object, by path."""
    return {
        "path": _shown(folder),
        "unreadable": found.unreadable,
        "deleted": [_entry_json(entry) for entry in found.entries],
    }


def _entry_json(entry: Deleted) -> dict[str, Any]:
    return {
        "path": _shown(entry.location),
        "type": entry.type,
        "size": entry.size,
        **({} if entry.tree is None else {"files": entry.files}),
        "mtime": format_time(entry.mtime_ns, 0),
        "hostname": entry.line.host,
        "last": {"id": entry.last.id.hex(), "time": entry.last.snapshot.time},
    }


def _shown(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")
