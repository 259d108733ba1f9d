"""Flags as fields of frozen dataclasses: one class a command, each flag declared once, for click and for mypy alike.

    class TagFlags(StrictSnapshotFlags):
        add: tuple[str, ...] = texts("--add", help="add these tags: tag[,tag…]")

The functions below declare a flag. Groups of flags that commands share are classes from which theirs inherit.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeVar, cast, dataclass_transform, overload

import click

from pyrestic.cli.flags import OWN_TITLE, FlagOption, Parsed
from pyrestic.errors import UsageError


class _Flag(NamedTuple):
    """A flag, or the arguments of a command; `settings` are those of the click parameter."""

    default: object
    names: tuple[str, ...]
    variable: str
    settings: dict[str, Any]


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Flags:
    """Base of the classes of flags. For mypy they are frozen dataclasses, for a program they behave as such.

    Real dataclasses compile their methods whenever the program starts: a tenth of the time until a backup begins.
    """

    TITLE: ClassVar[str] = OWN_TITLE
    """The flags of a class are shown below it; classes do not inherit it."""
    own: ClassVar[Mapping[str, _Flag]] = {}
    """The flags that the class declares itself, by the names of their fields."""

    def __init_subclass__(cls) -> None:
        cls.own = {name: value for name, value in vars(cls).items() if isinstance(value, _Flag)}
        for name, flag in cls.own.items():
            setattr(cls, name, flag.default)

    def __init__(self, **values: object) -> None:
        vars(self).update(values)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to field {name!r}")


T = TypeVar("T")
F = TypeVar("F", bound=Flags)


def _declare(names: tuple[str, ...], absent: T, variable: str = "", **settings: Any) -> T:  # noqa: ANN401 - click's
    """Return a flag; for mypy it is the value if the flag is not given."""
    if variable:
        settings["help"] += f" (${variable})"
    return cast("T", _Flag(absent, names, variable, settings))


def switch(*names: str, help: str = "", advice: str = "") -> bool:  # noqa: A002 - click's word
    """Declare a flag without value. With advice, it is deprecated, as in all functions here."""
    return _declare(names, False, is_flag=True, flag_value=True, type=bool, help=help, advice=advice)


def count(*names: str, help: str) -> int:  # noqa: A002 - click's word
    """Declare a flag whose repetitions are counted."""
    return _declare(names, 0, count=True, default=0, help=help)


def text(
    *names: str,
    value: str = "",
    default: str = "",
    help: str = "",  # noqa: A002 - click's word
    variable: str = "",
    advice: str = "",
    hidden: bool = False,
) -> str:
    """Declare a flag with a text, which help calls `value`; the variable replaces the default if it is not empty."""
    return _declare(names, default, variable, metavar=value or None, help=help, advice=advice, hidden=hidden)


def optional_text(
    *names: str,
    value: str = "",
    help: str = "",  # noqa: A002 - click's word
    advice: str = "",
    hidden: bool = False,
) -> str | None:
    """Declare a flag with a text, None if it is not given: an empty text means something else."""
    return _declare(names, cast("str | None", None), metavar=value or None, help=help, advice=advice, hidden=hidden)


def texts(
    *names: str,
    value: str = "",
    help: str = "",  # noqa: A002 - click's word
    variable: str = "",
    advice: str = "",
) -> tuple[str, ...]:
    """Declare a flag that may be given several times."""
    empty: tuple[str, ...] = ()
    return _declare(names, empty, variable, multiple=True, metavar=value or None, help=help, advice=advice)


@overload
def parsed(*names: str, type: Parsed[T], help: str) -> T | None: ...


@overload
def parsed(*names: str, type: Parsed[T], default: T, help: str, variable: str = "") -> T: ...


def parsed(
    *names: str,
    type: Parsed[T],  # noqa: A002 - click's word
    default: T | None = None,
    help: str,  # noqa: A002 - click's word
    variable: str = "",
) -> T | None:
    """Declare a flag whose text is parsed; without default, its value is None if it is not given."""
    return _declare(names, default, variable, type=type, help=help)


def arguments(shown: str, *, files: bool = False) -> tuple[str, ...]:
    """Declare the arguments of the command, as the usage shows them; shells complete files if they are such."""
    empty: tuple[str, ...] = ()
    return _declare((), empty, nargs=-1, metavar=f"[{shown}]...", type=click.Path() if files else None)


def make_parameters(flags: type[Flags]) -> list[click.Parameter]:
    """Return the click parameters of a class: its own flags first, then those of its bases."""
    return [
        _make_parameter(name, flag, vars(owner).get("TITLE", OWN_TITLE))
        for owner in _owners(flags)
        for name, flag in owner.own.items()
    ]


def _owners(flags: type[Flags]) -> list[type[Flags]]:
    return [owner for owner in flags.__mro__ if issubclass(owner, Flags)]


def _make_parameter(name: str, flag: _Flag, title: str) -> click.Parameter:
    if not flag.names:
        return click.Argument([name], **flag.settings)
    return FlagOption([*flag.names, name], title=title, **{"default": None, **flag.settings})


def collect(flags: type[F], values: Mapping[str, Any], environment: Mapping[str, str]) -> F:
    """Return the flags of a class, given click's values; raise UsageError for an invalid variable."""
    given = {}
    for owner in _owners(flags):
        for name, flag in owner.own.items():
            value = values.get(name)
            if value is None or value == ():
                value = _from_variable(flag, environment)
            if value is not None:
                given[name] = value
    return flags(**given)


def _from_variable(flag: _Flag, environment: Mapping[str, str]) -> object:
    """Return the value of a flag in the environment, None if there is none; raise UsageError."""
    value = environment.get(flag.variable, "") if flag.variable else ""
    if not value:
        return None
    kind = flag.settings.get("type")
    if isinstance(kind, Parsed):
        return parse_variable(flag.variable, value, kind.parse_variable)
    return (value,) if flag.settings.get("multiple") else value


def parse_variable(variable: str, value: str, parse: Callable[[str], T]) -> T:
    """Return the parsed value of an environment variable; raise UsageError that names it."""
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f'invalid value for {variable} "{value}": {error}') from None
