"""Profiles as text: each value with its origin, and the command lines of restic that do the same. Secrets are ***."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pyrestic.backend.location import strip_password
from pyrestic.profiles.profile import DayTime, Profile, Secret, Task, Value, When
from pyrestic.profiles.times import format_span
from pyrestic.profiles.words import flag_words, task_flags

HIDDEN = "***"
DEFAULT = "default"
_SECRET_NAME = re.compile("KEY|SECRET|TOKEN|PASS", re.IGNORECASE)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NOT_IN_RESTIC = frozenset(
    {"max-cpu", "skip-damaged", "before", "after", "partial", "checkpoint", "time-limit"}
    | {"budget", "budget-month", "keep-partial"}
)
"""Flags of these tasks that restic does not have."""


class Setting(NamedTuple):
    """A value of a profile, by its keys joined with dots, and the file and table that set it."""

    key: str
    value: str
    origin: str


def list_settings(profile: Profile) -> list[Setting]:
    """Return all values of a profile, those by default included."""
    return [
        Setting(key, value, profile.origins.get(key, DEFAULT))
        for key, value in _settings(profile)
        if ".when." not in key or key in profile.origins
    ]


def describe_rhythm(task: Task) -> str:
    """Return when a task runs, such as "every 1h" or "at 13:00, sat 03:00"."""
    if task.at:
        return f"at {', '.join(map(_describe_moment, task.at))}"
    return f"every {format_span(task.every_seconds)}" if task.every_seconds else "never"


def list_restic_lines(profile: Profile) -> list[str]:
    """Return the command lines of restic for the tasks, and comments on what restic does not have."""
    lines = []
    for task in profile.tasks.values():
        if task.name == "drill":
            continue
        flags = {**profile.flags, **task_flags(task)}
        ours = [word for name, value in flags.items() if name in NOT_IN_RESTIC for word in flag_words(name, value)]
        if ours:
            lines.append(f"# restic has no {' '.join(ours)}")
        lines.append(_restic_line(profile, task, flags))
    return lines


def describe_secret(secret: Secret) -> str:
    """Return where a secret is found; a command's arguments may be secret, too."""
    if secret.source == "keyring":
        return f"{HIDDEN} (key ring)"
    argument = secret.argument if isinstance(secret.argument, str) else secret.argument[0]
    return f"{HIDDEN} ({secret.source} {argument})"


def _settings(profile: Profile) -> Iterator[tuple[str, str]]:
    yield "repo", strip_password(profile.repo)
    yield "password", describe_secret(profile.password) if profile.password else "asked for"
    for name, value in profile.env.items():
        yield f"env.{name}", describe_secret(value) if isinstance(value, Secret) else _plain(name, value)
    for name, flag in profile.flags.items():
        yield name, _describe_flag(flag)
    yield "default", _describe_flag(profile.is_default)
    yield "if-missing", "skip" if profile.skips_missing else "fail"
    yield "overdue", _describe_span(profile.overdue_seconds, "never")
    if profile.budget:
        yield "budget", profile.budget
    for task in profile.tasks.values():
        yield from _task_settings(task)
    yield from _when_settings("when", profile.when)
    hooks = profile.hooks
    for name, commands in (
        ("before", hooks.before),
        ("after", hooks.after),
        ("failed", hooks.failed),
        ("finally", hooks.finally_),
    ):
        if commands:
            yield f"hooks.{name}", "; ".join(one if isinstance(one, str) else shlex.join(one) for one in commands)
    yield "hooks.timeout", format_span(hooks.timeout_seconds)


def _task_settings(task: Task) -> Iterator[tuple[str, str]]:
    if task.at:
        yield f"{task.name}.at", ", ".join(map(_describe_moment, task.at))
    else:
        yield f"{task.name}.every", _describe_span(task.every_seconds, "off")
    if task.name == "backup":
        yield "backup.source", ", ".join(task.source)
        yield "backup.partial", _describe_flag(task.partial)
        yield "backup.checkpoint", _describe_span(task.checkpoint_seconds, "off")
        yield "backup.time-limit", _describe_span(task.time_limit_seconds, "off")
        yield "backup.priority", "low" if task.low_priority else "normal"
    for name, value in task.flags.items():
        yield f"{task.name}.{name}", _describe_flag(value)
    yield from _when_settings(f"{task.name}.when", task.when)


def _when_settings(prefix: str, when: When) -> Iterator[tuple[str, str]]:
    yield f"{prefix}.power", when.power
    yield f"{prefix}.battery-min", str(when.battery_min)
    yield f"{prefix}.metered", _describe_flag(when.metered)
    yield f"{prefix}.networks", ", ".join(when.networks) or "all"
    yield f"{prefix}.window", "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in when.window)
    if when.command:
        yield f"{prefix}.command", shlex.join(when.command)
    yield f"{prefix}.grace", format_span(when.grace_seconds)
    yield f"{prefix}.insist-after", _describe_span(when.insist_after_seconds, "never")


def _describe_moment(moment: DayTime) -> str:
    day = "" if moment.weekday is None else f"{_DAYS[moment.weekday]} "
    return f"{day}{moment.hour:02}:{moment.minute:02}"


def _describe_span(seconds: float | None, absent: str) -> str:
    return absent if seconds is None else format_span(seconds)


def _describe_flag(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _plain(name: str, value: str) -> str:
    return HIDDEN if _SECRET_NAME.search(name) else value


def _restic_line(profile: Profile, task: Task, flags: Mapping[str, Value]) -> str:
    variables = [
        f"{name}={HIDDEN if isinstance(value, Secret) else shlex.quote(_plain(name, value))}"
        for name, value in profile.env.items()
    ]
    words = ["restic", f"--repo={strip_password(profile.repo)}"]
    password = profile.password
    if password is not None and password.source == "file":
        words.append(f"--password-file={password.argument}")
    elif password is not None:
        variables.insert(0, f"RESTIC_PASSWORD={HIDDEN}")
    words.append(task.name)
    for name, value in flags.items():
        if name not in NOT_IN_RESTIC:
            words += flag_words(name, value)
    return " ".join([*variables, shlex.join([*words, *(["--", *task.source] if task.source else [])])])
