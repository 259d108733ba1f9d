"""Compares the flags in profiles with those that the commands have."""

import click

from pyrestic.cli.flags import FlagError, make_plain
from pyrestic.errors import UsageError
from pyrestic.nearest import suggest
from pyrestic.profiles.profile import Value
from pyrestic.profiles.resolve import CheckFlag
from pyrestic.profiles.words import flag_words

_OWN_KEYS = {
    "repo": "the key repo of the profile",
    "repository-file": "the key repo of the profile",
    "password-file": "password = { file = PATH }",
    "password-command": "password = { command = [WORDS] }",
    "profile": "the key inherit of the profile",
    "config": "a file in profiles.d",
}
"""Flags that a profile cannot have, and what replaces them."""
_ONLY_TYPED = ("help", "from-repo", "stdin")


def check_flag(command: click.Command, ctx: click.Context, name: str, value: Value) -> None:
    """Raise UsageError if a command has no such flag, or the value is invalid for it."""
    if name in _OWN_KEYS:
        raise UsageError(f"{_OWN_KEYS[name]} replaces this flag")
    options = {
        one.removeprefix("--"): option
        for option in command.get_params(ctx)
        if isinstance(option, click.Option)
        for one in option.opts
        if one.startswith("--")
    }
    option = options.get(name)
    if option is None or name in _ONLY_TYPED:
        raise UsageError("there is no such key or flag", hint=suggest(name, options, "keys"))
    if name == "dry-run":
        raise UsageError(
            "a task would do nothing, and count as good", hint="`pyrestic run --dry-run` shows what is due."
        )
    is_switch = option.is_flag or option.count
    if isinstance(value, tuple) and not option.multiple:
        raise UsageError("this flag has one value, not a list")
    if is_switch != isinstance(value, bool) and not (option.count and isinstance(value, int)):
        raise UsageError("must be true or false" if is_switch else "must be a text or a number")
    try:
        make_plain(flag_words(name, value), command, ctx)
    except FlagError as error:
        raise UsageError(error.message) from None


def make_flag_check(root: click.Context) -> CheckFlag:
    """Return what compares the flags of all profiles with those of the program's commands."""
    program = root.command

    def check(table: str, name: str, value: Value) -> None:
        command = program.get_command(root, table) if table and isinstance(program, click.Group) else None
        if command is None:
            check_flag(program, root, name, value)
        else:
            check_flag(command, click.Context(command, parent=root, info_name=table), name, value)

    return check
