"""Which test uses which command, flag and variable, with which program: the ground of docs/compat.md."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click

from pyrestic.cli.flags import GLOBAL_TITLE, FlagOption
from pyrestic.cli.main import program

FOLDER = "PYRESTIC_TEST_USAGE"
"""The variable that names the folder in which each process of the tests leaves what it saw."""
OURS = "pyrestic"


class Use(NamedTuple):
    """A program (`pyrestic` or `restic`) was given a flag (empty: none) of a command (empty: any) in a test.

    `worked` says that it did not end with an error.
    """

    test: str
    program: str
    command: str
    flag: str
    worked: bool


_seen: set[Use] = set()


def note(
    name: str, words: Iterable[str | bytes | os.PathLike[str]], variables: Mapping[str, object], code: int = 0
) -> None:
    """Note a command line, the variables of its environment that the test has set, and the exit code."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].partition("[")[0]
    which = OURS if name == OURS else "restic"
    command, flags = parse([os.fsdecode(word) for word in words])
    worked = code in (0, 3)
    _seen.update(Use(test, which, command, flag, worked) for flag in ("", *flags))
    _seen.update(Use(test, which, "", name, worked) for name, value in variables.items() if value is not None)


def parse(words: list[str]) -> tuple[str, list[str]]:
    """Return the command of a line, such as `repair index`, and the long names of its flags."""
    command: click.Command = program
    path: list[str] = []
    flags: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if word.startswith("-") and len(word) > 1:
            flags += _flags(command, word, rest)
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                break
            command, path = found, [*path, word]
    return " ".join(path), flags


def _flags(command: click.Command, word: str, rest: Iterator[str]) -> list[str]:
    """Return the flags of one word; a value in a word of its own is taken from the rest."""
    known = options(command)
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        option = known.get(name)
        if option is not None and _takes_value(option) and not equals:
            next(rest, None)
        return [long_name(option)] if option is not None else []
    flags = []
    for place, letter in enumerate(word[1:], 2):
        option = known.get(f"-{letter}")
        if option is None:
            break
        flags.append(long_name(option))
        if _takes_value(option):
            if place == len(word):
                next(rest, None)
            break
    return flags


def options(command: click.Command) -> dict[str, click.Option]:
    """Return the flags of a command, global ones included, by each of their names."""
    found: dict[str, click.Option] = {}
    for option in [*program.params, *command.params]:
        if isinstance(option, click.Option):
            found |= dict.fromkeys((*option.opts, *option.secondary_opts), option)
    return found


def own_options(command: click.Command) -> list[click.Option]:
    """Return the flags of a command that are not global, in the order of their names."""
    own = [one for one in command.params if isinstance(one, FlagOption) and one.title != GLOBAL_TITLE]
    return sorted(own, key=long_name)


def commands(command: click.Command = program, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command that can be run with its name, such as `repair index`."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None:
            yield from commands(below, f"{path} {name}".strip())


def long_name(option: click.Option) -> str:
    """Return the name that stands for a flag."""
    return next((name for name in option.opts if name.startswith("--")), option.opts[0])


def _takes_value(option: click.Option) -> bool:
    return not (option.is_flag or option.count)


def leave(worker: str) -> None:
    """Write what was seen to the folder for it, if there is one."""
    folder = os.environ.get(FOLDER)
    if folder:
        (Path(folder) / f"{worker}-{os.getpid()}.json").write_text(json.dumps(sorted(_seen)))


def collect(folder: Path) -> set[Use]:
    """Return what all processes have left in a folder."""
    return {Use(*use) for path in folder.glob("*.json") for use in json.loads(path.read_text())}
