"""Which of the arguments names the command, as restic's library finds it: flags may stand on either side of it."""

from collections.abc import Sequence

import click


def split_command(arguments: Sequence[str], group: click.Command, ctx: click.Context) -> tuple[str, list[str]]:
    """Return the name of the command of a group, "" if none is named, and all other arguments in their order.

    What stands before the name belongs to the command all the same. A flag that the group does not know, the command's
    own among them, is taken for one with a value: in `--dry-run backup x` the command is `x`.
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
    """Tell whether the next argument is taken for this flag's value."""
    is_flag = word.startswith("--") or (word.startswith("-") and len(word) == 2)
    return is_flag and "=" not in word and word not in switches
