"""From the merged tables of a profile to the profile: filled in, with defaults, checked."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from pyrestic.errors import UsageError
from pyrestic.profiles.fill import Filler
from pyrestic.profiles.merge import Leaf, Tree, refuse
from pyrestic.profiles.profile import TASK_NAMES, DayTime, Hooks, Profile, Secret, Task, TaskName, Value, When
from pyrestic.profiles.schema import BackupTable, HooksTable, ProfileTable, TaskTable, WhenTable, convert, split_flags
from pyrestic.profiles.secret_table import parse_secret, parse_text_or_secret
from pyrestic.profiles.times import parse_moment, parse_span, parse_window

T = TypeVar("T")
CheckFlag = Callable[[str, str, Value], None]
"""Raises UsageError if a command, "" for all, has no such flag or the value is invalid."""

_DAY = 86_400.0
_DEFAULT_EVERY: Mapping[TaskName, str] = {"backup": "1h", "forget": "1d", "prune": "7d", "check": "30d", "drill": "30d"}
_B2_CHECK = "1d"
_B2_BUDGET = "1G"
"""What B2 lets everybody download free of charge each day."""
_READS_DATA = ("budget", "read-data", "read-data-subset")
_OWN_VARIABLES = re.compile("RESTIC_(REPOSITORY|PASSWORD)")
_BUDGET = re.compile(r"[0-9]+(\.[0-9]+)? USD")
_OFF = ("off", "never")


class Resolver:
    """Makes one profile of its merged tables; without `check_flag`, flags are not checked."""

    def __init__(self, name: str, tree: Tree, filler: Filler, check_flag: CheckFlag | None) -> None:
        self._name = name
        self._tree: Tree = _fill_tree(tree, filler)
        self._check_flag = check_flag

    def resolve(self, *, is_default: bool) -> Profile:
        """Return the profile; raise UsageError."""
        own, flags = split_flags(self._tree, ProfileTable)
        table = convert(own, ProfileTable)
        tasks = dict(self._tasks(table.repo))
        return Profile(
            name=self._name,
            repo=table.repo,
            password=_parse(own, "password", parse_secret) if "password" in own else None,
            env=dict(self._variables()),
            flags=self._flags("", flags),
            skips_missing=table.if_missing == "skip",
            overdue_seconds=self._overdue(own, tasks.get("backup")),
            budget=_parse(own, "budget", _parse_budget) if table.budget else "",
            tasks=tasks,
            when=self._when(self._below(self._tree, "when")),
            hooks=self._hooks(self._below(self._tree, "hooks")),
            is_default=is_default,
            origins=dict(_origins(self._tree)),
        )

    def _below(self, tree: Tree, key: str) -> Tree:
        below = tree.get(key)
        return below if isinstance(below, dict) else {}

    def _variables(self) -> Iterator[tuple[str, str | Secret]]:
        for name, leaf in self._below(self._tree, "env").items():
            if not isinstance(leaf, Leaf):
                continue
            if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
                raise leaf.refuse(name, "is not the name of a variable")
            if _OWN_VARIABLES.match(name):
                raise leaf.refuse(name, "the keys repo and password of the profile replace this variable")
            yield name, leaf.parse(name, parse_text_or_secret)

    def _flags(self, command: str, leaves: Mapping[str, Leaf]) -> dict[str, Value]:
        flags = {}
        for key, leaf in leaves.items():
            flags[key] = value = leaf.parse(key, _parse_flag)
            if self._check_flag is not None:
                try:
                    self._check_flag(command, key, value)
                except UsageError as error:
                    raise leaf.refuse(key, str(error), error.hint) from None
        return flags

    def _when(self, tree: Tree) -> When:
        table = convert(tree, WhenTable)
        return When(
            power=table.power,
            battery_min=table.battery_min,
            metered=table.metered,
            networks=table.networks,
            window=_parse(tree, "window", parse_window, table.window),
            command=table.command,
            grace_seconds=_parse(tree, "grace", parse_span, table.grace),
            insist_after_seconds=_parse(tree, "insist-after", _parse_optional_span, table.insist_after),
        )

    def _hooks(self, tree: Tree) -> Hooks:
        table = convert(tree, HooksTable)
        return Hooks(
            before=_commands(tree, "before", table.before),
            after=_commands(tree, "after", table.after),
            failed=_commands(tree, "failed", table.failed),
            finally_=_commands(tree, "finally", table.finally_),
            timeout_seconds=_parse(tree, "timeout", parse_span, table.timeout),
        )

    def _tasks(self, repo: str) -> Iterator[tuple[TaskName, Task]]:
        on_b2 = repo.startswith("b2:")
        for name in TASK_NAMES:
            if name not in self._tree and name not in ("check", "drill"):
                continue
            tree = self._below(self._tree, name)
            table_class = BackupTable if name == "backup" else TaskTable
            own, leaves = split_flags(tree, table_class)
            table = convert(own, table_class)
            flags = self._flags(name, leaves)
            every = _B2_CHECK if on_b2 and name == "check" else _DEFAULT_EVERY[name]
            if on_b2 and name == "check" and not any(key in flags for key in _READS_DATA):
                flags["budget"] = _B2_BUDGET
            if name == "forget" and not any(key.startswith("keep-") for key in flags):
                raise refuse(*self._place(tree), "", "a rule such as keep-daily = 30 is missing in the table forget")
            task = Task(
                name=name,
                every_seconds=None if table.at else _parse(own, "every", _parse_optional_span, table.every or every),
                at=_parse(own, "at", _parse_moments, table.at),
                flags=flags,
                when=self._when({**self._below(self._tree, "when"), **self._below(tree, "when")}),
            )
            yield name, _complete(task, own, table) if isinstance(table, BackupTable) else task

    def _place(self, tree: Tree) -> tuple[str, str]:
        """Return the file and the name of a table: those of its first value, or of the profile's."""
        for leaf in (*tree.values(), *self._tree.values()):
            if isinstance(leaf, Leaf):
                return leaf.file, leaf.table
        return "", f"profile.{self._name}"

    def _overdue(self, own: Tree, backup: Task | None) -> float | None:
        if "overdue" in own:
            return _parse(own, "overdue", _parse_optional_span)
        if backup is None or (backup.every_seconds is None and not backup.at):
            return None
        return max(_DAY, 5 * backup.every_seconds if backup.every_seconds else 2 * _longest_gap(backup.at))


