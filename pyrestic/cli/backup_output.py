"""The output of backup: items with -v, progress, the summary, in restic's words and JSON."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyrestic.cli.terminal import Fields, Terminal
from pyrestic.format.gojson import parse_time, quote_name
from pyrestic.format.printable import is_printable
from pyrestic.ids import short
from pyrestic.operations.backup_progress import BackupProgress, ItemDone
from pyrestic.units import format_bytes, format_duration, plain_number

if TYPE_CHECKING:
    from pyrestic.operations.archive_snapshot import BackupResult


def attach(terminal: Terminal, progress: BackupProgress) -> None:
    """Configure the terminal for a backup's progress."""

    terminal.status_fields = lambda _, elapsed_seconds: _status(progress, elapsed_seconds)
    terminal.status_lines = lambda _, elapsed_seconds: _status_lines(progress, elapsed_seconds)


def wants_totals(terminal: Terminal) -> bool:
    """Tell whether the results of a scan would be visible."""
    return terminal.json or terminal.is_terminal or terminal.verbosity >= 2 or terminal.shows_progress


def _remaining_seconds(progress: BackupProgress, elapsed_seconds: float) -> int:
    if not progress.scan_finished or elapsed_seconds <= 0:
        return 0
    rate = progress.done / elapsed_seconds
    return int(max(0, progress.total_bytes - progress.done) / rate) if rate > 1024 else 0


def _status(progress: BackupProgress, elapsed_seconds: float) -> Fields:
    share = progress.done / progress.total_bytes if progress.total_bytes else 0.0
    fields: Fields = {"message_type": "status"}
    optional = {
        "seconds_elapsed": int(elapsed_seconds),
        "seconds_remaining": _remaining_seconds(progress, elapsed_seconds),
    }
    fields |= {name: value for name, value in optional.items() if value}
    fields["percent_done"] = plain_number(share)
    optional = {
        "total_files": progress.total_files,
        "files_done": progress.files_done,
        "total_bytes": progress.total_bytes,
        "bytes_done": progress.done,
        "error_count": progress.error_count,
    }
    fields |= {name: value for name, value in optional.items() if value}
    current = sorted(os.fsdecode(path) for path in list(progress.current_files.values()))
    if current:
        fields["current_files"] = current
    return fields


def _status_lines(progress: BackupProgress, elapsed_seconds: float) -> list[str]:
    current = sorted(os.fsdecode(path) for path in list(progress.current_files.values()))
    return [_counts_text(progress, elapsed_seconds), *current]


def _counts_text(progress: BackupProgress, elapsed_seconds: float) -> str:
    head = f"[{format_duration(elapsed_seconds)}]"
    done = f"{progress.files_done} files {format_bytes(progress.done)}"
    if not progress.total_files:
        return f"{head} {progress.files_done} files, {format_bytes(progress.done)}, {progress.error_count} errors"
    left = _remaining_seconds(progress, elapsed_seconds)
    share = f" {progress.done / progress.total_bytes:.2%} " if left and progress.total_bytes else ""
    eta = f" ETA {format_duration(left)}" if left else ""
    total = f"total {progress.total_files} files {format_bytes(progress.total_bytes)}"
    return f"{head}{share} {done}, {total}, {progress.error_count} errors{eta}"


