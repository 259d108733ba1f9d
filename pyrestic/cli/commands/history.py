"""pyrestic history: the versions of a file or folder in all snapshots."""

import os
import posixpath
from collections.abc import Iterator
from typing import Any

from pyrestic.cli.command import App, define
from pyrestic.cli.commands.snapshots import zone_name
from pyrestic.cli.deleted_output import deleted_json, print_deleted
from pyrestic.cli.filters import SnapshotFlags
from pyrestic.cli.flag_fields import arguments, parsed, switch
from pyrestic.cli.flags import Parsed
from pyrestic.cli.history_index import opened_index
from pyrestic.cli.incomplete import end_incomplete
from pyrestic.cli.session import Session, opened
from pyrestic.cli.table import Cell, format_table
from pyrestic.cli.terminal import Terminal
from pyrestic.cli.version_diff import show_difference
from pyrestic.errors import DamageError, UsageError
from pyrestic.format.gojson import format_time
from pyrestic.ids import short
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import NullReporter
from pyrestic.repository.locking import LockMode
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import Selection, StoredSnapshot, select_snapshots
from pyrestic.repository.timespec import show_moment
from pyrestic.units import format_bytes
from pyrestic.vfs.deleted import DeletedEntries, find_deleted
from pyrestic.vfs.history import History, Span, Version, age, find_history
from pyrestic.vfs.renames import follow

_LOOKED_AT = 8
"""Number of snapshots, each with different paths, in which similar names of a missing name are searched."""


def _parse_pair(text: str) -> tuple[int, int]:
    numbers = text.split(",")
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() and int(number) > 0 for number in numbers):
        raise UsageError("expected two numbers of the table, such as 3,1")
    return int(numbers[0]), int(numbers[1])


class HistoryFlags(SnapshotFlags):
    """The flags of history."""

    deleted: bool = switch("--deleted", help="show what was deleted from folders and those below, and when last seen")
    diff: bool = switch("--diff", help="show the changes made by the newest version")
    follow: bool = switch("--follow", help="also find the same content under other names")
    versions: tuple[int, int] | None = parsed(
        "--versions", type=Parsed("n,n", _parse_pair), help="with --diff: the two versions to compare (2,1)"
    )
    paths: tuple[str, ...] = arguments("PATHS")


@define("history", "Show all versions of files or folders, with their dates and snapshots.", HistoryFlags, prints=True)
def command(app: App, flags: HistoryFlags) -> int | None:
    """Print the versions of each path, newest first."""
    _check(app, flags)
    terminal, wanted, paths = app.terminal, flags.wanted(app.settings.environment), flags.paths
    with opened(app.settings, terminal, LockMode.READ) as session, opened_index(app.settings, session) as index:
        selection = select_snapshots(session.repository, [], wanted, terminal)
        if flags.deleted:
            return _show_deleted(app, flags, session, selection, index)
        found: list[list[History]] = []
        for path in paths:
            history = find_path(session.repository, selection.snapshots, path, index, terminal)
            others = follow(session.repository, selection.snapshots, history, index, terminal) if flags.follow else []
            found.append([history, *others])
        if flags.diff:
            _show_difference(session, terminal, found[0], flags.versions or (2, 1))
        elif app.settings.json:
            terminal.print_json([_json(*histories) for histories in found])
        else:
            for number, histories in enumerate(found):
                if number:
                    terminal.print()
                _print(app, histories)
        missing = [path for path, (history, *_) in zip(paths, found, strict=True) if not history.versions]
        hint = suggest_path(session.repository, selection.snapshots, missing)
    if missing:
        raise UsageError(f"no snapshot contains {', '.join(missing)}", hint=hint)
    unread = max(history.unreadable for histories in found for history in histories)
    if unread:
        raise DamageError(f"{unread} snapshots could not be read there, so versions may be missing")
    return end_incomplete(app, selection.failures)