def _fill_tree(tree: Tree, filler: Filler, table: str = "") -> Tree:
    """Return the tree with texts filled in, except in hooks: their shell does so itself."""
    filled: Tree = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            filled[key] = _fill_tree(value, filler, key)
        elif table == "hooks":
            filled[key] = value
        else:
            filled[key] = value._replace(value=value.parse(key, filler.fill))
    return filled


def _parse(tree: Tree, key: str, parse: Callable[[Any], T], default: Any = None) -> T:  # noqa: ANN401 - as in files
    """Return the parsed value of a key, or of the default if the key is missing."""
    leaf = tree.get(key)
    return leaf.parse(key, parse) if isinstance(leaf, Leaf) else parse(default)


def _parse_flag(value: object) -> Value:
    if isinstance(value, str | int | float):
        return value
    if not isinstance(value, list) or not all(isinstance(one, str | int | float) for one in value):
        raise UsageError("the value of a flag is a text, a number, true, false, or a list of texts")
    return tuple(value)


def _parse_optional_span(text: str) -> float | None:
    return None if text in _OFF else parse_span(text)


def _parse_moments(texts: list[str]) -> tuple[DayTime, ...]:
    return tuple(DayTime(*parse_moment(text)) for text in texts)


def _parse_budget(text: str) -> str:
    if not _BUDGET.fullmatch(text):
        raise UsageError(f"{text!r} is not an amount such as 2 USD")
    return text


def _commands(tree: Tree, key: str, commands: tuple[list[str] | str, ...]) -> tuple[tuple[str, ...] | str, ...]:
    leaf = tree.get(key)
    if isinstance(leaf, Leaf) and not all(commands):
        raise leaf.refuse(key, "a command is empty")
    return tuple(one if isinstance(one, str) else tuple(one) for one in commands)


def _complete(task: Task, own: Tree, table: BackupTable) -> Task:
    """Return the task with what only `backup` has."""
    values = {
        "source": table.source,
        "partial": table.partial,
        "checkpoint_seconds": _parse(own, "checkpoint", _parse_optional_span, table.checkpoint),
        "time_limit_seconds": _parse(own, "time-limit", _parse_optional_span, table.time_limit),
        "low_priority": table.priority == "low",
    }
    return msgspec.structs.replace(task, **values)


def _longest_gap(moments: tuple[DayTime, ...]) -> float:
    """Return the most seconds between two moments in a row."""
    week = sorted(
        day * _DAY + one.hour * 3600.0 + one.minute * 60.0
        for one in moments
        for day in (range(7) if one.weekday is None else (one.weekday,))
    )
    return max(after - before for before, after in zip(week, [*week[1:], week[0] + 7 * _DAY], strict=True))


def _origins(tree: Tree, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Leaf):
            yield prefix + key, f"{value.file} [{value.table}]"
        else:
            yield from _origins(value, f"{prefix}{key}.")
