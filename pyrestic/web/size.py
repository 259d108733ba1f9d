"""The growth of the repository: two plots of the bytes that each snapshot added and contained."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from pyrestic.format.gojson import SECOND
from pyrestic.format.snapshot import Summary
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.web.site import site_of
from pyrestic.web.texts import local_time, show_bytes

WIDTH, HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 14, 34
_MOST_POINTS = 500
_LINES = 4
_LABELS = 6
_GROUPS = 6


@dataclass(frozen=True, slots=True)
class Label:
    """A label of an axis, and its position."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a plot: the path of an SVG, and the area below it."""

    name: str
    line: str
    surface: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot in the form of its template."""

    curves: tuple[Curve, ...]
    rows: tuple[Label, ...]
    columns: tuple[Label, ...]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True, slots=True)
class Month:
    """The growth of one month."""

    name: str
    snapshots: int
    added: int
    held: int


Point = tuple[int, int]
"""A time in seconds, and bytes."""


def show_size(request: Request) -> Response:
    """Answer with the plots, and a table with the same numbers."""
    site = site_of(request)
    snapshots = list(reversed(site.catalog.snapshots()))
    told = [(stored, stored.snapshot.summary) for stored in snapshots if stored.snapshot.summary is not None]
    grown: list[Point] = []
    total = 0
    held: dict[str, list[Point]] = {}
    for stored, summary in told:
        total += summary.data_added_packed
        moment = stored.snapshot.time_ns // SECOND
        grown.append((moment, total))
        held.setdefault(_group(stored), []).append((moment, summary.total_bytes_processed))
    largest = sorted(held.items(), key=lambda each: each[1][-1][1], reverse=True)[:_GROUPS]
    return site.renderer.page(
        "size.html",
        active="size",
        stored_bytes=_stored.bytes(site.repository),
        grown=draw({"Repository": grown}) if len(grown) > 1 else None,
        held=draw(dict(largest)) if len(grown) > 1 else None,
        groups=[name for name, _ in largest],
        months=_months(told),
        untold=len(snapshots) - len(told),
        width=WIDTH,
        height=HEIGHT,
    )


def _group(stored: StoredSnapshot) -> str:
    return f"{stored.snapshot.hostname}: {', '.join(stored.snapshot.paths)}"


def _months(told: Sequence[tuple[StoredSnapshot, Summary]]) -> list[Month]:
    months: dict[str, Month] = {}
    for stored, summary in told:
        name = f"{local_time(stored.snapshot.time_ns):%Y-%m}"
        month = months.get(name, Month(name, 0, 0, 0))
        added = month.added + summary.data_added_packed
        months[name] = Month(name, month.snapshots + 1, added, summary.total_bytes_processed)
    return list(reversed(months.values()))


def draw(curves: dict[str, list[Point]]) -> Plot:
    """Return a plot of some curves over one time axis, starting at zero."""
    every = [point for points in curves.values() for point in points]
    begin, end = min(moment for moment, _ in every), max(moment for moment, _ in every)
    step = round_step(max(value for _, value in every) / _LINES)
    top = step * max(1, math.ceil(max(value for _, value in every) / step))

    def across(moment: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (moment - begin) / max(1, end - begin)

    def down(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top

    def curve(name: str, points: list[Point]) -> Curve:
        thinned = thin(points)
        # It grows at the times of snapshots and not in between.
        line = f"{across(thinned[0][0]):.1f},{down(thinned[0][1]):.1f}" + "".join(
            f"H{across(moment):.1f}V{down(value):.1f}" for moment, value in thinned[1:]
        )
        first, last = across(thinned[0][0]), across(thinned[-1][0])
        return Curve(name, f"M{line}", f"M{first:.1f},{down(0):.1f}L{line}L{last:.1f},{down(0):.1f}Z")

    moments = [begin + (end - begin) * place // (_LABELS - 1) for place in range(_LABELS)]
    days = (end - begin) >= _LABELS * 86_400
    return Plot(
        tuple(curve(name, points) for name, points in curves.items()),
        tuple(Label(down(step * row), show_bytes(step * row)) for row in range(top // step + 1)),
        tuple(
            Label(across(moment), f"{local_time(moment * SECOND):{'%Y-%m-%d' if days else '%d %b %H:%M'}}")
            for moment in moments
        ),
    )


def round_step(least: float) -> int:
    """Return a round number of bytes that is not smaller: 1, 2, 4, 8 and so on of a unit."""
    step = 1
    while step < least:
        step *= 2
    return step


def thin(points: list[Point]) -> list[Point]:
    """Return at most 500 of the points, the last among them."""
    if len(points) <= _MOST_POINTS:
        return points
    return [points[place * (len(points) - 1) // (_MOST_POINTS - 1)] for place in range(_MOST_POINTS)]


class _StoredBytes:
    """The stored bytes in the index, cached for each number of blobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[int, int] = (-1, 0)

    def bytes(self, repository: Repository) -> int:
        """Return the total of all blobs' stored lengths."""
        with self._lock:
            count = len(repository.index)
            if self._known[0] != count:
                self._known = (count, int(repository.index.all_columns().lengths.sum(dtype="int64")))
            return self._known[1]


_stored = _StoredBytes()
