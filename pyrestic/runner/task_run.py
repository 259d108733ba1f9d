"""Runs one task of a profile: its hooks, its command, its record."""

import json
import signal
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from pyrestic.errors import LocalFileError
from pyrestic.runner import child
from pyrestic.runner.conditions import Conditions
from pyrestic.runner.due import DueTask
from pyrestic.runner.ending import EndRequest
from pyrestic.runner.hooks import HookFacts, HookFailure, HookRunner
from pyrestic.runner.notices import Notices
from pyrestic.runner.records import ProfileRecord, TaskRecord
from pyrestic.runner.results import INCOMPLETE, TaskResult, begin, conclude, judge
from pyrestic.runner.state import RunStore
from pyrestic.runner.supervision import LOOK_SECONDS, Supervisor, Watch
from pyrestic.runner.this_machine import ThisMachine
from pyrestic.runner.wording import describe_result, show_time

_RETRY_LOCK = "10m"
_SENDS = ("backup", "prune")
"""The tasks for which sleep is held off."""
STATE_FAILED = 1
"""The exit code if the state could not be written."""


class RunOutput(Protocol):
    """Where the runner writes. All methods flush."""

    def report(self, line: str, fields: dict[str, object]) -> None:
        """Print what happened, as a line or as the fields of a JSON object."""

    def tell(self, line: str) -> None:
        """Print what a person who waits wants to know."""

    def begin(self, line: str) -> None:
        """Print that a task begins, if a person is watching."""

    def complain(self, line: str) -> None:
        """Print an error."""

    def note(self, line: str) -> None:
        """Print what only matters with -v."""

    def open_for_hooks(self) -> int:
        """Return a descriptor for the output of hooks."""


class Surroundings(msgspec.Struct, frozen=True):
    """What tasks need beside their profile."""

    store: RunStore
    machine: ThisMachine
    conditions: Conditions
    hooks: HookRunner
    run_command: child.RunCommand
    """Runs the program in a forked process."""
    output: RunOutput
    ending: EndRequest
    config: tuple[str, ...] = ()
    """The flag that names another file of profiles."""
    notices: Notices | None = None
    now: Callable[[], float] = time.time
    look_seconds: float = LOOK_SECONDS

    def sleep(self, seconds: float) -> None:
        """Sleep until the time has passed or the runner has to end."""
        self.ending.wait(seconds)


def build_arguments(choice: DueTask, config: tuple[str, ...]) -> list[str]:
    """Return the command line that does a task."""
    profile, task = choice
    arguments = ["-P", profile.name, *config, task.name, "--json"]
    if not profile.flags.get("verbose") and not profile.flags.get("quiet"):
        arguments.append("--quiet")
    if task.name == "backup":
        # Nobody sees the progress that JSON would need the totals for.
        arguments.append("--no-scan")
    if "retry-lock" not in profile.flags:
        arguments += ["--retry-lock", _RETRY_LOCK]
    return arguments


