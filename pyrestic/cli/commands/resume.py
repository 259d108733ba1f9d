"""pyrestic resume: the end of a pause."""

import time

from pyrestic.cli.command import App, define
from pyrestic.cli.runner_setup import open_store
from pyrestic.runner.records import Runs
from pyrestic.runner.runner import describe_pause


@define("resume", "End a pause: what is due runs at the next opportunity.", uses_repository=False)
def command(app: App) -> None:
    """Record it."""
    paused: list[str] = []

    def change(runs: Runs) -> None:
        paused.append(describe_pause(runs, time.time()))
        runs.paused_until = None

    open_store(app, time.time).change(change)
    app.terminal.note("What is due runs again by itself." if paused[0] else "There was no pause.")
