"""Proposes what to leave out of the sources of a new profile."""

import os
from collections.abc import Callable, Sequence

from pyrestic.cli.questions import Questions
from pyrestic.localfs.disposable import Disposable, Kind, Measurement, Sized
from pyrestic.units import format_bytes

_SECONDS = 20.0
_SHOWN = 5
_LEFT_OUT: dict[Kind, bool] = {"caches": True, "trash": True, "packages": True, "virtual machines": False}
"""Whether a kind is left out if nobody is asked: what cannot be downloaded again is kept."""


def choose_excludes(sources: Sequence[str], questions: Questions, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Return patterns for what the person leaves out; the largest that is left out and kept is shown."""
    folders = [source for source in sources if os.path.isdir(source)]
    measurement = Measurement(_SECONDS)
    found = [one for folder in folders for one in measurement.find_disposable(folder)]
    left: list[Disposable] = []
    for kind, default in _LEFT_OUT.items():
        of_kind = [one for one in found if one.kind == kind]
        if not of_kind:
            continue
        total = format_bytes(sum(one.folder.bytes for one in of_kind))
        if questions.confirm(f"Leave out {kind} ({total})?", default=default):
            left += of_kind
    for one in _largest([one.folder for one in left]):
        tell(f"left out: {one.path} ({_describe(one)})")
    without = [one.folder.path for one in left]
    kept = [one for folder in folders for one in measurement.list_largest(folder, without, _SHOWN)]
    for one in _largest(kept):
        tell(f"kept: {one.path} ({_describe(one)})")
    return tuple(dict.fromkeys(one.pattern for one in left))


def _largest(entries: Sequence[Sized]) -> list[Sized]:
    return sorted(entries, key=lambda one: one.bytes, reverse=True)[:_SHOWN]


def _describe(one: Sized) -> str:
    return f"{'more than ' if one.partly else ''}{format_bytes(one.bytes)}"
