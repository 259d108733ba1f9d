"""When a task is due: decided from its rhythm, its record and the time alone."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from pyrestic.profiles.profile import TASK_NAMES, DayTime, Profile, Task, TaskName
from pyrestic.runner.records import BUDGET, ProfileRecord, TaskRecord

_RETRY_SECONDS: Final = (300.0, 900.0, 3600.0)
"""Time until the next attempt after one, two, and more failures in a row."""
_DAYS_PER_WEEK: Final = 7
_DAY_SECONDS: Final = 86_400.0


def find_due(task: Task, record: TaskRecord, now: float) -> float | None:
    """Return the time from which a task is due, None if it never runs by itself. A task that never ran is due.

    A start in the future, left from a clock that was set back, counts as none.
    """
    if task.every_seconds is None and not task.at:
        return None
    good = record.good_started
    if good is None or good > now:
        since = 0.0
    elif task.every_seconds is not None:
        since = good + task.every_seconds
    else:
        since = find_next(task.at, good)
    return max(since, _find_retry(task, record, now))


def _find_retry(task: Task, record: TaskRecord, now: float) -> float:
    """Return the time before which a task that failed or ended early does not start again, 0 for none."""
    last = record.started if record.unended else record.ended
    if last is not None and last <= now and record.waiting == BUDGET:
        # What is free each day begins with the day of the service, in UTC. Sooner attempts may cost a little each.
        return (last // _DAY_SECONDS + 1) * _DAY_SECONDS
    failures = record.failures + record.unended
    if last is None or last > now or not (failures or record.early):
        return 0.0
    # A run that ended early continues after the same time as one that failed once.
    wait = _RETRY_SECONDS[min(max(failures, 1), len(_RETRY_SECONDS)) - 1]
    return last + (wait if task.every_seconds is None else min(wait, task.every_seconds))


def find_next(moments: Iterable[DayTime], after: float) -> float:
    """Return the first of these local times after a time."""
    midnight = datetime.fromtimestamp(after).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006 - local
    # A moment that a change of the clocks skips moves by an hour, maybe to the next day.
    days = [midnight + timedelta(days=number) for number in range(-1, _DAYS_PER_WEEK + 2)]
    times = [
        day.replace(hour=moment.hour, minute=moment.minute).timestamp()
        for moment in moments
        for day in days
        if moment.weekday in (None, day.weekday())
    ]
    return min(time for time in times if time > after)


def find_overdue(profile: Profile, record: ProfileRecord) -> float | None:
    """Return the time from which the backups of a profile are overdue, None for never."""
    backup = profile.tasks.get("backup")
    if backup is None or profile.overdue_seconds is None:
        return None
    good = record.find("backup").good_started
    return (record.first_seen if good is None else good) + profile.overdue_seconds


class DueTask(NamedTuple):
    """A task to run next."""

    profile: Profile
    task: Task


class Round:
    """The tasks of one invocation in their order: backups of all profiles first, then forget, prune, check and drill.

    Before each other task, backups that became due in the meantime come first. Each other task runs at most once, so a
    round ends, and no task waits forever behind backups that are always due.
    """

    def __init__(self, profiles: Iterable[Profile], names: Iterable[TaskName] = TASK_NAMES) -> None:
        self._profiles = list(profiles)
        wanted = set(names)
        self._names = [name for name in TASK_NAMES if name in wanted]
        self._done: set[tuple[str, TaskName]] = set()

    def choose(self, is_ready: Callable[[DueTask], bool]) -> DueTask | None:
        """Return the next task that is ready, None at the end."""
        for name in self._names:
            for profile in self._profiles:
                task = profile.tasks.get(name)
                key = (profile.name, name)
                if task is None or key in self._done:
                    continue
                choice = DueTask(profile, task)
                if is_ready(choice):
                    if name != "backup":
                        self._done = {done for done in self._done if done[1] != "backup"}
                    self._done.add(key)
                    return choice
        return None
