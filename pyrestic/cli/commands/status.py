"""pyrestic status: how things stand with the profiles."""

import time

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, arguments, switch
from pyrestic.cli.runner_setup import find_profiles, open_store, run_forked
from pyrestic.cli.table import format_table
from pyrestic.profiles.profile import Profile
from pyrestic.runner.child import start
from pyrestic.runner.conditions import find_location
from pyrestic.runner.place_lock import PlaceLock
from pyrestic.runner.records import ProfileRecord
from pyrestic.runner.runner import describe_pause
from pyrestic.runner.status import COLUMNS, NEEDS_ATTENTION, OnlineState, find_statuses, judge_online
from pyrestic.runner.wording import show_time

_LOOK_SECONDS = 3600.0


class StatusFlags(Flags):
    """The flags of status."""

    online: bool = switch("--online", help="also ask the repositories")
    names: tuple[str, ...] = arguments("NAME")


@define(
    "status",
    "Show when each profile was last backed up, and what it waits for.",
    StatusFlags,
    prints=True,
    forks=True,
    uses_repository=False,
)
def command(app: App, flags: StatusFlags) -> int:
    """Print a table and sentences; 4 if something is overdue or failed last time, 1 if a repository does not answer."""
    now = time.time()
    _, chosen = find_profiles(app, flags.names)
    store = open_store(app, time.time)
    runs = store.read()
    running = {profile.name: _is_running(store.folder, profile, runs.find(profile.name, now)) for profile in chosen}
    online = {profile.name: _ask(app, profile) for profile in chosen} if flags.online else {}
    statuses = find_statuses(chosen, runs, now, running, online)
    pause = describe_pause(runs, now)
    if app.settings.json:
        until = show_time(runs.paused_until) if pause else None
        profiles = [status.fields() for status in statuses]
        app.terminal.print_json({"message_type": "status", "paused_until": until, "profiles": profiles})
    else:
        rows = [status.row() for status in statuses]
        app.terminal.print(*format_table(COLUMNS, rows, quoted=app.terminal.is_terminal))
        app.terminal.print(*(sentence for status in statuses for sentence in status.sentences()))
        if pause:
            app.terminal.print(f"Nothing runs by itself: {pause}.")
    if not all(status.well for status in statuses):
        return NEEDS_ATTENTION
    return 1 if any(answer.error for answer in online.values()) else 0


def _is_running(folder: str, profile: Profile, record: ProfileRecord) -> bool:
    unended = any(task.unended for task in record.tasks.values())
    return unended and PlaceLock(folder, find_location(profile)).is_held()


def _ask(app: App, profile: Profile) -> OnlineState:
    """Ask the repository of a profile in a process of its own, as the tasks of profiles run."""
    config = ["--config", app.settings.config] if app.settings.config else []
    arguments = ["-P", profile.name, *config, "snapshots", "--json"]
    process = start(run_forked, arguments, lambda line: app.terminal.complain(f"{profile.name}: {line}"))
    outcome = None
    while outcome is None:
        outcome = process.wait(_LOOK_SECONDS)
    return judge_online(outcome)
