"""The output of restore, in restic's words and JSON."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from pyrestic.cli.terminal import Fields, Terminal
from pyrestic.operations.restore_progress import ItemRestored, RestoreProgress
from pyrestic.report import Progress
from pyrestic.units import format_bytes, format_duration, plain_number


class RestoreReporter:
    """A Reporter that shows a restore on the terminal.

    It prints the summary when the files are written: the verification, if any, comes after it.
    """

    def __init__(self, terminal: Terminal, progress: RestoreProgress) -> None:
        self._terminal = terminal
        self._progress = progress
        terminal.during = "restore"
        terminal.error_text = "ignoring error for {item}: {error}"
        terminal.status_fields = lambda _, elapsed_seconds: _fields("status", progress, elapsed_seconds)
        terminal.status_lines = lambda _, elapsed_seconds: [_text(progress, elapsed_seconds)]

    def error(self, item: str, error: Exception) -> None:
        """Show the error."""
        self._terminal.error(item, error)

    def note(self, message: str, level: int = 1) -> None:
        """Show the note."""
        self._terminal.note(message, level)

    @contextlib.contextmanager
    def show(self, progress: Progress) -> Iterator[None]:
        """Show progress, then the summary."""
        started = time.monotonic()
        with self._terminal.show(progress):
            yield
        _finish(self._terminal, self._progress, time.monotonic() - started)


def _fields(kind: str, progress: RestoreProgress, elapsed_seconds: float) -> Fields:
    total = progress.total or 0
    fields: Fields = {"message_type": kind}
    if int(elapsed_seconds):
        fields["seconds_elapsed"] = int(elapsed_seconds)
    if kind == "status":
        fields["percent_done"] = plain_number(progress.done / total) if total else 0
    counts = {
        "total_files": progress.total_files,
        "files_restored": progress.files_restored,
        "files_skipped": progress.files_skipped,
        "files_deleted": progress.files_deleted,
        "total_bytes": total,
        "bytes_restored": progress.done,
        "bytes_skipped": progress.bytes_skipped,
    }
    return fields | {name: count for name, count in counts.items() if count}


def _text(progress: RestoreProgress, elapsed_seconds: float) -> str:
    total = progress.total or 0
    share = f"{progress.done / total:.2%}" if total else "0.00%"
    text = (
        f"[{format_duration(elapsed_seconds)}] {share}  {progress.files_restored} files/dirs "
        f"{format_bytes(progress.done)}, total {progress.total_files} files/dirs {format_bytes(total)}"
    )
    if progress.files_skipped:
        text += f", skipped {progress.files_skipped} files/dirs {format_bytes(progress.bytes_skipped)}"
    if progress.files_deleted:
        text += f", deleted {progress.files_deleted} files/dirs"
    return text


def item_printer(terminal: Terminal) -> Callable[[ItemRestored], None] | None:
    """Return the printer of items, None if they are not shown."""
    if terminal.verbosity < 3:
        return None
    return lambda item: terminal.print_json(_item_json(item)) if terminal.json else terminal.tell(_item_text(item))


def _item_json(item: ItemRestored) -> Fields:
    return {
        "message_type": "verbose_status",
        "action": item.action,
        "item": os.fsdecode(item.location),
        "size": item.size or 0,
    }


def _item_text(item: ItemRestored) -> str:
    size = "" if item.size is None else f" with size {format_bytes(item.size)}"
    return f"{item.action:<9} {os.fsdecode(item.location)}{size}"


def _finish(terminal: Terminal, progress: RestoreProgress, seconds: float) -> None:
    """Print the summary."""
    if terminal.json:
        terminal.print_json(_fields("summary", progress, seconds))
        return
    total = progress.total or 0
    took = format_duration(seconds)
    if progress.files_restored == progress.total_files and progress.done == total:
        text = f"Summary: Restored {progress.total_files} files/dirs ({format_bytes(total)}) in {took}"
    else:
        text = (
            f"Summary: Restored {progress.files_restored} / {progress.total_files} files/dirs "
            f"({format_bytes(progress.done)} / {format_bytes(total)}) in {took}"
        )
    if progress.files_skipped:
        text += f", skipped {progress.files_skipped} files/dirs {format_bytes(progress.bytes_skipped)}"
    if progress.files_deleted:
        text += f", deleted {progress.files_deleted} files/dirs"
    terminal.print(text)
