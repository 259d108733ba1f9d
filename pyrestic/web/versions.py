"""All versions of a file or folder with their dates: beside it, or on their own page."""

from starlette.requests import Request
from starlette.responses import Response

from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import Version
from pyrestic.web.addresses import requested_location, requested_number, with_query
from pyrestic.web.browse import crumbs
from pyrestic.web.paging import Pages
from pyrestic.web.site import site_of
from pyrestic.web.streaming import ResponseLimit

_BESIDE = 40
_ON_PAGE = 100
_room = ResponseLimit(3, "other histories are being looked up")


def show_versions(request: Request) -> Response:
    """Answer with all versions of a location, or, with part=1, with the newest as a part of another page."""
    site = site_of(request)
    stored = site.catalog.find(request.path_params["snapshot"])
    location = requested_location(request)
    _room.take()
    try:
        history = site.histories.find(site.catalog.shelf(), location)
    finally:
        _room.leave()
    versions = history.all
    part = request.query_params.get("part") == "1"
    pages = Pages(len(versions), _BESIDE if part else _ON_PAGE, requested_number(request, "page", 1))
    return site.renderer.page(
        "versions_part.html" if part else "versions.html",
        active="timeline",
        stored=stored,
        location=location,
        crumbs=crumbs(location),
        history=history,
        versions=versions[pages.first : pages.end],
        current=next((version for version in history.versions if _holds(version, stored)), None),
        pages=pages,
        page_address=lambda number: with_query(request.url.path, page=number),
    )


def _holds(version: Version, stored: StoredSnapshot) -> bool:
    """Tell whether a snapshot has this version."""
    moment = stored.snapshot.time_ns
    return any(
        span.line.host == stored.snapshot.hostname
        and span.first.snapshot.time_ns <= moment <= span.last.snapshot.time_ns
        for span in version.spans
    )
