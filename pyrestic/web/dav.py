"""Read-only WebDAV access: the folders of mount, for file managers and other programs.

Names of snapshots are those of mount; its link `latest` is a folder here. Only files and folders in snapshots are
shown. Only read operations are implemented, so no code here could write.
"""

from collections.abc import Iterator
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from pyrestic.errors import FormatError, UsageError
from pyrestic.format.node import DIRECTORY, FILE
from pyrestic.vfs.view import Entry
from pyrestic.web.addresses import requested_location
from pyrestic.web.download import content_tag, disposition, send_content
from pyrestic.web.guard import DAV
from pyrestic.web.propfind import FINITE_DEPTH, MAX_BODY_BYTES, Asked, Resource, make_answer, parse_propfind
from pyrestic.web.site import Site

_KIND = "application/octet-stream"
_XML = "application/xml; charset=utf-8"
_ALLOWED = "OPTIONS, GET, HEAD, PROPFIND"


class Dav:
    """An ASGI application for all addresses below /dav."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        body = await _read_body(request) if request.method == "PROPFIND" else b""
        response = await run_in_threadpool(self._answer, request, body)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        if request.method == "OPTIONS":
            return Response(headers={"DAV": "1", "MS-Author-Via": "DAV", "Allow": _ALLOWED})
        if request.method not in _ALLOWED.split(", "):
            return PlainTextResponse("This is read-only.\n", 405, {"Allow": _ALLOWED})
        location = requested_location(request, before=1)
        entry = self._site.view.find(location)
        if request.method == "PROPFIND":
            return self._propfind(location, entry, request.headers.get("depth", "infinity"), parse_propfind(body))
        if entry.is_folder or entry.node is None:
            return PlainTextResponse("This is a folder. A WebDAV client shows what is in it.\n")
        if entry.node.type != FILE:
            return PlainTextResponse("This is neither a file nor a folder.\n", 404)
        headers = {"content-disposition": disposition(location.rpartition(b"/")[2])}
        return send_content(request, self._site, entry.node, _KIND, headers)

    def _propfind(self, location: bytes, entry: Entry, depth: str, asked: Asked) -> Response:
        if depth not in ("0", "1"):
            return Response(FINITE_DEPTH, 403, media_type=_XML)
        resources = self._resources(location, entry, with_children=depth == "1")
        return StreamingResponse(make_answer(resources, asked), 207, media_type=_XML)

    def _resources(self, location: bytes, entry: Entry, *, with_children: bool) -> Iterator[Resource]:
        """Iterate the entry at a location and optionally its children; only files and folders are included."""
        # Before the first byte of the response, so that an error still gets its own status.
        children = self._site.view.children(entry) if with_children and entry.is_folder else []

        def describe() -> Iterator[Resource]:
            name = location.rpartition(b"/")[2]
            if (own := _describe(location, name, entry)) is not None:
                yield own
            for name, child in children:
                if (below := _describe(location.rstrip(b"/") + b"/" + name, name, child)) is not None:
                    yield below

        return describe()


def dav_routes(site: Site) -> list[BaseRoute]:
    """Return the routes of WebDAV, for make_app."""
    dav = Dav(site)
    return [Route(DAV, dav), Route(DAV + "/{location:location}", dav)]


def _describe(location: bytes, name: bytes, entry: Entry) -> Resource | None:
    """Return the properties of an entry, None if it is hidden."""
    href, shown = DAV + quote(location), name.decode("utf-8", "replace")
    node = entry.node
    if node is None:
        moment = entry.snapshot.snapshot.time_ns if entry.snapshot is not None else None
        return Resource(href.rstrip("/") + "/", shown, moment, is_folder=True)
    try:
        moment = node.mtime_ns
    except FormatError:
        moment = None
    if node.type == DIRECTORY:
        return Resource(href + "/", shown, moment, is_folder=True)
    if node.type != FILE:
        return None
    return Resource(href, shown, moment, False, node.size, _KIND, content_tag(node))


async def _read_body(request: Request) -> bytes:
    """Return the body of a request; raise UsageError if it is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise UsageError("the request is too long")
    return body
