"""pyrestic status: how things stand with the profiles."""

import time

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, arguments, switch
from pyrestic.cli.month_costs import make_cost_finder
from pyrestic.cli.runner_setup import find_profiles, open_store, run_forked
from pyrestic.cli.table import format_table
from pyrestic.profiles.profile import Profile
from pyrestic.runner.child import start
from pyrestic.runner.overview import make_overview
from pyrestic.runner.status import OnlineState, judge_online

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
    _, chosen = find_profiles(app, flags.names)
    store = open_store(app, time.time)
    online = {profile.name: _ask(app, profile) for profile in chosen} if flags.online else {}
    overview = make_overview(chosen, store, time.time(), make_cost_finder(app.settings.environment), online)
    if app.settings.json:
        app.terminal.print_json(overview.fields())
    else:
        heads, rows = overview.table()
        app.terminal.print(*format_table(heads, rows, quoted=app.terminal.is_terminal), *overview.sentences())
    return overview.exit_code or (1 if any(answer.error for answer in online.values()) else 0)


def _ask(app: App, profile: Profile) -> OnlineState:
    """Ask the repository of a profile in a process of its own, as the tasks of profiles run."""
    config = ["--config", app.settings.config] if app.settings.config else []
    arguments = ["-P", profile.name, *config, "snapshots", "--json"]
    process = start(run_forked, arguments, lambda line: app.terminal.complain(f"{profile.name}: {line}"))
    outcome = None
    while outcome is None:
        outcome = process.wait(_LOOK_SECONDS)
    return judge_online(outcome)
