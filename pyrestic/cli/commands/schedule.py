"""pyrestic schedule: install, remove and show the timer that starts due tasks."""

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, parsed, switch
from pyrestic.cli.flags import Parsed
from pyrestic.cli.streams import keep_going
from pyrestic.cli.timer import CRON, SYSTEMD, Timer, find_timers, make_printed_timer
from pyrestic.errors import UsageError


def _parse_kind(text: str) -> str:
    if text not in (SYSTEMD, CRON):
        raise UsageError(f"must be {SYSTEMD} or {CRON}")
    return text


KIND = Parsed("name", _parse_kind)


class ScheduleFlags(Flags):
    """The flags of schedule."""

    install: bool = switch("--install", help="install the timer (the default)")
    print: bool = switch("--print", help="print the units, or the line of the crontab, and change nothing")
    remove: bool = switch("--remove", help="remove the timer")
    show: bool = switch("--show", help="show the timer and its next start")
    kind: str | None = parsed("--with", type=KIND, help="systemd or cron; systemd if it runs for this user")


@define("schedule", "Start due tasks every ten minutes, by systemd or cron.", ScheduleFlags, uses_repository=False)
def command(app: App, flags: ScheduleFlags) -> int | None:
    """Do what the flag says; 1 if there is nothing to show."""
    if flags.install + flags.print + flags.remove + flags.show > 1:
        raise UsageError("--install, --print, --remove and --show exclude one another")
    timers = find_timers(app.settings)
    if flags.remove:
        _remove(app, timers)
        return None
    if flags.show:
        keep_going(without_output=False)
        return _show(app, timers)
    chosen = next((one for one in timers if flags.kind in (None, one.kind)), None)
    if flags.print:
        keep_going(without_output=False)
        chosen = chosen or make_printed_timer(app.settings, flags.kind or SYSTEMD)
        app.terminal.print(*chosen.texts())
        return None
    if chosen is None:
        what = f"no {flags.kind}" if flags.kind else "neither systemd nor cron"
        raise UsageError(f"this user has {what}", hint="Start `pyrestic run --due` every ten minutes in another way.")
    for other in timers:
        if other.kind != chosen.kind and other.remove():
            app.say(f"removed: {other.place}")
    chosen.install()
    app.say(f"installed: {chosen.place}")
    for line in chosen.advice():
        app.say(line)
    return None


def _remove(app: App, timers: list[Timer]) -> None:
    removed = [one for one in timers if one.remove()]
    for one in removed:
        app.say(f"removed: {one.place}")
    if not removed:
        app.say("there is no timer")


def _show(app: App, timers: list[Timer]) -> int | None:
    shown = [line for one in timers for line in one.describe()]
    app.terminal.print(*(shown or ["there is no timer"]))
    return None if shown else 1
