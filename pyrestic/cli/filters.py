"""Flags that select snapshots: --host, --tag, --path, --before, --after, --skip-damaged."""

import time
from collections.abc import Mapping

import msgspec

from pyrestic.cli.arguments import parse_tags
from pyrestic.cli.flag_fields import Flags, parsed, switch, texts
from pyrestic.cli.flags import Parsed
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.repository.timespec import parse_point

_TITLE = "Select snapshots"
_BEFORE = Parsed("time", lambda text: parse_point(text, time.time_ns(), end=True))
_AFTER = Parsed("time", lambda text: parse_point(text, time.time_ns(), end=False))


def skip_damaged_flag() -> bool:
    """Declare the flag --skip-damaged."""
    return switch("--skip-damaged", help="ignore snapshots that cannot be read")


def _host_flag(*names: str) -> tuple[str, ...]:
    return texts(*names, value="HOST", help="only snapshots of this host ($RESTIC_HOST)")


class _Flags(Flags):
    """The flags but --host, which has other names in some commands."""

    TITLE = _TITLE
    tag: tuple[str, ...] = texts("--tag", value="TAGS", help="only snapshots with these tags: tag[,tag…]")
    path: tuple[str, ...] = texts("--path", value="PATH", help="only snapshots that include this path")
    before: int | None = parsed(
        "--before", type=_BEFORE, help="only snapshots made at or before TIME; a day means its end"
    )
    after: int | None = parsed(
        "--after", type=_AFTER, help="only snapshots made at or after TIME, such as 2026-03-01 or 2w"
    )

    def _select(self, environment: Mapping[str, str], hosts: tuple[str, ...]) -> SnapshotFilter:
        wanted = default_filter(environment)
        if hosts:
            wanted = msgspec.structs.replace(wanted, hosts=tuple(filter(None, hosts)))
        return msgspec.structs.replace(
            wanted, tags=parse_tags(self.tag), paths=self.path, before_ns=self.before, after_ns=self.after
        )


class StrictSnapshotFlags(_Flags):
    """The flags of a command that changes something: it must not skip damaged snapshots."""

    TITLE = _TITLE
    host: tuple[str, ...] = _host_flag("-H", "--host")

    def wanted(self, environment: Mapping[str, str]) -> SnapshotFilter:
        """Return the filter; the default of --host is in the environment, and an empty --host overrides it."""
        return self._select(environment, self.host)


class SnapshotFlags(StrictSnapshotFlags):
    """The flags of a command that only reads."""

    TITLE = _TITLE
    skip_damaged: bool = skip_damaged_flag()

    def wanted(self, environment: Mapping[str, str]) -> SnapshotFilter:
        """Return the filter, as above."""
        return msgspec.structs.replace(super().wanted(environment), skip_damaged=self.skip_damaged)


class LongSnapshotFlags(_Flags):
    """The flags of a command that uses -H otherwise, with the old name of --host."""

    TITLE = _TITLE
    host: tuple[str, ...] = _host_flag("--host")
    hostname: tuple[str, ...] = texts("--hostname", advice="use --host")

    def wanted(self, environment: Mapping[str, str]) -> SnapshotFilter:
        """Return the filter, as above."""
        return self._select(environment, self.host or self.hostname)


def default_filter(environment: Mapping[str, str]) -> SnapshotFilter:
    """Return the filter of commands without these flags."""
    return SnapshotFilter(tuple(filter(None, [environment.get("RESTIC_HOST", "")])))
