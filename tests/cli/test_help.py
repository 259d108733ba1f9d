"""Help texts: flags by purpose, the global ones last, commands by what a person wants."""

import pkgutil
import re
from collections.abc import Iterator

import click
import pytest

from pyrestic.cli import commands
from pyrestic.cli.flags import GLOBAL_TITLE, OWN_TITLE, FlagOption
from pyrestic.cli.main import COMMAND_GROUPS, COMMANDS, MODULES, OLD_COMMANDS, program
from pyrestic.cli.manpages import make_pages
from pyrestic.cli.options import GLOBAL_PARAMETERS

MANY = 8
"""A command with more flags of its own shows them under several titles."""


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, click.Context(below, info_name=name, parent=context))


ALL = list(walk(program, click.Context(program, info_name="pyrestic", **program.context_settings)))
PAGES = dict(make_pages(program, "pyrestic"))
by_name = pytest.mark.parametrize(("command", "context"), [one[1:] for one in ALL], ids=[one[0] for one in ALL])


def sections(text: str) -> dict[str, str]:
    """Return the text below each title."""
    titles = [*re.finditer(r"^(\S[^\n]*):\n", text, re.MULTILINE)]
    ends = [*(title.start() for title in titles[1:]), len(text)]
    return {title[1]: text[title.end() : end] for title, end in zip(titles, ends, strict=True)}


def names_in(section: str) -> list[str]:
    """Return the long names of the flags that a section describes."""
    return re.findall(r"^  (?:-\w, )?(--[\w-]+)", section, re.MULTILINE)


@by_name
def test_all_global_flags_are_shown_last_and_no_other_flag_with_them(
    command: click.Command, context: click.Context
) -> None:
    shown = sections(command.get_help(context))
    assert list(shown)[-1] == GLOBAL_TITLE
    wanted = [name for one in GLOBAL_PARAMETERS for name in one.opts if name.startswith("--")]
    assert [name for name in names_in(shown[GLOBAL_TITLE]) if name != "--help"] == wanted
    assert {"--repo", "--password-file", "--verbose"} <= set(wanted)


@by_name
def test_each_visible_flag_is_shown_once_below_its_title(command: click.Command, context: click.Context) -> None:
    shown = sections(command.get_help(context))
    for one in command.params:
        if isinstance(one, FlagOption):
            long = next(name for name in one.opts if name.startswith("--"))
            found = [title for title, text in shown.items() if long in names_in(text)]
            assert found == ([] if one.hidden else [one.title])
    assert sum(names_in(text).count("--help") for text in shown.values()) == 1
    own = [title for title in shown if title != GLOBAL_TITLE and not isinstance(command, click.Group)]
    assert own[:1] == [OWN_TITLE] * bool(own)
    if sum(len(names_in(shown[title])) for title in own) > MANY:
        assert len(own) > 1


@by_name
def test_no_two_parameters_of_a_command_share_a_name(command: click.Command, context: click.Context) -> None:
    names = [one.name for one in command.params]
    flags = [name for one in command.get_params(context) for name in one.opts]
    assert len(set(names)) == len(names)
    assert len(set(flags)) == len(flags)


@by_name
def test_the_man_page_has_the_same_flags_below_the_same_titles(command: click.Command, context: click.Context) -> None:
    page = PAGES[f"{context.command_path.replace(' ', '-')}.1"].replace("\\-", "-")
    for title, text in sections(command.get_help(context)).items():
        heading = ".SH" if title in (OWN_TITLE, GLOBAL_TITLE, "Commands") else ".SS"
        title = "OPTIONS" if context.parent is None and title == GLOBAL_TITLE else title
        wanted = f"{heading} {title.upper() if heading == '.SH' else title}\n"
        assert wanted in page
        below = re.split(r"^\.S[HS] ", page.partition(wanted)[2], maxsplit=1, flags=re.MULTILINE)[0]
        assert re.findall(r"\\fB(?:-\w, )?(--[\w-]+)", below) == names_in(text)


def test_each_command_is_in_exactly_one_group() -> None:
    grouped = [name for names in COMMAND_GROUPS.values() for name in names]
    assert len(set(grouped)) == len(grouped) == len(COMMANDS)
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    assert {MODULES.get(name, name) for name in grouped} == modules - set(OLD_COMMANDS.values())


def test_the_help_of_the_program_lists_each_command_in_its_group() -> None:
    shown = sections(program.get_help(ALL[0][2]))
    assert list(shown) == [*COMMAND_GROUPS, GLOBAL_TITLE]
    for title, names in COMMAND_GROUPS.items():
        assert re.findall(r"^  (\S+) +(\S.*)$", shown[title], re.MULTILINE) == list(names.items())


@by_name
def test_a_value_has_a_name(command: click.Command, context: click.Context) -> None:
    unnamed = [
        one.opts
        for one in command.get_params(context)
        if isinstance(one, FlagOption) and not (one.hidden or one.is_flag or one.count)
        if one.type is click.STRING and one.metavar is None
    ]
    assert unnamed in ([], [["--http-user-agent"]])
