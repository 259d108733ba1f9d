"""pyrestic stats: the total size of snapshots."""

import time
from typing import Any

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, text
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.session import Session, opened
from pyrestic.cli.table import format_table
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.operations.histogram import Histogram, blob_lengths, file_lengths
from pyrestic.operations.stats import Mode, Statistics, StatsProgress, count
from pyrestic.report import Progress
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.snapshots import StoredSnapshot, oldest_first, select_snapshots
from pyrestic.units import format_bytes, format_duration, format_percent, plain_number

_DEBUG = "debug"


class StatsFlags(SnapshotFlags):
    """The flags of stats."""

    mode: str = text(
        "--mode",
        value="MODE",
        default=Mode.RESTORE_SIZE.value,
        help="restore-size (default), files-by-contents, blobs-per-file or raw-data",
    )
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("stats", "Show statistics of all snapshots, or of those selected by ID or filter.", StatsFlags, prints=True)
def command(app: App, flags: StatsFlags) -> int | None:
    """Print the totals."""
    mode, wanted = flags.mode, flags.wanted(app.settings.environment)
    if mode not in {known.value for known in Mode} | {_DEBUG}:
        raise UsageError(f"unknown counting mode: {mode} (use the -h flag to get a list of supported modes)")
    names = list(flags.snapshot_id)
    look = Overlap(lambda repository: select_snapshots(repository, names, wanted, app.terminal))
    counts = mode != _DEBUG
    with opened(
        app.settings, app.terminal, LockMode.READ, load_index=True, overlap=look if counts else None
    ) as session:
        if not counts:
            _print_histograms(app.terminal, session)
            return None
        if not app.settings.json:
            app.terminal.print("scanning...")
        snapshots = look.found.snapshots
        found = _count(app.terminal, session, snapshots if names else oldest_first(snapshots), Mode(mode))
        if app.settings.json:
            app.terminal.print_json(_json(found))
        else:
            _print(app.terminal, mode, found)
    return end_incomplete(app, look.found.failures)


def _count(terminal: Terminal, session: Session, snapshots: list[StoredSnapshot], mode: Mode) -> Statistics:
    progress = StatsProgress("snapshots", "snapshots", len(snapshots))
    terminal.status_lines = lambda progress, elapsed_seconds: [_status(progress, elapsed_seconds)]
    started = time.monotonic()
    try:
        with terminal.show(progress):
            return count(session.repository, snapshots, mode, progress)
    finally:
        if not terminal.json:
            terminal.print(_status(progress, time.monotonic() - started))


def _status(progress: Progress, elapsed_seconds: float) -> str:
    assert isinstance(progress, StatsProgress)  # noqa: S101 - the only one with a form of its own here
    total = progress.total or 0
    text = f"[{format_duration(elapsed_seconds)}] {format_percent(progress.done, total)}"
    text += f"  {progress.done} / {total} snapshots"
    text += f", {progress.files} files" if progress.files else ""
    text += f", {progress.blobs} blobs" if progress.blobs else ""
    return f"{text}, {format_bytes(progress.bytes)}"


def _print(terminal: Terminal, mode: str, found: Statistics) -> None:
    rows = [
        ("Snapshots processed", str(found.snapshots), True),
        ("Total Blob Count", str(found.blobs), found.blobs),
        ("Total File Count", str(found.files), found.files),
        ("Total Uncompressed Size", f"{format_bytes(found.plain_bytes):<5}", found.plain_bytes),
        ("Total Size", f"{format_bytes(found.bytes):<5}", True),
        ("Compression Progress", f"{found.compression_progress:.2f}%", found.compression_progress > 0),
        ("Compression Ratio", f"{found.compression_ratio:.2f}x", found.compression_ratio > 0),
        ("Compression Space Saving", f"{found.compression_space_saving:.2f}%", found.compression_space_saving > 0),
    ]
    terminal.print(f"Stats in {mode} mode:")
    for name, value, shown in rows:
        if shown:
            terminal.print(f"{name:>24}:  {value}")


def _json(found: Statistics) -> dict[str, Any]:
    fields = {
        "total_uncompressed_size": found.plain_bytes,
        "compression_ratio": plain_number(found.compression_ratio),
        "compression_progress": plain_number(found.compression_progress),
        "compression_space_saving": plain_number(found.compression_space_saving),
        "total_file_count": found.files,
        "total_blob_count": found.blobs,
    }
    given = {name: value for name, value in fields.items() if value}
    return {"total_size": found.bytes, **given, "snapshots_count": found.snapshots}


def _print_histograms(terminal: Terminal, session: Session) -> None:
    """Print the lengths of files and blobs, for a study of the repository's layout."""
    terminal.complain("Collecting size statistics", "")
    for file_type, histogram in file_lengths(session.repository):
        terminal.complain(f"File Type: {file_type.value}", *_describe(histogram))
    for blob_type, histogram in blob_lengths(session.repository):
        terminal.complain(f"Blob Type: {blob_type.name.lower()}", *_describe(histogram), "", "")


def _describe(histogram: Histogram) -> list[str]:
    names = [f"{one.lower} - {one.upper} Byte" for one in histogram.classes()]
    width = max(map(len, names), default=0)
    rows = [[name.rjust(width), str(one.members)] for name, one in zip(names, histogram.classes(), strict=True)]
    lines = [f"Count: {histogram.count}", f"Total Size: {format_bytes(histogram.total_bytes)}"]
    lines += format_table(["Size", "Count"], rows)
    lines += [f"Oversized: [{' '.join(map(str, histogram.oversized))}]"] if histogram.oversized else []
    return lines