def _check(app: App, flags: HistoryFlags) -> None:
    if not flags.paths:
        raise UsageError("no path specified")
    if flags.versions is not None and not flags.diff:
        raise UsageError("--versions needs --diff")
    if flags.deleted and (flags.diff or flags.follow):
        raise UsageError(f"--deleted and --{'diff' if flags.diff else 'follow'} are mutually exclusive")
    if flags.diff and len(flags.paths) > 1:
        raise UsageError("--diff takes one path")
    if flags.diff and app.settings.json:
        raise UsageError("--diff and --json are mutually exclusive")


def find_path(
    repository: Repository,
    snapshots: list[StoredSnapshot],
    path: str,
    index: HistoryIndex | None,
    terminal: Terminal,
) -> History:
    """Return the history of a local path, or otherwise of a stored path of exactly this name."""
    histories = (find_history(repository, snapshots, place, index, terminal) for place in _places(path))
    first = next(histories)
    return first if first.versions else next((other for other in histories if other.versions), first)


def _places(path: str) -> list[bytes]:
    """Return what a path may mean in a snapshot: first the local path, then exactly this name."""
    names = (os.path.abspath(path), f"/{path.lstrip('/')}")
    return list(dict.fromkeys(posixpath.normpath(os.fsencode(name)) for name in names))


def _show_deleted(
    app: App, flags: HistoryFlags, session: Session, selection: Selection, index: HistoryIndex | None
) -> int | None:
    """Print what each folder no longer holds."""
    found: list[tuple[bytes, DeletedEntries]] = []
    missing: list[str] = []
    for path in flags.paths:
        candidates = (
            (place, find_deleted(session.repository, selection.snapshots, place, index, app.terminal))
            for place in _places(path)
        )
        known = next((candidate for candidate in candidates if candidate[1].known), None)
        if known is None:
            missing.append(path)
        else:
            found.append(known)
    if app.settings.json:
        app.terminal.print_json([deleted_json(*each) for each in found])
    else:
        for number, each in enumerate(found):
            if number:
                app.terminal.print()
            print_deleted(app.settings, app.terminal, *each)
    if missing:
        hint = suggest_path(session.repository, selection.snapshots, missing)
        raise UsageError(f"no snapshot contains a folder {', '.join(missing)}", hint=hint)
    unread = max(entries.unreadable for _, entries in found)
    if unread:
        raise DamageError(f"{unread} folders or snapshots could not be read, so entries may be missing")
    return end_incomplete(app, selection.failures)


def suggest_path(repository: Repository, snapshots: list[StoredSnapshot], missing: list[str]) -> str:
    """Return a hint with the closest names in the newest snapshots for paths that none contains, "" for none."""
    if not missing or not snapshots:
        return ""
    from pyrestic.operations.nearest_names import suggest_for_patterns

    if not repository.index_files:
        repository.load_index(NullReporter())
    by_paths = {tuple(one.snapshot.paths): one for one in sorted(snapshots, key=lambda one: one.snapshot.time_ns)}
    newest = sorted(by_paths.values(), key=lambda one: -one.snapshot.time_ns)[:_LOOKED_AT]
    hints = (suggest_for_patterns(repository, one.snapshot.tree_id, missing, repository.load_tree) for one in newest)
    return next(filter(None, hints), "")


def _show_difference(session: Session, terminal: Terminal, histories: list[History], numbers: tuple[int, int]) -> None:
    numbered = [(history, version) for history in _in_order(histories) for version in history.versions]
    if max(numbers) > len(numbered):
        if len(numbered) == 1:
            raise UsageError("there is only one version")
        if numbered:
            raise UsageError(f"there are only {len(numbered)} versions")
        return
    before, after = (numbered[number - 1] for number in numbers)
    show_difference(session.repository, terminal, (before[0].location, before[1]), (after[0].location, after[1]))


def _in_order(histories: list[History]) -> list[History]:
    """Return the histories of one path under its names, newest first."""
    there = [history for history in histories if history.versions]
    return sorted(there, key=lambda history: max(age(version.last) for version in history.versions), reverse=True)


