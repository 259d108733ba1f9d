"""Turns functions into commands: passes settings, a terminal and their flags to them; and groups commands."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

import click

from pyrestic.cli.command_name import split_command
from pyrestic.cli.flag_fields import Flags, collect, make_parameters
from pyrestic.cli.flags import make_plain
from pyrestic.cli.help import show_options
from pyrestic.cli.interrupts import watch_signals
from pyrestic.cli.options import GLOBAL_PARAMETERS, Settings, make_settings, needs_profile
from pyrestic.cli.quoting import quote
from pyrestic.cli.streams import keep_going
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.nearest import suggest

if TYPE_CHECKING:
    from pyrestic.cli.profile_choice import ProfileChoice

F = TypeVar("F", bound=Flags)
_LONGEST = 80
"""Length at which descriptions of commands are cut."""


@dataclass(frozen=True, slots=True)
class App:
    """The first argument of every command."""

    settings: Settings
    terminal: Terminal
    profile: str = ""
    """The name of the profile whose repository and flags are used, "" for none."""

    def say(self, sentence: str) -> None:
        """Print a sentence unless quiet, also with --json: for commands whose output is text."""
        if not self.settings.quiet:
            self.terminal.print(sentence)


Run = Callable[[App, Mapping[str, Any]], int | None]
"""A command, called with click's values of its flags."""
_CHOSEN = "pyrestic.profile"
"""Where click's context has the chosen profile."""
_CONTEXT = {"help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command that runs with an App and its own flags; it returns the exit code or None.

    With `any_arguments`, it ignores unused arguments, as some of restic's commands do. `prints` means that it only
    prints: it ends when its output cannot be written. One that `forks` handles signals itself and has no thread. Only
    if it `uses_repository`, a profile has an effect.
    """

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - click's word
        run: Run,
        parameters: list[click.Parameter],
        *,
        any_arguments: bool,
        prints: bool,
        forks: bool,
        hidden: bool,
        uses_repository: bool,
    ) -> None:
        parameters = [*parameters, *GLOBAL_PARAMETERS]
        super().__init__(name, help=help, params=parameters, hidden=hidden, context_settings=_CONTEXT)
        self.any_arguments = any_arguments
        self.prints = prints
        self.uses_repository = uses_repository
        self.forks = forks
        self.allow_extra_args = True
        self._run = run

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the flags below their titles."""
        show_options(self, ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the flags as restic does, and add those of the profile."""
        plain = make_plain(args, self, ctx)
        if self.uses_repository and not ctx.resilient_parsing and "--help" not in plain and needs_profile(plain):
            # Rarely used: other commands avoid the import.
            from pyrestic.cli.profile_choice import choose_profile

            chosen = choose_profile(self, ctx, plain)
            if chosen is not None:
                ctx.meta[_CHOSEN] = chosen
                plain = chosen.words
        return super().parse_args(ctx, plain)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Make the settings from the global flags and run the command."""
        if ctx.args and not self.any_arguments:
            name = ctx.command_path.partition(" ")[2]
            raise UsageError(
                f"the {name} command expects no arguments, only options - please see `{ctx.command_path} --help` for"
                " usage and flags"
            )
        keep_going(without_output=not self.prints)
        if not self.forks:
            watch_signals()
        chosen: ProfileChoice | None = ctx.meta.get(_CHOSEN)
        settings = make_settings(ctx.params, chosen.make_environment(os.environ) if chosen else None)
        app = App(settings, Terminal(settings), chosen.profile.name if chosen else "")
        if chosen:
            chosen.tell(settings, app.terminal)
        if not settings.max_cpu or self.forks:
            return self._run(app, ctx.params)
        # Rarely used: other commands avoid the import.
        from pyrestic.localfs.cpu_limit import limited_cpu
        from pyrestic.priority import lower_priority

        lower_priority()
        with limited_cpu(settings.max_cpu):
            return self._run(app, ctx.params)


def _as_item(sentence: str) -> str:
    """Return a description as the list of all commands has it."""
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


class Group(click.Group):
    """Subcommands: the command's flags may precede its name; without a command, help is shown."""

    def __init__(self, name: str, help: str, *commands: click.Command) -> None:  # noqa: A002 - click's word
        below = {one.name: one for one in commands if one.name}
        super().__init__(name, below, help=help, params=list(GLOBAL_PARAMETERS), context_settings=_CONTEXT)

    def titled_commands(self, ctx: click.Context) -> dict[str, dict[str, str]]:
        """Return names and descriptions of the commands, below titles."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return {
            "Commands": {name: _as_item(one.get_short_help_str(_LONGEST)) for name, one in found if one is not None}
        }

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the commands, then the flags."""
        sections = self.titled_commands(ctx)
        width = max(len(name) for names in sections.values() for name in names)
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), description) for name, description in names.items()])
        show_options(self, ctx, formatter)

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


@overload
def define(
    name: str,
    help: str,
    *,
    any_arguments: bool = False,
    prints: bool = False,
    forks: bool = False,
    hidden: bool = False,
    uses_repository: bool = True,
) -> Callable[[Callable[[App], int | None]], Command]: ...


@overload
def define(
    name: str,
    help: str,
    flags: type[F],
    *,
    any_arguments: bool = False,
    prints: bool = False,
    forks: bool = False,
    hidden: bool = False,
    uses_repository: bool = True,
) -> Callable[[Callable[[App, F], int | None]], Command]: ...


def define(
    name: str,
    help: str,  # noqa: A002 - click's word
    flags: type[F] | None = None,
    *,
    any_arguments: bool = False,
    prints: bool = False,
    forks: bool = False,
    hidden: bool = False,
    uses_repository: bool = True,
) -> Callable[[Callable[..., int | None]], Command]:
    """Return a decorator that makes a function the command of this name; `flags` is the class of its flags, if any."""

    def decorate(function: Callable[..., int | None]) -> Command:
        def run(app: App, values: Mapping[str, Any]) -> int | None:
            return function(app) if flags is None else function(app, collect(flags, values, app.settings.environment))

        parameters = [] if flags is None else make_parameters(flags)
        return Command(
            name,
            help,
            run,
            parameters,
            any_arguments=any_arguments,
            prints=prints,
            forks=forks,
            hidden=hidden,
            uses_repository=uses_repository,
        )

    return decorate
