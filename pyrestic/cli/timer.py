"""The timer of this user: units of systemd, or a line of the crontab."""

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from pyrestic.cli.options import Settings
from pyrestic.errors import UsageError
from pyrestic.profiles.load import find_profile_folder, load_profiles
from pyrestic.profiles.profile import Profiles, Secret
from pyrestic.schedule import crontab, systemd
from pyrestic.schedule.units import SERVICE, TIMER, make_units

SYSTEMD = "systemd"
CRON = "cron"
_NAME = "pyrestic"
_START_SECONDS = 10.0
_FOLDERS = {"XDG_CONFIG_HOME": ".config", "XDG_STATE_HOME": ".local/state", "XDG_CACHE_HOME": ".cache"}


class Start(NamedTuple):
    """What a timer starts: a command, variables for it, and paths of credentials by name."""

    words: list[str]
    variables: dict[str, str]
    credentials: dict[str, str]


class Timer(ABC):
    """One way to start due tasks. Methods raise UsageError and LocalFileError."""

    kind: str

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is."""

    @abstractmethod
    def texts(self) -> list[str]:
        """Return the lines that would be written."""

    @abstractmethod
    def install(self) -> bool:
        """Install it, in place of an earlier one; return whether something changed."""

    @abstractmethod
    def remove(self) -> bool:
        """Remove it; return whether it was there."""

    @abstractmethod
    def describe(self) -> list[str]:
        """Return lines about it, none if it is not installed."""

    @abstractmethod
    def start(self) -> str:
        """Start it now if that is possible, and return a sentence about it."""

    def advice(self) -> list[str]:
        """Return what the person should know about it."""
        return []


class SystemdTimer(Timer):
    """Units for a manager of systemd."""

    kind = SYSTEMD

    def __init__(self, settings: Settings, manager: systemd.Manager | None) -> None:
        super().__init__(settings)
        self._manager = manager

    @property
    def place(self) -> str:
        """The path of the timer's unit."""
        return os.path.join(self._manager.folder, TIMER) if self._manager else TIMER

    def texts(self) -> list[str]:
        """Return the lines of the units, each below its name."""
        return [line for name, text in self._units().items() for line in (f"# {name}", *text.splitlines(), "")]

    def install(self) -> bool:
        """Write the units and start the timer."""
        return systemd.install(self._found(), self._units())

    def remove(self) -> bool:
        """Stop the timer and remove the units."""
        return systemd.remove(self._found(), (TIMER, SERVICE))

    def describe(self) -> list[str]:
        """Return the path and the times of the timer."""
        manager = self._found()
        if not systemd.is_installed(manager):
            return []
        state = systemd.describe(manager)
        return [
            f"{self.place}: {state.get('ActiveState', 'unknown')}",
            f"last start: {state.get('LastTriggerUSec') or 'never'}",
            f"next start: {state.get('NextElapseUSecRealtime') or 'none'}",
        ]

    def advice(self) -> list[str]:
        """Explain what happens without a login."""
        import pwd

        user = pwd.getpwuid(os.geteuid()).pw_name
        if self._found().is_system or systemd.runs_without_login(user):
            return []
        return [f"It starts when you log in. To start it with the machine, run: loginctl enable-linger {user}"]

    def start(self) -> str:
        """Start the service and watch that it runs."""
        ended = systemd.start(self._found(), SERVICE, _START_SECONDS)
        return f"{SERVICE} has run" if ended else f"{SERVICE} runs"

    def _found(self) -> systemd.Manager:
        if self._manager is None:
            raise UsageError("systemd does not run for this user")
        return self._manager

    def _units(self) -> dict[str, str]:
        start = find_start(self._settings)
        variables = dict(start.variables)
        if self._manager is not None and self._manager.is_system:
            # A service of the system has no home.
            variables["HOME"] = os.path.expanduser("~")
        return make_units(start.words, variables, start.credentials)


class CronTimer(Timer):
    """A line of the crontab."""

    kind = CRON

    @property
    def place(self) -> str:
        """The line, if there is one."""
        return "a line of your crontab"

    def texts(self) -> list[str]:
        """Return the line."""
        start = find_start(self._settings)
        if start.credentials:
            raise UsageError(f"only systemd has credentials, such as {min(start.credentials)!r}")
        return [crontab.make_line(start.words, start.variables)]

    def install(self) -> bool:
        """Add the line, or replace an earlier one."""
        (line,) = self.texts()
        return _change_crontab(lambda text: crontab.with_line(text, line))

    def remove(self) -> bool:
        """Remove the line."""
        return _change_crontab(crontab.without_line)

    def describe(self) -> list[str]:
        """Return the line."""
        return crontab.find_own(crontab.read_crontab())

    def start(self) -> str:
        """Check that the line is there: only cron itself can start it."""
        if not self.describe():
            raise UsageError("the crontab does not contain the line")
        return "cron starts it within ten minutes"


def find_timers(settings: Settings) -> list[Timer]:
    """Return the ways that this machine has, the better one first."""
    manager = systemd.find_manager(settings.environment, os.geteuid())
    found: list[Timer] = [SystemdTimer(settings, manager)] if manager else []
    return [*found, *([CronTimer(settings)] if crontab.is_available() else [])]


def make_printed_timer(settings: Settings, kind: str) -> Timer:
    """Return a timer of a kind that this machine may not have, to print it."""
    return SystemdTimer(settings, None) if kind == SYSTEMD else CronTimer(settings)


def find_start(settings: Settings) -> Start:
    """Return what a timer starts for the profiles of this user; raise UsageError if there are none."""
    profiles = load_profiles(settings.environment, settings.config)
    if not profiles.by_name:
        raise UsageError("there are no profiles", hint="`pyrestic setup` makes one.")
    words = [*find_program(), "run", "--due"]
    folder = find_profile_folder(settings.environment)
    if settings.config:
        file = os.path.abspath(settings.config)
        words += ["--config", file]
        folder = os.path.dirname(file)
    names = sorted(_credentials(profiles))
    return Start(words, _variables(settings), {name: os.path.join(folder, "credentials", name) for name in names})


def find_program() -> list[str]:
    """Return the words that start this program, whatever the current folder and PATH are."""
    path = shutil.which(sys.argv[0]) or ""
    if os.path.basename(path) == _NAME:
        return [os.path.abspath(path)]
    return [sys.executable, "-m", _NAME]


def _variables(settings: Settings) -> dict[str, str]:
    """Return the variables for folders that differ from the usual ones: a timer knows only HOME."""
    environment = settings.environment
    home = environment.get("HOME", "")
    folders = {name: environment[name] for name in _FOLDERS if environment.get(name, "").startswith("/")}
    # Root's profiles are elsewhere unless the variable is set.
    kept = ("XDG_CONFIG_HOME",) if os.geteuid() == 0 else ()
    return {
        name: folder for name, folder in folders.items() if name in kept or folder != os.path.join(home, _FOLDERS[name])
    }


def _credentials(profiles: Profiles) -> set[str]:
    notify = profiles.notify
    secrets = [notify.ping, notify.ntfy, notify.webhook, *notify.apprise]
    for profile in profiles.by_name.values():
        secrets += [*profile.env.values(), *([profile.password] if profile.password else [])]
    return {str(one.argument) for one in secrets if isinstance(one, Secret) and one.source == "credential"}


def _change_crontab(change: Callable[[str], str]) -> bool:
    """Change the crontab of this user; return whether it changed."""
    old = crontab.read_crontab()
    new = change(old)
    if new != old:
        crontab.write_crontab(new)
    return new != old
