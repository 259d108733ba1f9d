"""pyrestic run: the tasks of profiles, now or as far as they are due."""

import os
import time
from collections.abc import Sequence
from typing import cast

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, arguments, switch, text
from pyrestic.cli.runner_setup import (
    RunnerOutput,
    check_profiles,
    find_machine,
    find_profiles,
    hearing_signals,
    open_store,
    run_forked,
)
from pyrestic.desktop.bus import find_session_bus
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.nearest import suggest
from pyrestic.profiles.load import find_profile_folder
from pyrestic.profiles.profile import TASK_NAMES, Profile, TaskName
from pyrestic.runner.quiet import watch_files
from pyrestic.runner.results import INCOMPLETE, find_worst


class RunFlags(Flags):
    """The flags of run."""

    due: bool = switch("--due", help="run only what is due, and obey conditions: for timers")
    dry_run: bool = switch("-n", "--dry-run", help="only print what would be done, and why")
    task: str = text("--task", value="TASKS", help="run only these tasks: backup,forget,prune,check,drill")
    names: tuple[str, ...] = arguments("NAME")


@define(
    "run",
    "Run the backup of profiles, then their other tasks that are due.",
    RunFlags,
    forks=True,
    uses_repository=False,
)
def command(app: App, flags: RunFlags) -> int:
    """Run the tasks; the exit code is the worst of theirs."""
    # Not at the top: help does not need them.
    from pyrestic.runner.conditions import Conditions
    from pyrestic.runner.hooks import HookRunner
    from pyrestic.runner.notices import Notices
    from pyrestic.runner.runner import Request, Runner, describe_pause, describe_plan, remember_quiet
    from pyrestic.runner.task_run import Surroundings

    environment = app.settings.environment
    tasks = _parse_tasks(flags.task)
    profiles, chosen = find_profiles(app, flags.names)
    _ensure_there(tasks, chosen, named=bool(flags.names))
    store = open_store(app, time.time)
    logs = flags.due and not flags.dry_run and "JOURNAL_STREAM" not in environment
    output = RunnerOutput(app.terminal, store.folder if logs else "")
    runs, folder = store.read(), find_profile_folder(environment)
    pause = describe_pause(runs, time.time()) if flags.due else ""
    if pause:
        output.note(pause)
        return 0
    if runs.watched != watch_files(profiles.files, folder):
        check_profiles(app)
    request = Request(chosen, tasks, flags.due)
    with hearing_signals() as ending:
        machine = find_machine(app, ending)
        bus = find_session_bus(environment, os.getuid())
        notices = Notices(profiles.notify, store, environment, bus, ending=ending)
        around = Surroundings(
            store=store,
            machine=machine,
            conditions=Conditions(machine, environment, is_ending=ending.is_asked),
            hooks=HookRunner(environment, output.open_for_hooks, ending.is_asked),
            run_command=run_forked,
            output=output,
            ending=ending,
            config=("--config", app.settings.config) if app.settings.config else (),
            # Who asks for a run sees what it says.
            notices=notices if flags.due else None,
        )
        if flags.names and not (flags.due or tasks):
            for profile in chosen:
                if "backup" not in profile.tasks:
                    output.tell(f"{profile.name}: there is nothing to back up, as the profile has no table backup")
        if flags.dry_run:
            for line in describe_plan(request, around):
                output.tell(line)
            return 0
        runner = Runner(request, around)
        codes = [runner.run()]
        problems = notices.write_metrics(profiles.by_name, store.read())
        if flags.due and not flags.names and not app.settings.profile and not tasks:
            try:
                remember_quiet(runner, watch_files(profiles.files, folder), around)
            except LocalFileError as error:
                problems.append(f"the state cannot be written: {error}")
    for problem in problems:
        output.complain(problem)
        codes.append(INCOMPLETE)
    return find_worst(codes)


def _parse_tasks(text: str) -> tuple[TaskName, ...]:
    """Return the names of the tasks; raise UsageError."""
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in TASK_NAMES:
            raise UsageError(f"there is no task {name!r}", hint=suggest(name, TASK_NAMES))
    return tuple(cast("TaskName", name) for name in names)


def _ensure_there(tasks: Sequence[TaskName], profiles: Sequence[Profile], *, named: bool) -> None:
    """Raise UsageError for a task that no profile has, or one of those that were `named` has not: nothing would run."""
    for task in tasks:
        lacking = [profile.name for profile in profiles if task not in profile.tasks]
        if lacking and (named or len(lacking) == len(profiles)):
            raise UsageError(f"profile {lacking[0]} has no table {task}, so there is nothing to run")