class ScanOutput:
    """Shows the messages of a scan."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def scan_finished(self, progress: BackupProgress, seconds: float) -> None:
        """Print the totals of the scan, with -v."""
        terminal = self._terminal
        if terminal.json:
            if terminal.verbosity >= 2:
                item = {
                    "message_type": "verbose_status",
                    "action": "scan_finished",
                    "item": "",
                    "duration": seconds,
                    "data_size": progress.total_bytes,
                    "data_size_in_repo": 0,
                    "metadata_size": 0,
                    "metadata_size_in_repo": 0,
                    "total_files": progress.total_files,
                }
                terminal.print_json(item)
            return
        size = format_bytes(progress.total_bytes)
        terminal.note(f"scan finished in {seconds:.3f}s: {progress.total_files} files, {size}", 2)

    def scan_failed(self, path: str, verb: str, error: OSError) -> None:
        """Report an unreadable path of the scan, as text only with -v: the backup itself reports it, too."""
        terminal = self._terminal
        message = f"{verb} {path}: {(error.strerror or str(error)).lower()}"
        if terminal.json:
            fields = {"message_type": "error", "error": {"message": message}, "during": "scan", "item": path}
            terminal.complain_json(fields)
        elif terminal.verbosity >= 2:
            terminal.complain(f"scan: {message}")


def item_printer(terminal: Terminal) -> Callable[[ItemDone], None] | None:
    """Return the printer of items, None if they are not shown."""
    if terminal.json:
        return (lambda item: terminal.print_json(_item_json(item))) if terminal.verbosity >= 2 else None
    return (lambda item: terminal.tell(_item_text(item))) if terminal.verbosity >= 3 else None


def _item_json(item: ItemDone) -> Fields:
    unchanged = item.action == "unchanged"
    return {
        "message_type": "verbose_status",
        "action": item.action,
        "item": os.fsdecode(item.location),
        "duration": 0 if unchanged else item.duration_seconds,
        "data_size": item.data_added,
        "data_size_in_repo": item.data_added_packed,
        "metadata_size": item.tree_added,
        "metadata_size_in_repo": item.tree_added_packed,
        "total_files": 0,
    }


def _item_text(item: ItemDone) -> str:
    name = _quoted(item.location)
    if item.action == "unchanged":
        return f"unchanged {name}"
    added = f"{format_bytes(item.data_added)} added"
    if item.is_directory:
        stored = f"{format_bytes(item.data_added_packed)} stored, {format_bytes(item.tree_added_packed)} metadata"
    else:
        stored = f"{format_bytes(item.data_added_packed)} stored"
    return f"{item.action:<9} {name}, saved in {item.duration_seconds:.3f}s ({added}, {stored})"


def _quoted(location: bytes) -> str:
    """Return a name in restic's form: quoted if a character is not printable."""
    name = location.decode("utf-8", "surrogateescape")
    if name.isascii() and name.isprintable():
        return name
    return f'"{quote_name(location)}"' if "\ufffd" in name or not all(is_printable(ord(one)) for one in name) else name


def finish(terminal: Terminal, result: "BackupResult", *, dry_run: bool, more: Fields | None = None) -> None:
    """Print the summary, in JSON with some more fields."""
    summary = result.summary
    seconds = (parse_time(summary.backup_end) - parse_time(summary.backup_start)) / 1e9
    if terminal.json:
        fields: Fields = {
            "message_type": "summary",
            "files_new": summary.files_new,
            "files_changed": summary.files_changed,
            "files_unmodified": summary.files_unmodified,
            "dirs_new": summary.dirs_new,
            "dirs_changed": summary.dirs_changed,
            "dirs_unmodified": summary.dirs_unmodified,
            "data_blobs": summary.data_blobs,
            "tree_blobs": summary.tree_blobs,
            "data_added": summary.data_added,
            "data_added_packed": summary.data_added_packed,
            "total_files_processed": summary.total_files_processed,
            "total_bytes_processed": summary.total_bytes_processed,
            "total_duration": plain_number(seconds),
            "backup_start": summary.backup_start,
            "backup_end": summary.backup_end,
        }
        if result.id is not None:
            fields["snapshot_id"] = result.id.hex()
        if dry_run:
            fields["dry_run"] = True
        if result.early is not None:
            fields["partial"] = result.id is not None
            fields["ended_early"] = result.early.value
        terminal.print_json(fields | (more or {}))
        return
    terminal.note("")
    terminal.note(
        f"Files:       {summary.files_new:5} new, {summary.files_changed:5} changed, "
        f"{summary.files_unmodified:5} unmodified"
    )
    terminal.note(
        f"Dirs:        {summary.dirs_new:5} new, {summary.dirs_changed:5} changed, "
        f"{summary.dirs_unmodified:5} unmodified"
    )
    terminal.note(f"Data Blobs:  {summary.data_blobs:5} new", 2)
    terminal.note(f"Tree Blobs:  {summary.tree_blobs:5} new", 2)
    verb = "Would add" if dry_run else "Added"
    added, packed = format_bytes(summary.data_added), format_bytes(summary.data_added_packed)
    terminal.note(f"{verb} to the repository: {added:<5} ({packed:<5} stored)")
    terminal.note("")
    terminal.note(
        f"processed {summary.total_files_processed} files, {format_bytes(summary.total_bytes_processed)} "
        f"in {format_duration(seconds)}"
    )
    if not dry_run:
        skipped = "skipped creating snapshot" if result.early is None else "nothing new is complete, so no snapshot"
        partial = ", partial" if result.early is not None else ""
        terminal.note(skipped if result.id is None else f"snapshot {short(result.id)} saved{partial}")
