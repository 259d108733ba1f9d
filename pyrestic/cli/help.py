"""Flags below titles, as help texts and man pages show them."""

import click

from pyrestic.cli.flags import GLOBAL_TITLE, OWN_TITLE, FlagOption


def titled_options(command: click.Command, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Return names and help texts of a command's flags: its own ones below their titles, then the global ones.

    --help is one of its own flags, unless there are no others.
    """
    sections: dict[str, list[tuple[str, str]]] = {}
    own = [one for one in command.params if isinstance(one, FlagOption) and one.title != GLOBAL_TITLE]
    if any(not one.hidden for one in own):
        sections[OWN_TITLE] = []
    for option in command.get_params(ctx):
        record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
        if record is not None:
            title = option.title if isinstance(option, FlagOption) else next(iter(sections), GLOBAL_TITLE)
            sections.setdefault(title, []).append(record)
    return sections


def show_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the flags into a help text."""
    for title, records in titled_options(command, ctx).items():
        with formatter.section(title):
            formatter.write_dl(records)
