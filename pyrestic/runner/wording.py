"""The sentences about tasks, for a person."""

import time
from typing import Any

from pyrestic.profiles.profile import TaskName
from pyrestic.runner.records import TaskRecord
from pyrestic.runner.results import TaskResult
from pyrestic.units import format_bytes

_SHORT = 8
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))
_WORDS = ((86_400, "days"), (3600, "hours"), (60, "minutes"))


def describe_result(task: TaskName, result: TaskResult, seconds: float) -> str:
    """Return how a task ended, in one line."""
    if result.kind == "failed":
        return f"failed: {result.error}"
    if result.kind == "interrupted":
        return "interrupted"
    if result.kind == "waiting":
        return f"waiting: {result.reason}{f' ({result.error})' if result.error else ''}"
    parts = [*_describe_summary(task, result.summary), show_short(seconds)]
    if result.snapshot:
        parts.append(f"snapshot {result.snapshot[:_SHORT]}")
    if result.item_errors:
        parts.append(f"{count(result.item_errors, 'file')} could not be read")
    if result.kind == "partial":
        parts.append(f"partial, ended early{': ' if result.reason else ''}{result.reason}")
    return ", ".join(parts)


def _describe_summary(task: TaskName, summary: Any) -> list[str]:  # noqa: ANN401 - JSON
    if not isinstance(summary, dict):
        return ["done"]
    if task == "forget":
        return [f"{count(summary.get('kept', 0), 'snapshot')} kept, {summary.get('removed', 0)} removed"]
    if task == "backup":
        files = summary.get("files_new", 0) + summary.get("files_changed", 0)
        sent = show_brief(summary.get("data_added_packed", 0))
        return [count(files, "file"), f"{sent} sent", *([] if summary.get("snapshot_id") else ["nothing changed"])]
    if task == "prune":
        sizes = summary.get("size", {})
        return [f"{show_brief(sizes.get('remove', 0) + sizes.get('repackrm', 0) + sizes.get('unref', 0))} removed"]
    if task == "drill":
        return [f"{count(summary.get('files', 0), 'file')} restored and verified"]
    return ["no errors"]


def show_brief(count: int) -> str:
    """Return a length with one decimal, such as 3.1 MiB."""
    number, _, unit = format_bytes(count).partition(" ")
    return f"{float(number):.1f} {unit}" if "." in number else f"{number} {unit}"


def show_short(seconds: float) -> str:
    """Return a duration such as 41 s, 26 min or 12 d."""
    for unit, word in _UNITS:
        if seconds >= 2 * unit:
            return f"{int(seconds / unit)} {word}"
    return f"{max(0, round(seconds))} s"


def show_age(seconds: float) -> str:
    """Return an age such as 34 minutes ago."""
    for unit, word in _WORDS:
        if seconds >= 2 * unit:
            return f"{int(seconds / unit)} {word} ago"
    return "1 minute ago" if seconds >= 60 else "just now"


def show_since(moment: float, now: float) -> str:
    """Return a time in the past or future: 10:10 of today, else with the weekday, else the date."""
    local = time.localtime(moment)
    if local[:3] == time.localtime(now)[:3]:
        return time.strftime("%H:%M", local)
    return time.strftime("%A %H:%M" if abs(now - moment) < 6 * 86_400 else "%Y-%m-%d", local)


def show_time(moment: float | None) -> str | None:
    """Return a time in the form of RFC 3339, None for none."""
    if moment is None:
        return None
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))
    return f"{text[:-2]}:{text[-2:]}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as 1 file or 2 files."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_waiting(record: TaskRecord, now: float) -> str:
    """Return why a task waits and since when."""
    since = "" if record.waiting_since is None else f" since {show_since(record.waiting_since, now)}"
    return f"{record.waiting}{since}"
