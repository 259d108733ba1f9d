"""Turns functions into commands: passes global flags, settings and a terminal to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from pyrestic.cli.command_name import split_command
from pyrestic.cli.flags import make_plain
from pyrestic.cli.options import Settings, global_flags, make_settings, take_global
from pyrestic.cli.quoting import quote
from pyrestic.cli.streams import keep_going
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.nearest import suggest


@dataclass(frozen=True, slots=True)
class App:
    """The first argument of every command."""

    settings: Settings
    terminal: Terminal


class Command(click.Command):
    """A command whose function is called with an App and its own flags; it returns the exit code or None.

    With `any_arguments`, it ignores unused arguments, as some of restic's commands do. `prints` means that it only
    prints: it ends when its output cannot be written.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        any_arguments: bool = False,
        prints: bool = False,
        **settings: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **settings)
        self.any_arguments = any_arguments
        self.prints = prints
        self.allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the flags as restic does."""
        return super().parse_args(ctx, make_plain(args, self, ctx))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Take the global flags out of the parameters and run the function."""
        if ctx.args and not self.any_arguments:
            name = ctx.command_path.partition(" ")[2]
            raise UsageError(
                f"the {name} command expects no arguments, only options - please see `{ctx.command_path} --help` for"
                " usage and flags"
            )
        keep_going(without_output=not self.prints)
        values = dict(ctx.find_object(dict) or {})
        take_global(ctx.params, values)
        settings = make_settings(values)
        ctx.params["app"] = App(settings, Terminal(settings))
        if not settings.max_cpu:
            return super().invoke(ctx)
        # Rarely used: other commands avoid the import.
        from pyrestic.localfs.cpu_limit import limited_cpu
        from pyrestic.priority import lower_priority

        lower_priority()
        with limited_cpu(settings.max_cpu):
            return super().invoke(ctx)


class Group(click.Group):
    """Subcommands: the command's flags may precede its name; without a command, help is shown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the command and leave all flags to it; without one, they belong to the group."""
        name, rest = split_command(args, self, ctx)
        if not self.names_command(ctx, name):
            make_plain(args, self, ctx)
            self._tell_unknown(ctx, name)
            return super().parse_args(ctx, ["--help"])
        return super().parse_args(ctx, [name, *rest])

    def _tell_unknown(self, ctx: click.Context, name: str) -> None:
        """Add to the help that the command does not exist, with suggestions."""
        if not name or name == "help":
            return
        hint = suggest(name, self.list_commands(ctx), "commands")
        lines = [f'unknown command "{quote(name)}" for "{ctx.command_path}"', *([hint] if hint else [])]
        click.echo("\n".join(lines), err=True)

    def names_command(self, ctx: click.Context, name: str) -> bool:
        """Tell whether a word must be a command."""
        return bool(name) and self.get_command(ctx, name) is not None

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command, which receives all the flags."""
        ctx.params.clear()
        return super().invoke(ctx)


_CONTEXT = {"help_option_names": ["-h", "--help"]}


def define_group(name: str, help: str) -> Callable[[Callable[[], None]], Group]:  # noqa: A002 - click's word
    """Return a decorator that makes a function a group of commands."""

    def decorate(function: Callable[[], None]) -> Group:
        return click.group(name, cls=Group, help=help, context_settings=_CONTEXT)(global_flags(hidden=True)(function))

    return decorate


def define(
    name: str,
    help: str,  # noqa: A002 - click's word
    **settings: Any,  # noqa: ANN401 - click's
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Return a decorator that makes a function the command of this name; `settings` are those of Command."""

    def decorate(function: Callable[..., int | None]) -> click.Command:
        make = click.command(name, cls=Command, help=help, context_settings=_CONTEXT, **settings)
        return make(global_flags(hidden=True)(function))

    return decorate
