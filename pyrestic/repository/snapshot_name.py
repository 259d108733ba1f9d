"""Snapshot names on the command line: an ID or a prefix, `latest`, `latest~3`, `@2026-03-01 14:30`.

A colon and a folder may follow. A name with @ means the newest snapshot at or before that time, which `parse_point`
reads; a day means its end. `~3` goes three snapshots back.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from pyrestic.errors import UsageError
from pyrestic.repository.timespec import parse_point

_LATEST: Final = re.compile(r"latest(?:~(?P<back>\d{1,9}))?", re.ASCII)
_POINT: Final = re.compile(r"@(?P<moment>[^~]*)(?:~(?P<back>\d{1,9}))?", re.ASCII)


class SnapshotName(msgspec.Struct, frozen=True):
    """A name and its folder. Without `id` it means the newest but `back` of the snapshots in the time limit.

    `not_after_ns` is in nanoseconds since 1970, None for no limit; `text` is the name without the folder.
    """

    text: str
    folder: str = ""
    id: str | None = None
    back: int = 0
    not_after_ns: int | None = None


def parse_name(text: str, now_ns: int) -> SnapshotName:
    """Return the meaning of a name at a time in nanoseconds since 1970; raise UsageError for an invalid time."""
    if text.startswith("@"):
        return _parse_point(text, now_ns)
    name, _, folder = text.partition(":")
    match = _LATEST.fullmatch(name)
    if match is None:
        return SnapshotName(name, folder, id=name)
    return SnapshotName(name, folder, back=int(match["back"] or 0))


def _parse_point(text: str, now_ns: int) -> SnapshotName:
    for name, folder in _splits(text):
        match = _POINT.fullmatch(name)
        if match is None:
            continue
        try:
            moment = parse_point(match["moment"].strip("\"'"), now_ns, end=True)
        except UsageError:
            continue
        return SnapshotName(name, folder, back=int(match["back"] or 0), not_after_ns=moment)
    raise UsageError(
        f"{text} is not a valid time",
        hint='Valid names look like @2026-03-01, @"yesterday 14:30", @monday or @2w, with :FOLDER or ~N behind.',
    )


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """Iterate the ways to split name and folder, longest name first: times contain colons, too."""
    yield text, ""
    end = len(text)
    while (end := text.rfind(":", 0, end)) >= 0:
        yield text[:end], text[end + 1 :]
