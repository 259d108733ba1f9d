"""Flags that select snapshots: --host, --tag, --path, --before, --after, --skip-damaged."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.command import App
from pyrestic.cli.flags import OldOption, Parsed
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.repository.timespec import parse_point

Function = Callable[..., int | None]

_BEFORE = Parsed("time", lambda text: parse_point(text, time.time_ns(), end=True))
_AFTER = Parsed("time", lambda text: parse_point(text, time.time_ns(), end=False))


def snapshot_filter(command: Function) -> Function:
    """Add the flags to a command that only reads, and pass their filter as `wanted`."""
    return skip_damaged_flag(strict_snapshot_filter(command))


def strict_snapshot_filter(command: Function) -> Function:
    """Add the flags without --skip-damaged to a command that changes something, and pass their filter as `wanted`."""
    return _filter_flags(command, "-H", "--host")


def skip_damaged_flag(command: Function) -> Function:
    """Add the flag --skip-damaged to a command, as `skip_damaged`."""
    return click.option("--skip-damaged", is_flag=True, help="ignore snapshots that cannot be read")(command)


def long_snapshot_filter(command: Function) -> Function:
    """Add the flags to a command that uses -H otherwise, with the old name of --host, and `wanted`."""
    old = click.option("--hostname", multiple=True, cls=OldOption, advice="use --host")
    return old(_filter_flags(command, "--host"))


def _filter_flags(command: Function, *host: str) -> Function:
    @functools.wraps(command)
    def filtered(
        app: App,
        *,
        host: tuple[str, ...],
        tag: tuple[str, ...],
        path: tuple[str, ...],
        before: int | None,
        after: int | None,
        hostname: tuple[str, ...] = (),
        skip_damaged: bool = False,
        **others: Any,  # noqa: ANN401 - flags of many kinds
    ) -> int | None:
        environment = app.settings.environment
        wanted = make_filter(environment, host or hostname, tag, path, before_ns=before, after_ns=after)
        wanted = dataclasses.replace(wanted, skip_damaged=skip_damaged)
        return command(app=app, wanted=wanted, **others)

    for option in (
        click.option("--after", type=_AFTER, help="only snapshots made at or after TIME, such as 2026-03-01 or 2w"),
        click.option("--before", type=_BEFORE, help="only snapshots made at or before TIME; a day means its end"),
        click.option("--path", multiple=True, help="only snapshots that include this path"),
        click.option("--tag", multiple=True, help="only snapshots with these tags: tag[,tag…]"),
        click.option(*host, multiple=True, help="only snapshots of this host ($RESTIC_HOST)"),
    ):
        filtered = option(filtered)
    return filtered


def make_filter(
    environment: Mapping[str, str],
    host: tuple[str, ...] = (),
    tag: tuple[str, ...] = (),
    path: tuple[str, ...] = (),
    *,
    before_ns: int | None = None,
    after_ns: int | None = None,
) -> SnapshotFilter:
    """Return the filter; the default of --host is in the environment, and an empty --host overrides it."""
    hosts = host or tuple(filter(None, [environment.get("RESTIC_HOST", "")]))
    return SnapshotFilter(tuple(filter(None, hosts)), parse_tags(tag), path, before_ns=before_ns, after_ns=after_ns)
