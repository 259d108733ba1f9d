"""Profiles for tests of what runs them."""

from pathlib import Path
from typing import Any

import msgspec

from pyrestic.profiles.profile import DayTime, Hooks, Profile, Task, TaskName, When

HOUR = 3600.0
DAY = 24 * HOUR
WHEN = When(
    power="any",
    battery_min=0,
    metered=True,
    networks=(),
    window=(0, 24 * 60),
    command=(),
    grace_seconds=120.0,
    insist_after_seconds=None,
)
HOOKS = Hooks(before=(), after=(), failed=(), finally_=(), timeout_seconds=60.0)


def make_task(name: TaskName, every: float | None = HOUR, at: tuple[DayTime, ...] = (), **more: Any) -> Task:
    """Return a task without conditions."""
    when = msgspec.structs.replace(WHEN, **more.pop("when", {}))
    return Task(name=name, every_seconds=None if at else every, at=at, flags={}, when=when, **more)


def make_profile(name: str, *tasks: Task, repo: str | Path = "/nowhere", **more: Any) -> Profile:
    """Return a profile with these tasks, by default an hourly backup."""
    values: dict[str, Any] = {
        "password": None,
        "env": {},
        "flags": {},
        "skips_missing": False,
        "overdue_seconds": DAY,
        "budget": "",
        "when": WHEN,
        "hooks": msgspec.structs.replace(HOOKS, **more.pop("hooks", {})),
        "is_default": False,
        "origins": {},
    }
    found = {task.name: task for task in tasks or (make_task("backup"),)}
    return Profile(name=name, repo=str(repo), tasks=found, **(values | more))
