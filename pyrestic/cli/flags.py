"""Flags in restic's syntax, converted for click: `--flag=true`, `-r=place`, `--verbose=2`, bundles.

Restic's flag library reads them from left to right and stops at the first error, with messages that scripts know. Click
does neither, so arguments are parsed here first; click receives `--flag`, `--flag=value`, `--` and the rest.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NoReturn, TypeVar

import click

from pyrestic.cli.arguments import parse_bool
from pyrestic.errors import UsageError
from pyrestic.golang import parse_duration, parse_integer
from pyrestic.nearest import ask_meant, find_nearest

T = TypeVar("T")
OWN_TITLE = "Options"
GLOBAL_TITLE = "Global Options"


MOST_COUNTED = 2
"""Repetitions of a flag that is counted, as in `-vv`; more have no further effect."""


class FlagError(click.UsageError):
    """An unknown flag or one with an invalid value; the message is shown unchanged, followed by the hint if any."""

    def __init__(self, message: str, ctx: click.Context, *, hint: str = "") -> None:
        super().__init__(message, ctx)
        self.hint = hint


class Parsed(click.ParamType, Generic[T]):  # type: ignore[type-arg]  # older versions of click have none
    """A flag type whose value is the result of a function, which raises UsageError.

    `parse_variable` is the function for the environment variable of the flag, if it is another one.
    """

    def __init__(self, name: str, parse: Callable[[str], T], parse_variable: Callable[[str], T] | None = None) -> None:
        self.name = name
        self.parse = parse
        self.parse_variable = parse_variable or parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the value; fail as click does."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


INTEGER = Parsed("number", lambda text: parse_integer(text, signed=True))
NATURAL = Parsed("number", lambda text: parse_integer(text, signed=False))
DURATION = Parsed("duration", parse_duration)


class FlagOption(click.Option):
    """A flag that is shown below a title; with `advice`, which names the replacement, it is deprecated and hidden."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's signature
        title: str,
        advice: str = "",
        hidden: bool = False,
        **settings: Any,  # noqa: ANN401 - click's signature
    ) -> None:
        super().__init__(*args, **{**settings, "hidden": hidden or bool(advice)})
        self.title = title
        self.advice = advice


def make_plain(arguments: Sequence[str], command: click.Command, ctx: click.Context) -> list[str]:
    """Return the arguments in click's syntax; raise FlagError for the first invalid flag.

    The object of the context records --json under "as_json", which decides the form of errors to its right.
    """
    return _Reader(arguments, command, ctx).read()


class _Reader:
    def __init__(self, arguments: Sequence[str], command: click.Command, ctx: click.Context) -> None:
        self._rest = list(reversed(arguments))
        self._ctx = ctx
        self._state: dict[str, Any] = ctx.ensure_object(dict)
        self._flags: list[str] = []
        self._others: list[str] = []
        self._options: dict[str, click.Option] = {}
        for parameter in command.get_params(ctx):
            if isinstance(parameter, click.Option):
                self._options |= dict.fromkeys(parameter.opts, parameter)

    def read(self) -> list[str]:
        while self._rest:
            argument = self._rest.pop()
            if argument == "--":
                self._others += reversed(self._rest)
                break
            if argument.startswith("--"):
                self._read_long(argument)
            elif argument.startswith("-") and argument != "-":
                self._read_short(argument)
            else:
                self._others.append(argument)
        return self._flags + (["--"] if self._others else []) + self._others

    def _read_long(self, argument: str) -> None:
        name, equals, value = argument.partition("=")
        if name.startswith("---") or name == "--":
            self._refuse(f"bad flag syntax: {argument}")
        option = self._options.get(name)
        if option is None:
            self._refuse(f"unknown flag: {name}", find_nearest(name, self._own_names()))
        if equals:
            self._set(option, value)
        elif _takes_value(option):
            self._set(option, self._next(f"flag needs an argument: {name}"))
        else:
            self._set(option, None)

    def _own_names(self) -> list[str]:
        """Return the visible long names: global flags would be near to too many words."""
        return [
            name
            for name, option in self._options.items()
            if name.startswith("--") and not option.hidden and not (self._ctx.parent and _is_global(option))
        ]

    def _read_short(self, argument: str) -> None:
        bundle = argument[1:]
        while bundle:
            letter, rest = bundle[0], bundle[1:]
            option = self._options.get("-" + letter)
            if option is None:
                self._refuse(f"unknown shorthand flag: {letter!r} in -{bundle}")
            if len(rest) > 1 and rest[0] == "=":
                self._set(option, rest[1:])
                return
            if _takes_value(option):
                self._set(option, rest or self._next(f"flag needs an argument: {letter!r} in -{bundle}"))
                return
            self._set(option, None)
            bundle = rest

    def _next(self, otherwise: str) -> str:
        if not self._rest:
            self._refuse(otherwise)
        return self._rest.pop()

    def _set(self, option: click.Option, value: str | None) -> None:
        """Record a flag; without value it is a switch or a counter."""
        name = _long_name(option)
        if isinstance(option, FlagOption) and option.advice:
            click.echo(f"Flag {name} has been deprecated, {option.advice}", err=True)
        try:
            if _takes_value(option):
                option.type.convert(value, option, self._ctx)
                self._flags.append(f"{name}={value}")
            elif value is None:
                self._flags.append(name)
            else:
                count = parse_integer(value, signed=True) if option.count else int(parse_bool(value))
                # A long number must not become as many flags.
                self._flags = [flag for flag in self._flags if flag != name] + [name] * min(count, MOST_COUNTED)
        except (UsageError, click.BadParameter) as error:
            reason = error.message if isinstance(error, click.BadParameter) else str(error)
            short = next((f"{one}, " for one in option.opts if not one.startswith("--")), "")
            self._refuse(f'invalid argument "{value}" for "{short}{name}" flag: {reason}')
        if name == "--json":
            self._state["as_json"] = name in self._flags

    def _refuse(self, message: str, near: Sequence[str] = ()) -> NoReturn:
        raise FlagError(message, self._ctx, hint=ask_meant(near))


def _is_global(option: click.Option) -> bool:
    return isinstance(option, FlagOption) and option.title == GLOBAL_TITLE


def _takes_value(option: click.Option) -> bool:
    return not (option.is_flag or option.count)


def _long_name(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))
