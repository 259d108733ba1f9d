"""How things stand with each profile, from its file and the state alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrestic.operations.cost import format_dollars
from pyrestic.profiles.profile import Profile, TaskName
from pyrestic.runner.child import Outcome
from pyrestic.runner.due import find_due, find_overdue
from pyrestic.runner.places import find_location
from pyrestic.runner.records import ProfileRecord, Runs, TaskRecord
from pyrestic.runner.set_back import is_ahead
from pyrestic.runner.wording import count, describe_waiting, show_age, show_brief, show_short, show_since, show_time

PARTIAL = "pyrestic:partial"
"""The tag of snapshots of backups that ended early."""
NEEDS_ATTENTION = 4
"""The exit code if something is overdue or failed last time."""
COLUMNS = ("profile", "last good backup", "due", "kept", "size", "place", "checked", "drill")


@dataclass(frozen=True, slots=True)
class OnlineState:
    """What the repository itself says: the number of its snapshots and the newest, or why it cannot be asked."""

    snapshots: int | None = None
    newest: str = ""
    error: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"snapshots": self.snapshots, "newest": self.newest or None, "error": self.error or None}

    def sentence(self) -> str:
        """Return it as a sentence."""
        if self.error:
            return f"the repository cannot be asked: {self.error.rstrip('.')}."
        newest = f", the newest of {self.newest}" if self.newest else ""
        return f"the repository has {count(self.snapshots or 0, 'snapshot')}{newest}."


@dataclass(frozen=True, slots=True)
class ProfileStatus:
    """How things stand with a profile."""

    profile: Profile
    record: ProfileRecord
    now: float
    running: bool = False
    """Whether a process works on its repository."""
    online: OnlineState | None = None
    month_cost: float | None = None
    """What the repository costs this month in dollars, None if it is free or unknown."""

    @property
    def backup(self) -> TaskRecord:
        """The record of the backup."""
        return self.record.find("backup")

    @property
    def overdue(self) -> bool:
        """Whether there was no good backup for too long."""
        limit = find_overdue(self.profile, self.record)
        return limit is not None and limit <= self.now

    @property
    def failed(self) -> list[TaskName]:
        """The tasks that failed last time, or were killed."""
        found = ((name, self.record.find(name)) for name in self.profile.tasks)
        return [name for name, one in found if one.failures or (one.unended and not self.running)]

    @property
    def well(self) -> bool:
        """Whether nobody has to act."""
        return not self.overdue and not self.failed

    @property
    def waiting(self) -> dict[str, str]:
        """Why tasks wait and since when, by task."""
        found = ((name, self.record.find(name)) for name in self.profile.tasks)
        return {name: describe_waiting(one, self.now) for name, one in found if one.waiting}

    def find_due(self, task: TaskName) -> float | None:
        """Return when a task is due, None for never."""
        rule = self.profile.tasks.get(task)
        return None if rule is None else find_due(rule, self.record.find(task), self.now)

    def row(self) -> list[str]:
        """Return the cells of the table."""
        good = self.backup.good_ended
        last = "never" if good is None else show_age(self.now - good)
        return [
            self.profile.name,
            f"{last}  OVERDUE" if self.overdue else last,
            self._show_due(),
            "-" if self.record.kept is None else str(self.record.kept),
            "-" if self.record.stored_bytes is None else show_brief(self.record.stored_bytes),
            str(find_location(self.profile)),
            self._show_last("check"),
            self._show_last("drill"),
        ]

    def _show_due(self) -> str:
        if self.running and self.backup.unended:
            return "running"
        if self.backup.waiting:
            return "waiting"
        due = self.find_due("backup")
        if due is None:
            return "by hand"
        return "now" if due <= self.now else f"in {show_short(due - self.now)}"

    def _show_last(self, task: TaskName) -> str:
        if task not in self.profile.tasks:
            return "-"
        good = self.record.find(task).good_ended
        return "never" if good is None else show_short(self.now - good)

    def sentences(self) -> list[str]:
        """Return what there is to say about it."""
        found = [f"{name} failed: {self._describe_failure(name)}." for name in self.failed]
        reasons: dict[str, list[str]] = {}
        for task, reason in self.waiting.items():
            reasons.setdefault(reason, []).append(task)
        found += [f"{' and '.join(tasks)} waiting: {reason}." for reason, tasks in reasons.items()]
        unread = self.backup.facts.get("unreadable")
        if unread:
            found.append(f"{count(int(unread), 'file')} could not be read by the last backup.")
        if self.backup.facts.get("missing_source"):
            found.append("a source did not exist at the last backup.")
        if is_ahead(self.record, self.now):
            found.append("the last good backup is dated in the future: the clock was set back.")
        if self.overdue and not found:
            found.append("there was no good backup for too long.")
        found = [*self._describe_proof(), *self._describe_cost(), *(found or ["all well."])]
        if self.online is not None:
            found.append(self.online.sentence())
        return [f"{self.profile.name}: {sentence}" for sentence in found]

    def _describe_proof(self) -> list[str]:
        """Return which share of the packs checks have verified, and how old the oldest proof is."""
        record = self.record.find("check")
        verified, never = (record.facts.get(f"{kind}_packs") for kind in ("verified", "never_verified"))
        if not verified or never is None or record.good_ended is None:
            return []
        # Not rounded up: 100 % means all.
        share = int(100 * verified / (verified + never))
        age = (record.facts.get("oldest_verified_age") or 0) + self.now - record.good_ended
        return [f"{share} % of the packs are verified, the first of them {show_age(age)}."]

    def _describe_cost(self) -> list[str]:
        if self.month_cost is None:
            return []
        budget = f", of a budget of {self.profile.budget}" if self.profile.budget else ""
        return [f"it costs {format_dollars(self.month_cost)} this month{budget}."]

    def _describe_failure(self, name: TaskName) -> str:
        record = self.record.find(name)
        since = "" if record.started is None else f" ({show_since(record.started, self.now)})"
        return f"{'it was killed' if record.unended else record.error.rstrip('.')}{since}"

    def fields(self) -> dict[str, Any]:
        """Return the JSON object."""
        fields = {
            "name": self.profile.name,
            "repository": str(find_location(self.profile)),
            "well": self.well,
            "overdue": self.overdue,
            "running": self.running,
            "last_good_backup": show_time(self.backup.good_ended),
            "last_good_snapshot": self.backup.snapshot or None,
            "kept": self.record.kept,
            "stored_bytes": self.record.stored_bytes,
            "month_cost": None if self.month_cost is None else round(self.month_cost, 9),
            "budget": float(self.profile.budget.split()[0]) if self.profile.budget else None,
            "tasks": [self._task_fields(name) for name in self.profile.tasks],
        }
        if self.online is not None:
            fields["online"] = self.online.fields()
        return fields

    def _task_fields(self, name: TaskName) -> dict[str, Any]:
        record = self.record.find(name)
        due = self.find_due(name)
        return {
            "name": name,
            # A task that never ran was due since its profile was first seen.
            "due": None if due is None else show_time(max(due, self.record.first_seen)),
            "started": show_time(record.started),
            "ended": show_time(record.ended),
            "exit_code": None if record.ended is None else record.code,
            "error": record.error or None,
            "failures": record.failures,
            "ended_early": record.early,
            "good_started": show_time(record.good_started),
            "good_ended": show_time(record.good_ended),
            "waiting": record.waiting or None,
            "waiting_since": show_time(record.waiting_since),
            "numbers": record.facts,
        }


def find_statuses(
    profiles: Iterable[Profile],
    runs: Runs,
    now: float,
    running: Mapping[str, bool],
    online: Mapping[str, OnlineState] | None = None,
    costs: Mapping[str, float | None] | None = None,
) -> Sequence[ProfileStatus]:
    """Return how things stand with each of the profiles.

    `online` has what the repositories say, by profile, and `costs` what they cost this month.
    """
    answers, dollars = online or {}, costs or {}
    return [
        ProfileStatus(
            profile,
            runs.find(profile, now),
            now,
            running.get(profile.name, False),
            answers.get(profile.name),
            dollars.get(profile.name),
        )
        for profile in profiles
    ]


def judge_online(outcome: Outcome) -> OnlineState:
    """Return what a repository says, from the outcome of the command snapshots."""
    if outcome.code or not isinstance(outcome.summary, list):
        return OnlineState(error=outcome.error or "it gives no answer")
    whole = [one for one in outcome.summary if PARTIAL not in (one.get("tags") or ())]
    return OnlineState(len(outcome.summary), max((one["time"] for one in whole), default=""))