def _print(app: App, histories: list[History]) -> None:
    terminal = app.terminal
    number = 0
    for place, history in enumerate(_in_order(histories) or histories[:1]):
        if place:
            terminal.print()
        rows = list(_rows(history, number))
        number += len(history.versions)
        count = len(history.versions)
        footer = f"{count} version{'s' * (count != 1)} in {history.snapshots} snapshot{'s' * (history.snapshots != 1)}"
        footer += f", {history.unreadable} more cannot be read" if history.unreadable else ""
        terminal.print(f"{_shown(history.location)}:")
        columns = ["#", "Modified", "Size", "Change", "First snapshot", "Last snapshot", "Count", ""]
        hosts = {span.line.host for span in history.spans}
        if len(hosts) > 1:
            columns.insert(1, "Host")
        else:
            rows = [[cell for place, cell in enumerate(row) if place != 1] for row in rows]
        footers = (f"Timestamps shown in {zone_name(app.settings.environment)}", footer)
        terminal.print(*format_table(columns, rows, footers, quoted=terminal.is_terminal))


def _rows(history: History, number: int) -> Iterator[list[Cell]]:
    newest = _newest(history)
    for version in history.all:
        absent = version.node is None
        number += not absent
        state = ["absent"] if absent else ["current"] * _is_current(version, newest) + ["came back"] * version.came_back
        # What it did not reach may seem to be absent.
        state += ["partial, ended early"] * version.last.snapshot.is_partial
        yield [
            "" if absent else str(number),
            list(dict.fromkeys(span.line.host for span in version.spans)),
            "" if absent else show_moment(version.state.mtime_ns),
            "" if absent else format_bytes(version.state.size),
            "" if absent or version.change is None else _signed(version.change),
            f"{short(version.first.id)} {show_moment(version.first.snapshot.time_ns)}",
            f"{short(version.last.id)} {show_moment(version.last.snapshot.time_ns)}",
            str(version.count),
            ", ".join(state),
        ]


def _newest(history: History) -> list[Span]:
    """Return the newest span of each line."""
    return list({span.line: span for span in reversed(history.spans)}.values())


def _is_current(version: Version, newest: list[Span]) -> bool:
    return any(span in newest for span in version.spans)


def _signed(change: int) -> str:
    return "" if change == 0 else f"{'-' if change < 0 else '+'}{format_bytes(abs(change))}"


def _shown(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")


def _json(history: History, *others: History) -> dict[str, Any]:
    newest = _newest(history)
    fields = {
        "path": _shown(history.location),
        "snapshots": history.snapshots,
        "unreadable": history.unreadable,
        "versions": [_version_json(version, newest) for version in history.all],
    }
    if others:
        fields["other_names"] = [_json(other) for other in others]
    return fields


def _version_json(version: Version, newest: list[Span]) -> dict[str, Any]:
    node = version.node
    there = {} if node is None else {"type": node.type, "identity": version.identity.hex()}
    return {
        "state": "absent" if node is None else "present",
        **there,
        "current": _is_current(version, newest),
        "came_back": version.came_back,
        "count": version.count,
        "spans": [_span_json(span) for span in version.spans],
    }


def _span_json(span: Span) -> dict[str, Any]:
    there = {"mtime": format_time(span.state.mtime_ns, 0), "size": span.state.size} if not span.is_absence else {}
    return {
        "hostname": span.line.host,
        "first": _snapshot_json(span.first),
        "last": _snapshot_json(span.last),
        "count": span.count,
        **there,
        **({} if span.change is None else {"change": span.change}),
    }


def _snapshot_json(stored: StoredSnapshot) -> dict[str, str | bool]:
    partial = {"partial": True} if stored.snapshot.is_partial else {}
    return {"id": stored.id.hex(), "time": stored.snapshot.time, **partial}
