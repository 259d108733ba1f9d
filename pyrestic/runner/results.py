"""How a task ended, and what its record says afterward."""

from typing import Any, Literal, TypeAlias

import msgspec

from pyrestic.profiles.profile import TaskName
from pyrestic.runner.child import Outcome
from pyrestic.runner.hooks import WAITS
from pyrestic.runner.records import BUDGET, ProfileRecord, TaskRecord

INCOMPLETE = 3
INTERRUPTED = 130
Kind: TypeAlias = Literal["success", "partial", "failed", "waiting", "interrupted"]
_ORDER = (INTERRUPTED, 12, 10, 11, 1, INCOMPLETE, 0)
"""Exit codes, the worst first."""
_BUDGET_MARK = "of this month's budget"
"""It is in the error of every command that ended because of its budget."""
_FACTS: dict[str, tuple[str, ...]] = {
    "backup": ("files_new", "files_changed", "data_added_packed", "total_files_processed", "total_bytes_processed"),
    "check": ("num_errors", "verified_packs", "never_verified_packs", "never_verified_bytes", "oldest_verified_age"),
    "drill": ("files", "bytes", "compared"),
}


class TaskResult(msgspec.Struct, frozen=True):
    """How a task ended. `reason` says why it waits or ended early, `error` why it failed."""

    kind: Kind
    code: int = 0
    error: str = ""
    reason: str = ""
    summary: Any = None
    item_errors: int = 0

    @property
    def snapshot(self) -> str:
        """The ID of the snapshot, "" if there is none."""
        return str(self.summary.get("snapshot_id", "")) if isinstance(self.summary, dict) else ""


def judge(task: TaskName, outcome: Outcome, *, lost: str, interrupted: bool, may_wait: bool) -> TaskResult:
    """Return the result of a command.

    `lost` is the condition for whose loss it was asked to end early. With `may_wait`, a command can say that it has to
    wait, as when the key ring is locked; if a person asked for it, that is a failure.
    """
    code, summary = outcome.code, _shorten(outcome.summary)
    facts = summary if isinstance(summary, dict) else {}
    # One that ended before anything was complete has stored no snapshot, not even a partial one.
    is_partial = bool(lost or facts.get("partial") or facts.get("ended_early"))
    if code == 0:
        return TaskResult("success", summary=summary)
    if code == WAITS and may_wait:
        if _BUDGET_MARK in outcome.error:
            # The amounts change with each attempt; the reason is the same.
            return TaskResult("waiting", error=outcome.error, reason=BUDGET)
        return TaskResult("waiting", reason=outcome.error)
    if interrupted:
        return TaskResult("interrupted", INTERRUPTED, "interrupted", summary=summary)
    if task == "backup" and code == INCOMPLETE:
        kind: Kind = "partial" if is_partial else "success"
        reason = BUDGET if facts.get("ended_early") == BUDGET else lost
        return TaskResult(kind, code, reason=reason, summary=summary, item_errors=outcome.item_errors)
    if lost and code == INTERRUPTED:
        return TaskResult("partial", 0, reason=lost, summary=summary)
    if code == INTERRUPTED:
        return TaskResult("interrupted", code, outcome.error, summary=summary)
    return TaskResult("failed", code, outcome.error, summary=summary, item_errors=outcome.item_errors)


def _shorten(summary: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the summary of forget as numbers: it lists all snapshots."""
    if not isinstance(summary, list):
        return summary
    kept, removed = (sum(len(group.get(name) or ()) for group in summary) for name in ("keep", "remove"))
    return {"message_type": "summary", "kept": kept, "removed": removed}


def begin(record: TaskRecord, now: float) -> None:
    """Record that a task begins. One that began before and did not end was killed, which counts as a failure."""
    record.failures += record.unended
    record.started, record.ended = now, None
    record.waiting, record.waiting_since = "", None


def wait(record: TaskRecord, reason: str, now: float) -> None:
    """Record why a task waits; the same reason keeps its time."""
    if record.waiting != reason:
        record.waiting, record.waiting_since = reason, now


def conclude(profile: ProfileRecord, task: TaskName, result: TaskResult, now: float) -> None:
    """Record how a task ended."""
    record = profile.tasks.setdefault(task, TaskRecord())
    if result.kind == "waiting":
        record.ended = now if record.unended else record.ended
        wait(record, result.reason, now)
        return
    if record.started is None or record.ended is not None:
        # It failed before its command began.
        record.started = now
    record.ended = now
    record.code, record.error = result.code, result.error
    record.early = result.kind in ("partial", "interrupted")
    record.waiting, record.waiting_since = "", None
    if result.kind == "failed":
        record.failures += 1
    elif result.kind == "success":
        record.failures = 0
        record.good_started, record.good_ended = record.started, now
        record.snapshot = result.snapshot or record.snapshot
        record.facts = _find_facts(task, result)
    if result.reason:
        wait(record, result.reason, now)
    profile.kept = _count_kept(profile.kept, task, result)
    facts = result.summary if isinstance(result.summary, dict) else {}
    profile.stored_bytes = facts.get("repository_bytes", profile.stored_bytes)


def _find_facts(task: TaskName, result: TaskResult) -> dict[str, int | float | None]:
    summary = result.summary if isinstance(result.summary, dict) else {}
    facts = {name: summary[name] for name in _FACTS.get(task, ()) if name in summary}
    if result.item_errors:
        facts["unreadable"] = result.item_errors
    elif task == "backup" and result.code == INCOMPLETE:
        facts["missing_source"] = 1
    return facts


def _count_kept(kept: int | None, task: TaskName, result: TaskResult) -> int | None:
    """Return the number of snapshots after a task: backup and forget count them."""
    name = {"backup": "repository_snapshots", "forget": "kept"}.get(task)
    return int(result.summary[name]) if isinstance(result.summary, dict) and name in result.summary else kept


def find_worst(codes: list[int]) -> int:
    """Return the worst of several exit codes, 0 for none; an unknown one counts as 1."""
    return min((code if code in _ORDER else 1 for code in codes), key=_ORDER.index, default=0)
