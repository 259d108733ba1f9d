"""pyrestic snapshots: list snapshots."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pyrestic.cli.command import App, define
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, parsed, switch
from pyrestic.cli.flags import INTEGER, Parsed
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.session import opened
from pyrestic.cli.table import Cell, format_table
from pyrestic.cli.zones import LOCAL_ZONE, zone_file
from pyrestic.format import snapshot as snapshot_format
from pyrestic.ids import short
from pyrestic.operations.retention import GroupBy, GroupKey, group_snapshots, parse_group_by
from pyrestic.repository.locking import LockMode
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.snapshots import StoredSnapshot, select_snapshots
from pyrestic.units import format_bytes

GROUP_BY = Parsed("group", parse_group_by)
HOST_AND_PATHS = GroupBy(host=True, paths=True)


class SnapshotsFlags(SnapshotFlags):
    """The flags of snapshots."""

    compact: bool = switch("-c", "--compact", help="omit paths")
    group_by: GroupBy = parsed("-g", "--group-by", type=GROUP_BY, default=GroupBy(), help="group by host, paths, tags")
    last: bool = switch("--last", advice="use --latest 1")
    latest: int = parsed("--latest", type=INTEGER, default=0, help="show only the last N snapshots per host and paths")
    snapshot_id: tuple[str, ...] = arguments("SNAPSHOT_ID")


@define("snapshots", "List snapshots.", SnapshotsFlags, prints=True)
def command(app: App, flags: SnapshotsFlags) -> int | None:
    """Print the matching snapshots, oldest first."""
    wanted, group_by = flags.wanted(app.settings.environment), flags.group_by
    look = Overlap(lambda repository: select_snapshots(repository, list(flags.snapshot_id), wanted, app.terminal))
    with opened(app.settings, app.terminal, LockMode.READ, overlap=look):
        found, failures = look.found.snapshots, look.found.failures
    limit = 1 if flags.last and not flags.latest else flags.latest
    groups = group_snapshots(found, group_by)
    if limit > 0:
        groups = [(key, _newest(stored, limit, grouped=any(group_by))) for key, stored in groups]
    if app.settings.json:
        _print_json(app, groups, grouped=any(group_by))
        return end_incomplete(app, failures)
    for key, stored in groups:
        if any(group_by):
            header = describe_group(key)
            if header:
                app.terminal.print(header)
        zone = zone_name(app.settings.environment)
        app.terminal.print(*snapshot_table(stored, zone, compact=flags.compact, quoted=app.terminal.is_terminal))
    return end_incomplete(app, failures)


Group = tuple[GroupKey, list[StoredSnapshot]]


def _newest(stored: list[StoredSnapshot], limit: int, *, grouped: bool) -> list[StoredSnapshot]:
    if grouped:
        return stored[-limit:]
    kept: list[StoredSnapshot] = []
    seen: dict[tuple[str, str], int] = {}
    for one in reversed(stored):
        key = (one.snapshot.hostname, "|".join(sorted(one.snapshot.paths)))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= limit:
            kept.insert(0, one)
    return kept


def describe_group(key: GroupKey) -> str:
    """Return the line above a group's table, "" if there is none."""
    parts = []
    if key.hostname:
        parts.append(f"host [{key.hostname}]")
    if key.tags is not None:
        parts.append(f"tags [{', '.join(key.tags)}]")
    if key.paths is not None:
        parts.append(f"paths [{', '.join(key.paths)}]")
    return f"snapshots for ({', '.join(parts)}):" if parts else ""


def show_time(stored: StoredSnapshot) -> str:
    """Return a snapshot's time in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stored.snapshot.time_ns // 1_000_000_000))


def snapshot_table(
    found: list[StoredSnapshot],
    zone: str,
    *,
    compact: bool = False,
    reasons: Sequence[Sequence[str]] = (),
    quoted: bool = False,
) -> list[str]:
    """Return the lines of a table of snapshots; `reasons`, if any, explain why each of them is kept.

    `quoted` is as in format_table.
    """
    sizes = any(stored.snapshot.summary is not None for stored in found)
    explained = ["Reasons"] * bool(reasons)
    columns = ["Host", "Tags  "] if compact else ["Host      ", "Tags      ", *explained, "Paths"]
    columns = ["ID", "Time", *columns]
    rows = []
    for number, stored in enumerate(found):
        snapshot = stored.snapshot
        row: list[Cell] = [short(stored.id), show_time(stored), snapshot.hostname]
        row.append(list(snapshot.tags) if compact else ",".join(snapshot.tags))
        if reasons and not compact:
            row.append(reasons[number])
        row += [] if compact else [list(snapshot.paths)]
        if sizes:
            row.append(format_bytes(snapshot.summary.total_bytes_processed) if snapshot.summary else "")
        rows.append(row)
    spaced = not compact and any(len(stored.snapshot.paths) > 1 for stored in found)
    footer = [f"Timestamps shown in {zone}", f"{len(found)} snapshots"]
    partial = sum(stored.snapshot.is_partial for stored in found)
    if partial:
        footer.append(f"{partial} partial, ended early")
    return format_table(columns + ["Size"] * sizes, rows, footer, spaced=spaced, quoted=quoted)


def zone_name(environment: Mapping[str, str]) -> str:
    """Return the name of the local time zone as Go finds it."""
    zone = environment.get("TZ")
    file = zone_file(zone)
    if file == LOCAL_ZONE:
        return "local time"
    return zone.removeprefix(":") if zone is not None and file else "UTC"


def snapshot_json(stored: StoredSnapshot) -> dict[str, Any]:
    """Return a snapshot in restic's JSON form, with its ID."""
    document: dict[str, Any] = msgspec.json.decode(
        snapshot_format.encode(snapshot_format.without_unknown(stored.snapshot))
    )
    partial = {"partial": True} if stored.snapshot.is_partial else {}
    return {**document, "id": stored.id.hex(), "short_id": short(stored.id), **partial}


def _print_json(app: App, groups: list[Group], *, grouped: bool) -> None:
    if grouped:
        app.terminal.print_json(
            [
                {"group_key": key._asdict(), "snapshots": [snapshot_json(one) for one in stored]}
                for key, stored in groups
            ]
        )
    else:
        app.terminal.print_json([snapshot_json(one) for _, stored in groups for one in stored])
