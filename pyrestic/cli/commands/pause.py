"""pyrestic pause: nothing runs by itself for a while."""

import time

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, arguments
from pyrestic.cli.runner_setup import open_store
from pyrestic.errors import UsageError
from pyrestic.profiles.times import parse_span
from pyrestic.runner.records import Runs
from pyrestic.runner.wording import show_since


class PauseFlags(Flags):
    """The flags of pause."""

    duration: tuple[str, ...] = arguments("DURATION")


@define("pause", "Let `run --due` do nothing for a while, such as 3h or 2d.", PauseFlags, uses_repository=False)
def command(app: App, flags: PauseFlags) -> None:
    """Record until when."""
    if len(flags.duration) != 1:
        raise UsageError("pause takes one duration, such as 3h or 2d")
    until = time.time() + parse_span(flags.duration[0])

    def change(runs: Runs) -> None:
        runs.paused_until = until

    open_store(app, time.time).change(change)
    app.terminal.note(f"Nothing runs by itself until {show_since(until, time.time())}; `pyrestic resume` ends this.")
