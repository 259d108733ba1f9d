"""Profiles as values: defaults are applied, variables filled in, durations are seconds.

They contain no secret, only where each one is found (Secret).
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from pyrestic.errors import UsageError
from pyrestic.nearest import suggest

Value: TypeAlias = str | int | float | bool | tuple[str | int | float, ...]
"""The value of a flag."""
Command: TypeAlias = tuple[str, ...] | str
"""A command to run as it is, or a line for /bin/sh."""
TaskName: TypeAlias = Literal["backup", "forget", "prune", "check", "drill"]
TASK_NAMES: tuple[TaskName, ...] = ("backup", "forget", "prune", "check", "drill")
"""The tasks of a profile in the order in which they run; each is the command of this name."""


class Secret(msgspec.Struct, frozen=True):
    """Where a secret is found: the key ring, a file, the output of a command, or a credential of systemd."""

    source: Literal["keyring", "file", "command", "credential"]
    argument: str | tuple[str, ...] = ""
    """The path, the words of the command, or the name of the credential."""

    def __repr__(self) -> str:
        return f"Secret({self.source!r})"


class DayTime(msgspec.Struct, frozen=True):
    """A local time of day, on every day or on one weekday; Monday is 0."""

    weekday: int | None
    hour: int
    minute: int


class When(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions under which a task may start and continue."""

    power: Literal["mains", "any"]
    battery_min: int
    """With power "any": percent below which a task waits."""
    metered: bool
    """Whether a task may use a metered connection."""
    networks: tuple[str, ...]
    """Names of the connections that are allowed; empty for all."""
    window: tuple[int, int]
    """Minutes of the local day; the second is smaller if the window includes midnight."""
    command: tuple[str, ...]
    """A command that exits with 0 to go and 75 to wait; empty for none."""
    grace_seconds: float
    insist_after_seconds: float | None
    """Time without a good backup after which power and metered count no longer, None for never."""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Commands around the tasks of a profile."""

    before: tuple[Command, ...]
    after: tuple[Command, ...]
    failed: tuple[Command, ...]
    finally_: tuple[Command, ...]
    timeout_seconds: float


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a profile and its rhythm: either `every_seconds` or `at` is set, neither if it never runs by itself.

    The fields after `when` concern only `backup`.
    """

    name: TaskName
    every_seconds: float | None
    at: tuple[DayTime, ...]
    flags: Mapping[str, Value]
    """Flags of the command, by name without dashes."""
    when: When
    source: tuple[str, ...] = ()
    partial: bool = False
    checkpoint_seconds: float | None = None
    time_limit_seconds: float | None = None
    low_priority: bool = False


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One profile. A task that is missing in `tasks` never runs."""

    name: str
    repo: str
    password: Secret | None
    env: Mapping[str, str | Secret]
    flags: Mapping[str, Value]
    """Global flags, by name without dashes."""
    skips_missing: bool
    """Whether a local repository that is not there is a reason to wait, not a failure."""
    overdue_seconds: float | None
    """Time without a good backup after which the person is told, None for never."""
    budget: str
    """The most that the backend may cost in a month, such as "2 USD"; "" for no limit."""
    tasks: Mapping[TaskName, Task]
    when: When
    """The conditions of all tasks that have none of their own."""
    hooks: Hooks
    is_default: bool
    """Whether plain commands use it if nothing names a repository."""
    origins: Mapping[str, str]
    """The file and table of each value that a file sets, by keys joined with dots, such as backup.every."""

    def __repr__(self) -> str:
        return f"Profile({self.name!r})"


NotifyEvent: TypeAlias = Literal["failed", "overdue", "recovered", "success", "waiting"]


class Notify(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are reported, and to whom."""

    on: tuple[NotifyEvent, ...]
    desktop: bool
    ping: str | Secret
    ntfy: str | Secret
    webhook: str | Secret
    mail: str
    apprise: tuple[str | Secret, ...]
    metrics_file: str

    def __repr__(self) -> str:
        return "Notify()"


class Profiles(msgspec.Struct, frozen=True, kw_only=True):
    """All profiles of a user by name, in the order of the files."""

    by_name: Mapping[str, Profile]
    notify: Notify
    files: tuple[str, ...]
    """The files that were read."""
    bases: frozenset[str] = frozenset()
    """Names of profiles that others only inherit from."""

    def find(self, name: str) -> Profile:
        """Return the profile of this name; raise UsageError."""
        if name in self.bases:
            raise UsageError(f"other profiles inherit from {name!r}, but it names no repository or no sources itself")
        if name not in self.by_name:
            read = f"The files read: {', '.join(self.files)}." if self.files else "There is no file of profiles."
            raise UsageError(f"there is no profile {name!r}", hint=suggest(name, self.by_name) or read)
        return self.by_name[name]

    @property
    def default(self) -> Profile | None:
        """The profile for commands that name no repository, None if there is none."""
        return next((one for one in self.by_name.values() if one.is_default), None)
