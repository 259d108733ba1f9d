"""Man pages from what click knows of the commands."""

from collections.abc import Iterator

import click

from pyrestic import __version__


def make_pages(program: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Iterate file names and texts of the page of the program and of each command, in roff."""
    context = click.Context(program, info_name=name)
    yield from _pages(program, context, [name])


def _pages(command: click.Command, context: click.Context, path: list[str]) -> Iterator[tuple[str, str]]:
    below: dict[str, click.Command] = {}
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                below[name] = found
    yield f"{'-'.join(path)}.1", _page(command, context, path, below)
    for name, found in below.items():
        yield from _pages(found, click.Context(found, info_name=name, parent=context), [*path, name])


def _page(command: click.Command, context: click.Context, path: list[str], below: dict[str, click.Command]) -> str:
    title = "-".join(path)
    summary = command.get_short_help_str(200)
    lines = [
        f'.TH "{_escape(title.upper())}" "1" "" "pyrestic {__version__}" "User Commands"',
        ".SH NAME",
        f"{_escape(title)} \\- {_escape(summary)}",
        ".SH SYNOPSIS",
        f".B {_escape(' '.join(path))}",
        _escape(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        _escape((command.help or summary).strip()),
    ]
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if records:
        lines.append(".SH OPTIONS")
        for flags, text in records:
            lines += [".TP", f"\\fB{_escape(flags)}\\fR", _escape(text) or "\\&"]
    if below:
        lines.append(".SH COMMANDS")
        for name, found in below.items():
            lines += [
                ".TP",
                f"\\fB{_escape(f'{title}-{name}')}(1)\\fR",
                _escape(found.get_short_help_str(200)) or "\\&",
            ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Return text with what roff would take for its own made plain."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain
