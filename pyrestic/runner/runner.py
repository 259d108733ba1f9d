"""One invocation of the runner: which tasks run now, one after another, and which have to wait."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import msgspec

from pyrestic.errors import LocalFileError, UntrustedError
from pyrestic.localfs.identity import read_boot_id
from pyrestic.localfs.online import read_sleep_seconds
from pyrestic.profiles.profile import TASK_NAMES, Profile, TaskName
from pyrestic.runner.conditions import Obstacle
from pyrestic.runner.due import DueTask, Round, find_due, find_overdue
from pyrestic.runner.messages import AGAIN_SECONDS, OVERDUE
from pyrestic.runner.place_lock import PlaceLock
from pyrestic.runner.places import find_location
from pyrestic.runner.records import Hold, ProfileRecord, Runs, TaskRecord, WatchedFile
from pyrestic.runner.results import INCOMPLETE, INTERRUPTED, TaskResult, find_worst, wait
from pyrestic.runner.set_back import forget_future, is_ahead
from pyrestic.runner.task_run import STATE_FAILED, Surroundings, TaskRun
from pyrestic.runner.wording import show_short, show_since, show_time

_SLEPT_SECONDS = 5.0
_STEP_SECONDS = 1.0
SOON_SECONDS = 60.0
"""A tick waits so long for a task that is nearly due."""


class Request(msgspec.Struct, frozen=True):
    """What to run. With `due`, only what is due, and conditions are obeyed: nobody asked for it."""

    profiles: Sequence[Profile]
    tasks: tuple[TaskName, ...] = ()
    """The tasks to run; by default the backup, and others that are due."""
    due: bool = False

    def asks_for(self, choice: DueTask) -> bool:
        """Whether a person asked for this task."""
        return not self.due and choice.task.name in (self.tasks or ("backup",))


class Runner:
    """Runs the tasks of a request."""

    def __init__(self, request: Request, around: Surroundings) -> None:
        self._request = request
        self._around = around
        self._asked: set[tuple[str, TaskName]] = set()
        """The tasks that a person asked for and that were tried."""
        self._busy: set[str] = set()
        """Profiles whose repository another runner works on."""
        self._waits: dict[tuple[str, TaskName], Hold | None] = {}
        """The tasks that have to wait, and for which fact."""
        self._told: set[tuple[str, TaskName]] = set()
        """Tasks that were said to wait."""
        self._failed: dict[str, str] = {}

    def run(self) -> int:
        """Run the tasks and return the worst exit code."""
        around, request = self._around, self._request
        self._wait_after_sleep()
        self._forget_future()
        codes = self._run_round()
        soon = self._find_soon() if request.due else None
        if soon is not None:
            self._sleep(soon)
            codes += self._run_round()
        if around.ending.is_asked():
            codes.append(INTERRUPTED)
        elif self._tell_overdue():
            codes.append(INCOMPLETE)
        return find_worst(codes)

    def _forget_future(self) -> None:
        """Forget times in the future, and say so."""
        around = self._around
        runs, now = around.store.read(), around.now()
        for profile in self._request.profiles:
            if is_ahead(runs.find(profile, now), now):
                line = "the last good backup is dated in the future, so the clock was set back and it counts as unknown"
                around.output.tell(f"{profile.name}: {line}")
                try:
                    around.store.change_profile(profile, lambda record: forget_future(record, now))
                except LocalFileError as error:
                    self._complain(profile, [f"the state cannot be written: {error}"])

    def _sleep(self, seconds: float) -> None:
        """Sleep, at most until the runner has to end."""
        around = self._around
        while seconds > 0 and not around.ending.is_asked():
            around.sleep(min(seconds, _STEP_SECONDS))
            seconds -= _STEP_SECONDS

    def _run_round(self) -> list[int]:
        codes = []
        round_ = Round(self._request.profiles, self._request.tasks or TASK_NAMES)
        while not self._around.ending.is_asked() and (choice := round_.choose(self._is_ready)) is not None:
            code = None if self._around.ending.is_asked() else self._run_alone(choice)
            if code is not None:
                codes.append(code)
        return codes

    def _find_soon(self) -> float | None:
        """Return the seconds until a task is due before the next tick could come; None if there is none.

        Ticks come a little early or late. Without this, a task that is due in a second would wait for ten minutes.
        """
        runs, now = self._around.store.read(), self._around.now()
        dues = [due for profile in self._request.profiles for due in self._find_dues(profile, runs)]
        return min((due - now for due in dues if now < due <= now + SOON_SECONDS), default=None)

    def _tell_overdue(self) -> list[str]:
        """Tell what is overdue, and return what went wrong with that."""
        problems: list[str] = []
        if self._around.notices is not None:
            for profile in self._request.profiles:
                found = self._around.notices.tell_overdue(profile)
                self._complain(profile, found)
                problems += found
        return problems

    def _complain(self, profile: Profile, problems: Iterable[str]) -> None:
        for problem in problems:
            self._around.output.complain(f"{profile.name}: {problem}")

    def find_holds(self) -> list[Hold]:
        """Return the facts for which tasks wait."""
        return sorted({hold for hold in self._waits.values() if hold is not None})

    def find_quiet_until(self, runs: Runs) -> float:
        """Return the time until which nothing has to be done as long as these facts hold; 0 for now."""
        if self._busy or None in self._waits.values():
            return 0.0
        times = [time for profile in self._request.profiles for time in self._find_times(profile, runs)]
        return min(times, default=0.0)

    def _find_dues(self, profile: Profile, runs: Runs) -> Iterable[float]:
        """Yield the times at which the tasks of a profile are due that do not wait."""
        record = runs.find(profile, self._around.now())
        for name, task in profile.tasks.items():
            if (profile.name, name) not in self._waits:
                due = find_due(task, record.find(name), self._around.now())
                if due is not None:
                    yield due

    def _find_times(self, profile: Profile, runs: Runs) -> Iterable[float]:
        """Yield the times at which something has to be done for a profile."""
        now = self._around.now()
        record = runs.find(profile, now)
        for due in self._find_dues(profile, runs):
            yield due - SOON_SECONDS
        for name, task in profile.tasks.items():
            insists = self._around.conditions.find_insistence(task, record)
            if (profile.name, name) in self._waits and insists is not None and insists > now:
                yield insists
        overdue = find_overdue(profile, record)
        if overdue is not None:
            yield overdue if overdue > now else record.told.get(OVERDUE, 0.0) + AGAIN_SECONDS

    def _wait_after_sleep(self) -> None:
        """After the machine has slept, wait a while for its network connection."""
        runs = self._around.store.read()
        if runs.boot_id != read_boot_id() or read_sleep_seconds() - runs.slept_seconds < _SLEPT_SECONDS:
            return
        now = self._around.now()
        needed = []
        for profile in self._request.profiles:
            record = runs.find(profile, now)
            if any(self._is_due(DueTask(profile, task), record) for task in profile.tasks.values()):
                needed.append(profile)
        self._around.conditions.wait_for_line(needed)

    def _is_due(self, choice: DueTask, record: ProfileRecord) -> bool:
        now = self._around.now()
        due = find_due(choice.task, record.find(choice.task.name), now)
        return due is not None and due <= now

    def _is_asked(self, choice: DueTask) -> bool:
        return self._request.asks_for(choice) and (choice.profile.name, choice.task.name) not in self._asked

    def _is_ready(self, choice: DueTask) -> bool:
        """Tell whether a task should run now; if it only has to wait, say so."""
        profile, task = choice
        if profile.name in self._busy:
            return False
        record = self._around.store.read().find(profile, self._around.now())
        asked = self._is_asked(choice)
        if not asked and (not self._is_due(choice, record) or (self._request.tasks and not self._request.due)):
            return False
        obstacle = self._around.conditions.find_obstacle(choice, record)
        if obstacle is not None and obstacle.is_failure:
            self._failed[profile.name] = str(obstacle)
        elif obstacle is not None and (self._request.due or not obstacle.is_optional):
            self._wait(choice, record, obstacle)
            return False
        elif obstacle is not None:
            self._around.output.tell(f"{profile.name}: {task.name}: {obstacle}, but it was asked for")
        return True

    def _wait(self, choice: DueTask, record: ProfileRecord, obstacle: Obstacle) -> None:
        profile, task = choice
        key, before = (profile.name, task.name), record.find(task.name)
        self._waits[key] = obstacle.hold
        if before.waiting == obstacle.reason and (self._request.due or key in self._told):
            return
        self._told.add(key)
        if self._request.asks_for(choice):
            self._asked.add(key)
        now = self._around.now()
        changed = TaskRecord(waiting=before.waiting, waiting_since=before.waiting_since)
        wait(changed, obstacle.reason, now)
        # One line is enough if the backup waits for the same reason.
        if task.name == "backup" or record.find("backup").waiting != obstacle.reason:
            name = profile.name if task.name == "backup" else f"{profile.name}: {task.name}"
            detail = f" ({obstacle.detail})" if obstacle.detail else ""
            since = "" if changed.waiting_since is None else f" since {show_since(changed.waiting_since, now)}"
            line = f"{name}: waiting: {obstacle.reason}{detail}{since}"
            fields: dict[str, object] = {"time": show_time(now), "profile": profile.name, "task": task.name}
            fields |= {"result": "waiting", "reason": str(obstacle)}
            self._around.output.report(line, fields)
        try:
            after = self._around.store.change_task(profile, task.name, lambda one: wait(one, obstacle.reason, now))
        except LocalFileError as error:
            self._around.output.complain(f"{profile.name}: the state cannot be written: {error}")
            return
        if self._around.notices is not None:
            self._complain(profile, self._around.notices.tell_change(profile, record, after))

    def _run_alone(self, choice: DueTask) -> int | None:
        """Run a task unless another runner works on its repository; None if it did not run."""
        profile, task = choice
        around = self._around
        lock = PlaceLock(around.store.folder, find_location(profile))
        told: set[str] = set()

        def go_on_waiting(holder: str) -> bool:
            if self._request.due or around.ending.is_asked():
                return False
            if holder not in told:
                told.add(holder)
                around.output.tell(f"{profile.name}: {task.name}: waiting for {holder or 'another run'}")
            return True

        with ExitStack() as stack:
            locked = True
            try:
                acquired = stack.enter_context(lock.held(f"{task.name} of {profile.name}", go_on_waiting))
            except UntrustedError:
                raise
            except LocalFileError as error:
                # A full disk prevents no backup. Two at once are harmless: the repository has locks, too.
                around.output.complain(f"{profile.name}: {task.name}: the state cannot be written: {error}")
                locked, acquired = False, True
            if not acquired:
                self._busy.add(profile.name)
                around.output.note(f"{profile.name}: {task.name}: another run works on this repository")
                return None
            asked = self._is_asked(choice)
            self._asked.add((profile.name, task.name))
            self._waits.pop((profile.name, task.name), None)
            record = around.store.read().find(profile, around.now())
            if not asked and not self._is_due(choice, record):
                # The other runner has done it.
                return None
            failure = self._failed.pop(profile.name, "")
            result = TaskResult("failed", 1, failure) if failure else None
            code = TaskRun(choice, around, obeys=self._request.due).run(result)
            return code if locked else find_worst([code, STATE_FAILED])


def describe_plan(request: Request, around: Surroundings) -> Iterable[str]:
    """Yield what a run would do and why, a line for each task; without asking the person's own commands."""
    runs, now = around.store.read(), around.now()
    for profile in request.profiles:
        record = runs.find(profile, now)
        for name in request.tasks or TASK_NAMES:
            task = profile.tasks.get(name)
            if task is None:
                continue
            choice = DueTask(profile, task)
            due = find_due(task, record.find(name), now)
            if not request.asks_for(choice) and (due is None or due > now):
                when = "never by itself" if due is None else f"due in {show_short(due - now)}"
                yield f"{profile.name}: {name}: {when}"
                continue
            obstacle = around.conditions.find_obstacle(choice, record, with_command=False)
            why = "asked for" if request.asks_for(choice) else _describe_due(record.find(name), due or 0.0, now)
            if obstacle is None or (obstacle.is_optional and not request.due):
                although = f", although {obstacle}" if obstacle else ""
                yield f"{profile.name}: {name}: would run: {why}{although}"
            else:
                yield f"{profile.name}: {name}: would wait: {obstacle}; {why}"


def _describe_due(record: TaskRecord, due: float, now: float) -> str:
    if record.good_started is None:
        return "it never ran" if not record.failures else "it failed before"
    return f"due since {show_since(due, now)}" if due else "due"


def remember_quiet(runner: Runner, watched: list[WatchedFile], around: Surroundings) -> None:
    """Write down until when nothing has to be done, so that the next ticks end at once; raise LocalFileError."""
    runs = around.store.read()
    until, holds = runner.find_quiet_until(runs), runner.find_holds()
    if (until, holds, watched) == (runs.quiet_until, runs.holds, runs.watched):
        return

    def change(changed: Runs) -> None:
        changed.quiet_until, changed.holds, changed.watched = until, holds, watched

    around.store.change(change)


def describe_pause(runs: Runs, now: float) -> str:
    """Return until when nothing runs by itself, "" if it does."""
    if runs.paused_until is None or runs.paused_until <= now:
        return ""
    return f"paused until {show_since(runs.paused_until, now)}"
