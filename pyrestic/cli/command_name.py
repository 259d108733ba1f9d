"""Finds the command name among the arguments, as restic's library does: flags may come before or after it."""

from collections.abc import Sequence

import click


def split_command(arguments: Sequence[str], group: click.Command, ctx: click.Context) -> tuple[str, list[str]]:
    """Return the command name of a group, "" if there is none, and all other arguments in order.

    Flags before the name belong to the command, too. An unknown flag, which includes the command's own, counts as one
    with a value: in `--dry-run backup x` the command is `x`.
    """
    position = _find_name(arguments, _switches(group, ctx))
    if position is None:
        return "", list(arguments)
    return arguments[position], [*arguments[:position], *arguments[position + 1 :]]


def _switches(group: click.Command, ctx: click.Context) -> frozenset[str]:
    """Return the flags of a group that take no value; restic adds --help only when the command is found."""
    return frozenset(
        name
        for parameter in group.get_params(ctx)
        if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count)
        for name in parameter.opts
        if name not in ("-h", "--help")
    )


def _find_name(arguments: Sequence[str], switches: frozenset[str]) -> int | None:
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return None
        if _takes_next(word, switches):
            if position + 2 >= len(arguments):
                return None
            position += 2
            continue
        if word and not word.startswith("-"):
            return position
        position += 1
    return None


def _takes_next(word: str, switches: frozenset[str]) -> bool:
    """Tell whether the next argument is this flag's value."""
    is_flag = word.startswith("--") or (word.startswith("-") and len(word) == 2)
    return is_flag and "=" not in word and word not in switches
