"""Generates man pages from click's commands and the manual."""

import re
from collections.abc import Iterator

import click

from pyrestic import __version__
from pyrestic.cli.command import Group
from pyrestic.cli.flags import GLOBAL_TITLE, OWN_TITLE, FlagOption
from pyrestic.cli.help import titled_options
from pyrestic.cli.manual import find_manual
from pyrestic.cli.manual_tables import COMMON, ENVIRONMENT, EXIT_STATUS, REPOSITORY_EXITS

_ROFF = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha"}


def make_pages(program: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Iterate file names and roff texts of the pages of the program and of each command."""
    context = click.Context(program, info_name=name, **program.context_settings)
    yield from _pages(program, context, [name])


def _pages(command: click.Command, context: click.Context, path: list[str]) -> Iterator[tuple[str, str]]:
    below: dict[str, click.Command] = {}
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                below[name] = found
    yield f"{'-'.join(path)}.1", "\n".join(_page(command, context, path, below)) + "\n"
    for name, found in below.items():
        yield from _pages(found, click.Context(found, info_name=name, parent=context), [*path, name])


def _page(
    command: click.Command, context: click.Context, path: list[str], below: dict[str, click.Command]
) -> Iterator[str]:
    title = "-".join(path)
    yield f'.TH "{_escape(title.upper())}" "1" "" "pyrestic {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"{_escape(title)} \\- {_escape(_summary(command))}"
    yield ".SH SYNOPSIS"
    yield f".B {_escape(' '.join(path))}"
    yield _escape(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield from _description(command, path)
    yield from _commands(command, context, title, below)
    yield from _options(command, context)
    yield from _exit_status(path)
    yield from _environment(command, path)
    yield from _examples(path)
    yield from _see_also(path, below)


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(200).rstrip(".")


def _description(command: click.Command, path: list[str]) -> Iterator[str]:
    paragraphs = [*(command.help or _summary(command)).strip().split("\n\n"), *find_manual(path[1:]).details]
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _prose(paragraph)


def _commands(
    command: click.Command, context: click.Context, title: str, below: dict[str, click.Command]
) -> Iterator[str]:
    if not isinstance(command, Group):
        return
    sections = command.titled_commands(context)
    yield ".SH COMMANDS"
    for heading, names in sections.items():
        yield from ((f".SS {_escape(heading)}",) if len(sections) > 1 else ())
        for name in names:
            yield from (".TP", f"\\fB{_escape(f'{title}-{name}')}\\fR(1)", _prose(_summary(below[name])))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    sections = titled_options(command, context)
    shared = sections.pop(GLOBAL_TITLE)
    if context.parent is None:
        sections, shared = {OWN_TITLE: shared}, []
    if sections:
        yield ".SH OPTIONS"
    for heading, records in sections.items():
        yield from ((f".SS {_escape(heading)}",) if heading != OWN_TITLE else ())
        yield from _entries(records)
    if shared:
        yield ".SH GLOBAL OPTIONS"
        yield from _entries(shared)


def _entries(records: list[tuple[str, str]]) -> Iterator[str]:
    for flags, text in records:
        yield from (".TP", f"\\fB{_escape(flags)}\\fR", _prose(text) or "\\&")


def _exit_status(path: list[str]) -> Iterator[str]:
    manual = find_manual(path[1:])
    general = {
        code: text for code, text in EXIT_STATUS.items() if manual.opens_repository or code not in REPOSITORY_EXITS
    }
    yield ".SH EXIT STATUS"
    for code, text in sorted((general | manual.exits).items()):
        yield from (".TP", f"\\fB{code}\\fR", _prose(text))


def _environment(command: click.Command, path: list[str]) -> Iterator[str]:
    manual = find_manual(path[1:])
    names = list(ENVIRONMENT)
    if path[1:]:
        own = [one for one in command.params if isinstance(one, FlagOption) and one.title != GLOBAL_TITLE]
        mentioned = re.findall(r"\$([A-Z0-9_]+)", " ".join(one.help or "" for one in own if not one.hidden))
        known = {*(COMMON if manual.opens_repository else ()), *mentioned, *manual.variables}
        names = [name for name in ENVIRONMENT if name in known]
    yield ".SH ENVIRONMENT"
    for name in names:
        yield from (".TP", f"\\fB{_escape(name)}\\fR", _prose(ENVIRONMENT[name]))
    if path[1:]:
        yield from ((".PP",) if names else ())
        yield f"\\fB{_escape(path[0])}\\fR(1) lists the variables of all commands."


def _examples(path: list[str]) -> Iterator[str]:
    examples = find_manual(path[1:]).examples
    if examples:
        yield ".SH EXAMPLES"
    for number, (purpose, line) in enumerate(examples):
        if purpose:
            yield from ((".PP",) if number else ())
            yield _prose(purpose)
        yield from (".RS 4", ".nf", _escape(re.sub(r"\bpyrestic ", f"{path[0]} ", line)), ".fi", ".RE")


def _see_also(path: list[str], below: dict[str, click.Command]) -> Iterator[str]:
    pages = ["-".join([*path, name]) for name in below]
    pages += ["-".join(path[:end]) for end in range(len(path) - 1, 0, -1)]
    if pages:
        yield ".SH SEE ALSO"
        yield ", ".join(f"\\fB{_escape(page)}\\fR(1)" for page in pages)


def _prose(text: str) -> str:
    """Return a paragraph, with text between backquotes in bold."""
    parts = [_escape(part) for part in " ".join(text.split()).split("`")]
    return "".join(f"\\fB{part}\\fR" if number % 2 else part for number, part in enumerate(parts))


def _escape(text: str) -> str:
    """Return text with roff's special characters escaped."""
    plain = "".join(_ROFF.get(letter, letter) for letter in text.replace("\n", " "))
    return f"\\&{plain}" if plain[:1] == "." else plain
