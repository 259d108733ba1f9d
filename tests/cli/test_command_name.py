"""Which of the arguments names the command."""

import click
import pytest

from pyrestic.cli.command_name import split_command
from pyrestic.cli.main import program


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("snapshots", "snapshots", ""),
        ("--json --host alpha snapshots", "snapshots", "--json --host alpha"),
        ("--host=alpha snapshots x", "snapshots", "--host=alpha x"),
        ("-q -r place ls latest", "ls", "-q -r place latest"),
        ("-qv ls", "ls", "-qv"),
        ("--dry-run backup x", "x", "--dry-run backup"),
        ("-n x version", "version", "-n x"),
        ("- version", "version", "-"),
        ("--host alpha", "", "--host alpha"),
        ("--help backup", "", "--help backup"),
        ("-- version", "", "-- version"),
        ("", "", ""),
    ],
)
def test_flags_may_stand_before_the_command(line: str, name: str, rest: str) -> None:
    assert split_command(line.split(), program, click.Context(program, help_option_names=["-h", "--help"])) == (
        name,
        rest.split(),
    )
