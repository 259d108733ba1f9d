"""pyrestic doctor: try every operation that a repository needs of its place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import click

from pyrestic.backend.base import Backend
from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, text
from pyrestic.cli.session import find_location, opened_place
from pyrestic.errors import UsageError
from pyrestic.golang import parse_size
from pyrestic.operations.doctor import Examination, PlaceDoctor
from pyrestic.units import format_bytes


class DoctorFlags(Flags):
    """The flags of doctor."""

    size: str = text(
        "--size",
        value="SIZE",
        default="16M",
        help="upload and download SIZE for each number of connections (default 16M; 0 measures nothing)",
    )


@define(
    "doctor",
    "Try every operation that a repository needs of its place, and measure its speed.",
    DoctorFlags,
    prints=True,
)
def command(app: App, flags: DoctorFlags) -> None:
    """Print what works and what is slow; the exit code is 1 if an operation fails."""
    settings, terminal = app.settings, app.terminal
    sample_bytes = 0 if flags.size == "0" else parse_size(flags.size)
    if sample_bytes < 0:
        raise UsageError(f"doctor flag --size must be a size such as 16M, not {flags.size!r}")
    scheme = find_location(settings).scheme
    option = f"{scheme}.connections"
    # Its files must not be locked: they are removed at once.
    usual = {name: value for name, value in settings.options.items() if name != f"{scheme}.retention"}

    @contextmanager
    def opened(connections: int | None) -> Iterator[Backend]:
        options = usual if connections is None else {**usual, option: str(connections)}
        with opened_place(replace(settings, options=options), terminal) as place:
            if place.retry.read_only:
                raise UsageError("a past state of a repository cannot be examined")
            yield place.retry

    result = PlaceDoctor(opened, option, terminal).examine(sample_bytes)
    if settings.json:
        terminal.print_json({"message_type": "doctor", "well": result.well, **asdict(result)})
    else:
        terminal.print(*_describe(result))
    if not result.well:
        raise click.exceptions.Exit(1)


def _describe(result: Examination) -> list[str]:
    lines = []
    for trial in result.trials:
        lines.append(f"{'failed' if trial.failure else 'works '}  {trial.name}, {trial.seconds * 1000:.0f} ms")
        lines += [f"        {line}" for line in (trial.failure, trial.remedy) if line]
    if result.request_seconds is not None:
        lines.append(f"A small request takes {result.request_seconds * 1000:.0f} ms.")
    for each in result.throughputs:
        rates = f"up {format_bytes(int(each.upload))}/s, down {format_bytes(int(each.download))}/s"
        lines.append(f"{each.connections} connection{'' if each.connections == 1 else 's'}: {rates}")
    lines += [f"Advice: {text}." for text in result.advice]
    return lines
