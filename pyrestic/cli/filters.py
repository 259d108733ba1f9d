"""The flags that choose among snapshots: --host, --tag, --path."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.flags import OldOption
from pyrestic.repository.snapshots import SnapshotFilter

F = TypeVar("F", bound=Callable[..., Any])


def snapshot_filter(command: F) -> F:
    """Give a command the three flags, as `host`, `tag` and `path`."""
    return _filter_flags("-H", "--host")(command)


def long_snapshot_filter(command: F) -> F:
    """Give a command the three flags where -H means something else, and the old name of --host as `hostname`."""
    old = click.option("--hostname", multiple=True, cls=OldOption, advice="use --host")
    return old(_filter_flags("--host")(command))


def _filter_flags(*host: str) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        command = click.option("--path", multiple=True, help="only snapshots of this path")(command)
        command = click.option("--tag", multiple=True, help="only snapshots with these tags: tag[,tag…]")(command)
        return click.option(*host, multiple=True, help="only snapshots of this host ($RESTIC_HOST)")(command)

    return decorate


def make_filter(
    environment: Mapping[str, str], host: tuple[str, ...], tag: tuple[str, ...], path: tuple[str, ...]
) -> SnapshotFilter:
    """Return the filter; without --host the environment decides, and an empty --host switches that off."""
    hosts = host or tuple(filter(None, [environment.get("RESTIC_HOST", "")]))
    return SnapshotFilter(tuple(filter(None, hosts)), parse_tags(tag), path)