class TaskRun:
    """One run of a task. With `obeys`, it ends early when its conditions no longer hold."""

    def __init__(self, choice: DueTask, surroundings: Surroundings, *, obeys: bool) -> None:
        self._choice = choice
        self._profile, self._task = choice
        self._around = surroundings
        self._obeys = obeys
        self._state_failed = False
        self._prefix = f"{self._profile.name}: {self._task.name}: "

    def run(self, result: TaskResult | None = None) -> int:
        """Run the task and return its exit code; with a result, it has failed before it began."""
        around, started, before = self._around, self._around.now(), self._read()
        result = self._attempt() if result is None else result
        record = self._change(lambda profile: conclude(profile, self._task.name, result, around.now()))
        seconds = around.now() - started
        problems = self._run_last_hooks(result)
        if around.notices is not None:
            problems += around.notices.tell_change(self._profile, before, record, result.summary)
        self._report(result, started, seconds, problems)
        if self._state_failed and result.code in (0, INCOMPLETE):
            return STATE_FAILED
        return result.code or (INCOMPLETE if problems else 0)

    def _report(self, result: TaskResult, started: float, seconds: float, problems: list[str]) -> None:
        output = self._around.output
        entry = self._make_entry(result, started, seconds, problems)
        output.report(self._prefix + describe_result(self._task.name, result, seconds), entry)
        for problem in problems:
            output.complain(self._prefix + problem)
        try:
            self._around.store.log(entry)
        except LocalFileError as error:
            self._tell_state_failed(f"the log cannot be written: {error}")

    def _attempt(self) -> TaskResult:
        facts = HookFacts(self._profile.name, self._task.name)
        hooks = self._profile.hooks
        failure = self._around.hooks.run(hooks.before, facts, hooks.timeout_seconds)
        if failure is not None:
            return self._judge_hook(failure)
        self._change(lambda profile: begin(profile.tasks.setdefault(self._task.name, TaskRecord()), self._around.now()))
        try:
            return self._run_command()
        except OSError as error:
            return TaskResult("failed", 1, f"no process could be started: {error.strerror}")

    def _judge_hook(self, failure: HookFailure) -> TaskResult:
        if self._around.ending.is_asked():
            return TaskResult("interrupted", 130, "interrupted")
        if failure.waits:
            return TaskResult("waiting", reason=failure.message)
        return TaskResult("failed", 1, failure.message)

    def _run_command(self) -> TaskResult:
        around, task = self._around, self._task
        backup = self._profile.tasks.get("backup")
        if around.notices is not None:
            for problem in around.notices.tell_begin(self._profile, task.name):
                around.output.note(self._prefix + problem)
        around.output.begin(f"{self._prefix}started")
        process = child.start(
            around.run_command,
            build_arguments(self._choice, around.config),
            lambda line: around.output.complain(self._prefix + line),
            low_priority=backup is not None and backup.low_priority,
        )
        supervisor = Supervisor(process, self._make_watch(), around.ending)
        outcome = supervisor.run()
        return judge(task.name, outcome, lost=supervisor.lost, interrupted=supervisor.interrupted, may_wait=self._obeys)

    def _make_watch(self) -> Watch:
        around, task = self._around, self._task
        record = self._read()
        return Watch(
            find_lost=lambda: around.conditions.find_lost(self._choice, record) if self._obeys else None,
            grace_seconds=task.when.grace_seconds,
            early_signal=signal.SIGUSR2 if task.name == "backup" and task.partial else signal.SIGINT,
            is_on_mains=lambda: around.machine.read_power().on_mains,
            wait_for_line=lambda: around.conditions.wait_for_line([self._profile]),
            system_bus=around.machine.system_bus,
            why=f"{task.name} of {self._profile.name}" if task.name in _SENDS else "",
            note=lambda text: around.output.note(self._prefix + text),
            look_seconds=around.look_seconds,
        )

    def _run_last_hooks(self, result: TaskResult) -> list[str]:
        """Run the commands for after the task, and return what failed."""
        hooks = self._profile.hooks
        facts = HookFacts(
            self._profile.name,
            self._task.name,
            result=result.kind,
            exit_code=result.code,
            snapshot=result.snapshot,
            error=result.error,
            summary=b"" if result.summary is None else json.dumps(result.summary).encode(),
        )
        chosen = {"success": hooks.after, "failed": hooks.failed}.get(result.kind, ())
        run = self._around.hooks.run
        failures = [
            run(chosen, facts, hooks.timeout_seconds),
            run(hooks.finally_, facts, hooks.timeout_seconds, to_the_end=True),
        ]
        return [failure.message for failure in failures if failure is not None]

    def _change(self, change: Callable[[ProfileRecord], None]) -> ProfileRecord:
        """Change the record of the profile. A state that cannot be written prevents no backup, but is an error."""
        try:
            return self._around.store.change_profile(self._profile, change)
        except LocalFileError as error:
            self._tell_state_failed(f"the state cannot be written: {error}")
            record = self._read()
            change(record)
            return record

    def _read(self) -> ProfileRecord:
        now = self._around.now()
        try:
            return self._around.store.read().find(self._profile, now)
        except LocalFileError:
            return ProfileRecord(first_seen=now)

    def _tell_state_failed(self, message: str) -> None:
        if not self._state_failed:
            self._around.output.complain(self._prefix + message)
        self._state_failed = True

    def _make_entry(self, result: TaskResult, started: float, seconds: float, problems: list[str]) -> dict[str, object]:
        entry: dict[str, object] = {
            "time": show_time(started),
            "profile": self._profile.name,
            "task": self._task.name,
            "result": result.kind,
            "exit_code": result.code,
            "seconds": round(seconds, 3),
        }
        more = {"error": result.error, "reason": result.reason, "problems": problems, "summary": result.summary}
        return entry | {name: value for name, value in more.items() if value}
