"""The page of a location in a snapshot: a folder listing, or a file with a preview."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node
from pyrestic.web.addresses import address, below, requested_number, split_location
from pyrestic.web.listing import ORDERS, Order, Row
from pyrestic.web.paging import Pages
from pyrestic.web.preview import make_preview
from pyrestic.web.site import Site, Spot, site_of

_ON_PAGE = 200
_ICONS = {DIRECTORY: "folder", FILE: "file", SYMLINK: "link"}

MOST_CRUMBS = 64


@dataclass(frozen=True, slots=True)
class Crumb:
    """A folder on the path to a location."""

    name: bytes
    location: bytes


@dataclass(frozen=True, slots=True)
class Column:
    """A sortable column of a folder."""

    name: str
    title: str
    sorted: str
    """ascending, descending or "", the value of the attribute aria-sort."""
    address: str


def show_location(request: Request) -> Response:
    """Answer with the page of a folder or file."""
    site = site_of(request)
    spot = site.requested(request)
    return _show_folder(request, site, spot) if spot.entry.is_folder else _show_file(site, spot)


def crumbs(location: bytes) -> list[Crumb]:
    """Return the folders on the path to a location and itself, without the root.

    Of a long path only the last ones are named, after a link to the folder above them: each contains its path in its
    address, so a page would grow with the square of the depth.
    """
    names = split_location(location)
    first = max(0, len(names) - MOST_CRUMBS)
    shown = [Crumb(name, b"/" + b"/".join(names[: number + 1])) for number, name in enumerate(names[first:], first)]
    return [Crumb("…".encode(), b"/" + b"/".join(names[:first])), *shown] if first else shown


def icon(node: Node | None) -> str:
    """Return the icon name of a node."""
    return "folder" if node is None else _ICONS.get(node.type, "other")


def _show_folder(request: Request, site: Site, spot: Spot) -> Response:
    query = request.query_params
    by = query.get("sort", "name")
    order = Order(by if by in ORDERS else "name", query.get("order") == "down")
    rows = site.listing.rows(spot.entry, order)
    wanted = query.get("name", "")
    if wanted:
        folded = wanted.casefold()
        rows = [row for row in rows if folded in row[0].decode("utf-8", "replace").casefold()]
    elif spot.node is None and "stay" not in query and (inmost := _inmost_single(site, spot, rows)) != spot.location:
        return RedirectResponse(address("files", spot.stored, inmost))
    pages = Pages(len(rows), _ON_PAGE, requested_number(request, "page", 1))
    state = {"name": wanted, "sort": order.by, "order": "down" if order.descending else None}
    return site.renderer.page(
        "folder.html",
        active="timeline",
        spot=spot,
        **_around(site, spot),
        rows=rows[pages.first : pages.end],
        icon=icon,
        columns=[_column(spot, order, by, wanted) for by in ORDERS],
        pages=pages,
        page_address=lambda number: address("files", spot.stored, spot.location, **state, page=number),
        wanted=wanted,
        order=order,
    )


def _inmost_single(site: Site, spot: Spot, rows: list[Row]) -> bytes:
    """Return the first folder on the path down that contains more than one folder: those above are empty shells."""
    location = spot.location
    while len(rows) == 1 and rows[0][1].type == DIRECTORY and rows[0][1].subtree is not None:
        location = below(location, rows[0][0])
        rows = site.listing.rows(site.find(spot.stored, location).entry, Order())
    return location


def _column(spot: Spot, order: Order, by: str, wanted: str) -> Column:
    mine = order.by == by
    descending = not order.descending if mine else by != "name"
    target = address("files", spot.stored, spot.location, sort=by, order="down" if descending else None, name=wanted)
    direction = ("descending" if order.descending else "ascending") if mine else ""
    return Column(by, {"name": "Name", "size": "Size", "date": "Modified"}[by], direction, target)


def _show_file(site: Site, spot: Spot) -> Response:
    node = spot.node
    preview = make_preview(site, node) if node is not None and node.type == FILE else None
    return site.renderer.page("file.html", active="timeline", spot=spot, **_around(site, spot), preview=preview)


def _around(site: Site, spot: Spot) -> dict[str, Any]:
    """Return the common data of location pages: the path, and the neighboring snapshots."""
    return {
        "crumbs": crumbs(spot.location),
        "earlier": site.catalog.before(spot.stored),
        "later": site.catalog.after(spot.stored),
    }
