"""The first page: all snapshots by date, one page at a time, filtered by host, folder, tag and month."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.web.addresses import clean_location, requested_bytes, requested_number, with_query
from pyrestic.web.paging import Pages
from pyrestic.web.site import site_of
from pyrestic.web.texts import local_time, show_time

_ON_PAGE = 60


@dataclass(frozen=True, slots=True)
class Choice:
    """The filter of the catalog; "" means any. `at` is the folder that links open."""

    host: str = ""
    path: str = ""
    tag: str = ""
    month: str = ""
    at: str = ""

    def matches(self, stored: StoredSnapshot) -> bool:
        """Tell whether a snapshot matches, ignoring the month."""
        snapshot = stored.snapshot
        return (
            (not self.host or snapshot.hostname == self.host)
            and (not self.path or self.path in snapshot.paths)
            and (not self.tag or self.tag in snapshot.tags)
        )

    def address(self, **changes: object) -> str:
        """Return the address of the timeline with a changed filter."""
        now = {"host": self.host, "path": self.path, "tag": self.tag, "month": self.month, "at": self.at}
        return with_query("/", **(now | changes))


@dataclass(frozen=True, slots=True)
class Day:
    """The snapshots of one day, newest first."""

    date: str
    weekday: str
    snapshots: list[StoredSnapshot]


def show_timeline(request: Request) -> Response:
    """Answer with a page of the timeline."""
    site = site_of(request)
    query = request.query_params
    at = requested_bytes(request, "at").decode("utf-8", "surrogateescape")
    choice = Choice(**{name: query.get(name, "") for name in ("host", "path", "tag", "month")}, at=at)
    everything = site.catalog.snapshots()
    chosen = [stored for stored in everything if choice.matches(stored)]
    months = Counter(_month(stored) for stored in chosen)
    if choice.month:
        chosen = [stored for stored in chosen if _month(stored) == choice.month]
    pages = Pages(len(chosen), _ON_PAGE, requested_number(request, "page", 1))
    return site.renderer.page(
        "timeline.html",
        active="timeline",
        choice=choice,
        location=clean_location(choice.at.encode("utf-8", "surrogateescape")) if choice.at else b"",
        total=len(everything),
        profiles=site.profiles() if choice == Choice() and pages.number == 1 else None,
        days=_days(chosen[pages.first : pages.end]),
        months=sorted(months.items(), reverse=True),
        pages=pages,
        page_address=lambda number: choice.address(page=number),
        hosts=_values([stored.snapshot.hostname] for stored in everything),
        paths=_values(stored.snapshot.paths for stored in everything),
        tags=_values(stored.snapshot.tags for stored in everything),
    )


def _month(stored: StoredSnapshot) -> str:
    return show_time(stored.snapshot.time_ns)[:7]


def _days(snapshots: Sequence[StoredSnapshot]) -> list[Day]:
    def name(stored: StoredSnapshot) -> tuple[str, str]:
        moment = local_time(stored.snapshot.time_ns)
        return f"{moment:%-d %b %Y}", f"{moment:%A}"

    return [Day(date, weekday, list(each)) for (date, weekday), each in groupby(snapshots, name)]


def _values(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({value for values in lists for value in values})
