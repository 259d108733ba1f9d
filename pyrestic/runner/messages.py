"""Decides which messages the end of a run, or a check without a run, is worth.

A person is told only of what needs a person: a task that failed twice in a row, a profile without a good backup for too
long, and the end of either. While it lasts, it is repeated once a day.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

from pyrestic.runner.records import BUDGET

MessageKind: TypeAlias = Literal["started", "success", "failed", "overdue", "recovered", "waiting"]
AGAIN_SECONDS = 24 * 3600.0
"""How long after a message the same one may follow."""
FAILURES = 2
"""Failures in a row before anybody is told: the first is often only a lost connection."""
OVERDUE = "overdue"
"""The key of that message among those that were told."""


class TaskState(Protocol):
    """What is known of a task; times are seconds since 1970."""

    @property
    def failures(self) -> int:
        """Failures in a row."""

    @property
    def error(self) -> str:
        """The error of the last run."""

    @property
    def good_ended(self) -> float | None:
        """When the last good run ended."""

    @property
    def waiting(self) -> str:
        """Why it waits, "" if it does not."""


class ProfileState(Protocol):
    """What is known of a profile."""

    @property
    def tasks(self) -> Mapping[str, TaskState]:
        """Its tasks by name."""


@dataclass(frozen=True, slots=True)
class Message:
    """What happened to a task of a profile, for a person and for programs."""

    kind: MessageKind
    profile: str
    task: str
    title: str
    text: str
    for_person: bool = True
    """Whether a person is told; programs behind ping URLs get every message."""


class News(NamedTuple):
    """The messages to send, and what was told when after that: it has to be remembered once they are sent."""

    messages: tuple[Message, ...]
    told: dict[str, float]


def begin(profile: str, task: str) -> Message:
    """Return the message that a task begins, which no person needs."""
    return Message("started", profile, task, f"{profile}: {task} started", "", for_person=False)


def decide(
    profile: str,
    before: ProfileState,
    after: ProfileState,
    told: Mapping[str, float],
    *,
    overdue: bool,
    now: float,
    on: Collection[str],
) -> News:
    """Return what to tell about the change of a profile's state, and what then has been told.

    `told` has the times of earlier messages that are still valid, `on` the kinds that a person wants.
    """
    return _Teller(profile, told, now, on).decide(before, after, overdue=overdue)


class _Teller:
    """Collects the messages about a profile."""

    def __init__(self, profile: str, told: Mapping[str, float], now: float, on: Collection[str]) -> None:
        self._profile = profile
        self._told = dict(told)
        self._now = now
        self._on = on
        self._messages: list[Message] = []

    def decide(self, before: ProfileState, after: ProfileState, *, overdue: bool) -> News:
        for name, task in after.tasks.items():
            earlier = before.tasks.get(name)
            if task.failures:
                self._fail(name, task, ran=earlier is None or task.failures > earlier.failures, overdue=overdue)
            elif task.good_ended is not None and (earlier is None or earlier.good_ended != task.good_ended):
                self._succeed(name, overdue=overdue)
            if task.waiting == BUDGET:
                self._tell_budget(name)
            elif task.waiting and (earlier is None or earlier.waiting != task.waiting) and "waiting" in self._on:
                self._add("waiting", name, f"{name} waits", f"{task.waiting}.")
        if overdue:
            self._miss(after)
        return News(tuple(self._messages), self._told)

    def _tell_budget(self, name: str) -> None:
        """Tell once that somebody has to decide about the money."""
        key = f"budget {name}"
        if key not in self._told:
            self._told[key] = self._now
            text = f"{_sentence(BUDGET)} What is free is still done. It is tried again each day."
            self._messages.append(
                Message("waiting", self._profile, name, f"{self._profile}: {name} waits for its budget", text)
            )

    def _fail(self, name: str, task: TaskState, *, ran: bool, overdue: bool) -> None:
        if task.failures < FAILURES:
            return
        # A reminder that the backup is overdue says why.
        replaced = overdue and OVERDUE in self._on and name == "backup" and _failed(name) in self._told
        repeats = self._is_due(_failed(name)) and not replaced
        if ran or repeats:
            text = f"{_sentence(task.error)} It failed {task.failures} times in a row. {_last_good(task)}"
            self._add("failed", name, f"{name} failed", text, for_person=repeats, key=_failed(name))

    def _succeed(self, name: str, *, overdue: bool) -> None:
        was_told = self._told.pop(_failed(name), None) is not None
        self._told.pop(f"budget {name}", None)
        if name == "backup" and not overdue:
            was_told = self._told.pop(OVERDUE, None) is not None or was_told
        recovered = was_told and "recovered" in self._on
        kind: MessageKind = "recovered" if recovered else "success"
        title = f"{name} works again" if recovered else f"{name} finished"
        self._add(kind, name, title, f"It finished at {_show(self._now)}.")

    def _miss(self, after: ProfileState) -> None:
        if not self._is_due(OVERDUE):
            return
        task = after.tasks.get("backup")
        why = "It has not run."
        if task is not None and task.waiting:
            why = f"It waits: {_sentence(task.waiting)}"
        elif task is not None and task.failures:
            why = _sentence(task.error)
        since = "" if task is None or task.good_ended is None else f" since {_show(task.good_ended)}"
        self._add("overdue", "backup", f"no good backup{since}", why, key=OVERDUE)

    def _is_due(self, key: str) -> bool:
        last = self._told.get(key)
        # A time in the future is that of a clock that was set back.
        return last is None or not 0 <= self._now - last < AGAIN_SECONDS

    def _add(
        self, kind: MessageKind, task: str, title: str, text: str, *, for_person: bool = True, key: str = ""
    ) -> None:
        wanted = for_person and kind in self._on
        if wanted and key:
            self._told[key] = self._now
        self._messages.append(Message(kind, self._profile, task, f"{self._profile}: {title}", text, wanted))


def _failed(task: str) -> str:
    return f"failed {task}"


def _last_good(task: TaskState) -> str:
    return "It never succeeded." if task.good_ended is None else f"It last succeeded at {_show(task.good_ended)}."


def _sentence(text: str) -> str:
    """Return an error as a sentence."""
    text = text.strip() or "unknown error"
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _show(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M")
