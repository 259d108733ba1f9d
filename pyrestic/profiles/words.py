"""The flags of a profile as words of a command line, as a person would type them."""

from collections.abc import Collection, Iterable, Mapping
from itertools import takewhile

from pyrestic.profiles.profile import Profile, Task, Value
from pyrestic.units import plain_number

_EXCLUSIVE = (
    frozenset({"repo", "repository-file"}),
    frozenset({"quiet", "verbose"}),
    frozenset({"read-data", "read-data-subset", "budget"}),
)
"""Flags that exclude one another: one on the command line replaces all in the profile."""
_STREAMS = frozenset({"stdin", "stdin-from-command"})
_OTHER_SOURCES = _STREAMS | {"files-from", "files-from-raw", "files-from-verbatim"}
_RULE = "keep-"
_ALLOWS_NO_RULE = "unsafe-allow-remove-all"


def flag_words(name: str, value: Value) -> list[str]:
    """Return the words for a flag; none for a switch that is off."""
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}={one}" for one in values]


def profile_words(
    profile: Profile,
    command: str,
    given: Mapping[str, Collection[str]],
    arguments: Collection[str],
    known: Collection[str],
) -> list[str]:
    """Return the flags that a profile adds to a command line; `backup` may also get sources, after "--".

    `given` are the values of the flags on the command line, which win, by name, `arguments` its other words, and
    `known` the names of all flags of the command.
    """
    task = profile.tasks.get(command)  # type: ignore[call-overload]
    flags: dict[str, Value] = {"repo": profile.repo, **profile.flags}
    if profile.budget:
        flags["budget-month"] = profile.budget
    sources: tuple[str, ...] = ()
    if task is not None:
        flags |= _task_flags(task, given, arguments)
        if command == "backup" and not arguments and not _OTHER_SOURCES & set(given):
            sources = task.source
    replaced = set(given).union(*(group for group in _EXCLUSIVE if group & set(given)))
    kept = {name: value for name, value in flags.items() if name not in replaced and name in known}
    if "option" in given and "option" in flags:
        # Each of its keys is a flag of its own.
        kept["option"] = _other_options(flags["option"], given["option"])
    words = _words(kept)
    return [*words, *(["--", *sources] if sources else [])]


def task_flags(task: Task) -> dict[str, Value]:
    """Return all flags of a task, with those that have keys of their own."""
    flags = dict(task.flags)
    if task.partial:
        flags["partial"] = True
    if task.checkpoint_seconds is not None:
        flags["checkpoint"] = f"{plain_number(task.checkpoint_seconds)}s"
    if task.time_limit_seconds is not None:
        flags["time-limit"] = f"{plain_number(task.time_limit_seconds)}s"
    return flags


def _task_flags(task: Task, given: Collection[str], arguments: Collection[str]) -> dict[str, Value]:
    flags = task_flags(task)
    if task.name == "forget" and (arguments or any(name.startswith(_RULE) for name in given)):
        # A rule of the profile must not remove what the command line does not name.
        return {name: value for name, value in flags.items() if not name.startswith(_RULE) and name != _ALLOWS_NO_RULE}
    if task.name == "backup" and {*_STREAMS, "dry-run"} & set(given):
        return {name: value for name, value in flags.items() if name not in ("partial", "checkpoint", "time-limit")}
    return flags


def _words(flags: Mapping[str, Value]) -> list[str]:
    return [word for name, value in flags.items() for word in flag_words(name, value)]


def flags_in(words: Iterable[str]) -> dict[str, list[str]]:
    """Return the values of the flags in words of the form --name or --name=value, by name."""
    found: dict[str, list[str]] = {}
    for word in takewhile(lambda word: word != "--", words):
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found.setdefault(name, []).append(value)
    return found


def _other_options(options: Value, typed: Iterable[str]) -> Value:
    """Return the items key=value of the profile whose keys the command line does not have."""
    items = options if isinstance(options, tuple) else (options,)
    keys = {_key(item) for value in typed for item in value.split(",")}
    return tuple(item for item in items if not isinstance(item, bool) and _key(str(item)) not in keys)


def _key(item: str) -> str:
    return item.partition("=")[0].strip().lower()
