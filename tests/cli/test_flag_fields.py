"""Flags as fields of a class: from the declaration to the value, for mypy and at run time."""

from typing import Any

import click
import pytest

from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import (
    Flags,
    arguments,
    collect,
    count,
    make_parameters,
    optional_text,
    parsed,
    switch,
    text,
    texts,
)
from pyrestic.cli.flags import INTEGER, OWN_TITLE, FlagOption, Parsed
from pyrestic.errors import UsageError


class Shared(Flags):
    TITLE = "What is shared"
    tags: tuple[str, ...] = texts("--tag", help="tags", variable="TAGS")


class Example(Shared):
    dry_run: bool = switch("-n", "--dry-run", help="change nothing")
    loudness: int = count("-v", "--verbose", help="say more")
    place: str = text("--place", default="here", help="a place", variable="PLACE")
    host: str | None = optional_text("--host", help="a host")
    size: int = parsed("--size", type=Parsed("number", int, int), default=7, help="a size", variable="SIZE")
    limit: int | None = parsed("--limit", type=INTEGER, help="a limit")
    old: bool = switch("--old", advice="use --new")
    names: tuple[str, ...] = arguments("NAME")


def parse(*words: str, **environment: str) -> Example:
    context = click.Command("example", params=make_parameters(Example)).make_context("example", list(words))
    return collect(Example, context.params, environment)


def test_a_flag_that_is_not_given_has_its_default() -> None:
    for flags in (Example(), parse()):
        assert (flags.dry_run, flags.loudness, flags.place, flags.host, flags.size) == (False, 0, "here", None, 7)
        assert (flags.limit, flags.old, flags.tags, flags.names) == (None, False, (), ())


def test_a_given_flag_has_its_value() -> None:
    flags = parse("-n", "-vv", "--place", "", "--host=", "--size", "3", "--limit=-1", "--tag", "a", "--tag", "b", "x")
    assert (flags.dry_run, flags.loudness, flags.place, flags.host, flags.size) == (True, 2, "", "", 3)
    assert (flags.limit, flags.tags, flags.names) == (-1, ("a", "b"), ("x",))


def test_a_variable_replaces_the_default_and_not_a_given_flag() -> None:
    flags = parse(PLACE="there", SIZE="5", TAGS="a,b")
    assert (flags.place, flags.size, flags.tags) == ("there", 5, ("a,b",))
    flags = parse("--place", "", "--size=0", "--tag=x", PLACE="there", SIZE="wrong", TAGS="a")
    assert (flags.place, flags.size, flags.tags) == ("", 0, ("x",))
    assert parse(PLACE="").place == "here"


def test_a_variable_has_a_parser_of_its_own_and_is_named_in_the_error() -> None:
    def refuse(value: str) -> int:
        raise UsageError(f"{value} is refused")

    class Strict(Flags):
        size: int = parsed("--size", type=Parsed("number", int, refuse), default=7, help="a size", variable="SIZE")

    assert collect(Strict, {"size": 5}, {"SIZE": "x"}).size == 5
    with pytest.raises(UsageError, match=r'^invalid value for SIZE "x": x is refused$'):
        collect(Strict, {}, {"SIZE": "x"})


def test_the_parameters_have_the_titles_of_their_classes_and_hide_deprecated_flags() -> None:
    options = [one for one in make_parameters(Example) if isinstance(one, FlagOption)]
    assert [one.title for one in options] == [OWN_TITLE] * 7 + [Shared.TITLE]
    assert [one.opts for one in options if one.hidden] == [["--old"]]
    assert [one.help for one in options if one.name == "place"] == ["a place ($PLACE)"]


def test_flags_cannot_be_changed() -> None:
    flags: Any = parse()
    with pytest.raises(AttributeError, match="cannot assign to field 'place'"):
        flags.place = "elsewhere"


def test_mypy_refuses_wrong_types() -> None:
    """If mypy accepted one of these lines, it would call the comment on it unused, which is an error, too."""

    class Wrong(Flags):
        a: str = switch("--a")  # type: ignore[assignment]
        b: str = optional_text("--b")  # type: ignore[assignment]
        c: tuple[int, ...] = texts("--c")  # type: ignore[assignment]
        d: int = parsed("--d", type=INTEGER, help="")  # type: ignore[assignment]
        e: int = parsed("--e", type=INTEGER, default="", help="")  # type: ignore[misc]
        f: bool = count("--f", help="")  # type: ignore[assignment]

    Example(dry_run="yes")  # type: ignore[arg-type]
    Example(no_such_flag=True)  # type: ignore[call-arg]
    assert not hasattr(Wrong(), "g")
    with pytest.raises(AttributeError):
        Wrong().g  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        Wrong().b = "x"  # type: ignore[misc]

    @define("example", "An example.", Example)  # type: ignore[arg-type]
    def for_others(app: App, flags: Shared, other: int) -> None: ...

    @define("example", "An example.", Shared)  # type: ignore[arg-type]
    def for_another_class(app: App, flags: Example) -> None: ...
