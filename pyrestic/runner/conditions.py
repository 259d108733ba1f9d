"""Why a task that is due has to wait."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from pyrestic.profiles.profile import DayTime, Profile, Task
from pyrestic.runner.due import DueTask, find_next
from pyrestic.runner.hooks import WAITS
from pyrestic.runner.places import find_location
from pyrestic.runner.quiet import BATTERY, MISSING, OFFLINE, UNTIL
from pyrestic.runner.records import Hold, ProfileRecord
from pyrestic.runner.this_machine import ThisMachine, find_host, find_missing_folder

_INSISTS_LEVEL: Final = 50
"""With insist-after, a battery of at least so many percent is enough."""
_COMMAND_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 0.2
_RESUMED_SECONDS: Final = 60.0
"""How long a connection may take to return after the machine has slept."""
_POLL_SECONDS: Final = 2.0


class Obstacle(NamedTuple):
    """Why a task does not start: a reason to wait, or a failure. A run that a person asked for skips optional ones."""

    reason: str
    detail: str = ""
    """What may change while the reason stays the same."""
    is_failure: bool = False
    is_optional: bool = False
    hold: Hold | None = None
    """A fact that is found out quickly, and as long as it holds, the task waits."""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Look = Callable[[], "Obstacle | None"]


class Conditions:
    """The conditions of tasks on a machine. `environment` is that of the commands that profiles name.

    Nothing is waited for once `is_ending` is true.
    """

    def __init__(
        self,
        machine: ThisMachine,
        environment: Mapping[str, str],
        now: Callable[[], float] = time.time,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._machine = machine
        self._environment = environment
        self._now = now
        self._is_ending = is_ending

    def find_obstacle(self, choice: DueTask, record: ProfileRecord, *, with_command: bool = True) -> Obstacle | None:
        """Return why a task has to wait or fails, None if it may start."""
        insists = self._insists(choice.task, record)
        looks: list[Look] = [
            lambda: self._look_at_window(choice.task),
            lambda: self._look_for_folder(choice.profile),
            lambda: self.look_at_power(choice.task, insists=insists),
            lambda: self._look_for_network(choice),
            lambda: self.look_at_line(choice, insists=insists),
            lambda: self._ask_command(choice.task) if with_command else None,
        ]
        return next((found for look in looks if (found := look()) is not None), None)

    def find_lost(self, choice: DueTask, record: ProfileRecord) -> Obstacle | None:
        """Return why a task that runs should end early, None if it may go on."""
        insists = self._insists(choice.task, record)
        found = self.look_at_power(choice.task, insists=insists) or self.look_at_line(choice, insists=insists)
        if found is None and self.find_host(choice.profile) is not None and not self._machine.is_online():
            found = Obstacle("no network connection")
        return found

    def find_insistence(self, task: Task, record: ProfileRecord) -> float | None:
        """Return the time from which power and metered lines no longer count, None for never.

        There was no good backup for too long then.
        """
        limit = task.when.insist_after_seconds
        if limit is None:
            return None
        good = record.find("backup").good_started
        return (record.first_seen if good is None else good) + limit

    def _insists(self, task: Task, record: ProfileRecord) -> bool:
        since = self.find_insistence(task, record)
        return since is not None and since <= self._now()

    def find_host(self, profile: Profile) -> str | None:
        """Return the host of a profile's repository as find_host does; "" behind a proxy, which resolves names."""
        host = find_host(find_location(profile), _options(profile))
        own = {name.lower() for name in profile.env} | {name.lower() for name in self._environment}
        return "" if host and own & {"https_proxy", "http_proxy", "all_proxy"} else host

    def wait_for_line(self, profiles: Iterable[Profile], sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait up to a minute for a network connection that is just coming back, if a profile needs one."""
        hosts = {host for profile in profiles if (host := self.find_host(profile)) is not None}
        left = _RESUMED_SECONDS
        while hosts and left > 0 and not self._is_ending() and not all(self._machine.is_online(host) for host in hosts):
            sleep(_POLL_SECONDS)
            left -= _POLL_SECONDS

    def _look_at_window(self, task: Task) -> Obstacle | None:
        begin, end = task.when.window
        local = datetime.fromtimestamp(self._now())  # noqa: DTZ006 - local on purpose
        if is_within(local.hour * 60 + local.minute, begin, end):
            return None
        opens = find_next([DayTime(None, begin // 60, begin % 60)], self._now())
        reason = f"outside of {_show_minutes(begin)}-{_show_minutes(end)}"
        return Obstacle(reason, is_optional=True, hold=(UNTIL, repr(opens)))

    def look_at_power(self, task: Task, *, insists: bool) -> Obstacle | None:
        """Return why the power does not suffice, None if it does."""
        when, power = task.when, self._machine.read_power()
        if power.on_mains or (insists and (power.level is None or power.level >= _INSISTS_LEVEL)):
            return None
        if when.power == "any" and (power.level is None or power.level >= when.battery_min):
            return None
        level = "" if power.level is None else f"{power.level} %"
        return Obstacle("on battery", level, is_optional=True, hold=(BATTERY, ""))

    def look_at_line(self, choice: DueTask, *, insists: bool) -> Obstacle | None:
        """Return why the network connection may not be used, None if it may."""
        when = choice.task.when
        if (when.metered and not when.networks) or self.find_host(choice.profile) is None:
            return None
        facts = self._machine.ask_network()
        if facts.is_metered and not when.metered and not insists:
            return Obstacle("on a metered connection", is_optional=True)
        if when.networks and facts.connections is not None and not facts.connections & set(when.networks):
            return Obstacle(f"not connected to {' or '.join(when.networks)}", is_optional=True)
        return None

    def _look_for_folder(self, profile: Profile) -> Obstacle | None:
        missing = find_missing_folder(find_location(profile)) if profile.skips_missing else ""
        return Obstacle(f"{missing} is not there", hold=(MISSING, missing)) if missing else None

    def _look_for_network(self, choice: DueTask) -> Obstacle | None:
        host = self.find_host(choice.profile)
        if host is None:
            return None
        if not self._machine.is_online():
            return Obstacle("no network connection", hold=(OFFLINE, ""))
        return None if self._machine.is_online(host) else Obstacle(f"the name {host} cannot be resolved")

    def _ask_command(self, task: Task) -> Obstacle | None:
        words = task.when.command
        if not words:
            return None
        # Rarely used.
        import subprocess

        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command
                words, stdin=subprocess.DEVNULL, env=dict(self._environment)
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return Obstacle(f"{words[0]} of when.command could not be started: {reason}", is_failure=True)
        deadline = time.monotonic() + _COMMAND_SECONDS
        while process.poll() is None:
            if self._is_ending() or time.monotonic() > deadline:
                process.kill()
                process.wait()
                if self._is_ending():
                    return None
                return Obstacle(f"{words[0]} of when.command did not end within a minute", is_failure=True)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STEP_SECONDS)
        if process.returncode in (0, WAITS):
            return Obstacle(f"{os.path.basename(words[0])} says so") if process.returncode else None
        return Obstacle(f"{words[0]} of when.command failed with exit code {process.returncode}", is_failure=True)


def _options(profile: Profile) -> list[str]:
    value = profile.flags.get("option", ())
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def is_within(minute: int, begin: int, end: int) -> bool:
    """Tell whether a minute of the day is in a window, which may include midnight."""
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _show_minutes(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
