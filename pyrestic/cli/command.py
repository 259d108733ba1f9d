"""What makes a function a command: global flags, settings and a terminal handed to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from pyrestic.cli.options import Settings, global_flags, make_settings, take_global
from pyrestic.cli.terminal import Terminal


@dataclass(frozen=True, slots=True)
class App:
    """What every command gets first."""

    settings: Settings
    terminal: Terminal


class Command(click.Command):
    """A command whose function is called with an App and its own flags; it returns the exit code or None."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Take the global flags out of the parameters and run the function."""
        values = dict(ctx.find_object(dict) or {})
        take_global(ctx.params, values)
        settings = make_settings(values)
        ctx.params["app"] = App(settings, Terminal(settings))
        return super().invoke(ctx)


def define(name: str, help: str, **settings: Any) -> Callable[[Callable[..., int | None]], click.Command]:  # noqa: A002, ANN401
    """Return a decorator that makes a function the command of this name."""

    def decorate(function: Callable[..., int | None]) -> click.Command:
        make = click.command(
            name, cls=Command, help=help, context_settings={"help_option_names": ["-h", "--help"]}, **settings
        )
        return make(global_flags(hidden=True)(function))

    return decorate
