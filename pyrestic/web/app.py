"""The application: maps addresses to pages, and errors to error pages."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import anyio.to_thread
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from pyrestic.errors import AccessError, NotFoundError, PyresticError, TransientError, UsageError
from pyrestic.web.access import ServerSecrets
from pyrestic.web.browse import show_location
from pyrestic.web.changes import show_snapshot
from pyrestic.web.compare import show_comparison
from pyrestic.web.download import send_archive, send_file, send_image
from pyrestic.web.guard import RequestGuard
from pyrestic.web.jobs import Restores
from pyrestic.web.restore import drop_restore, send_state, show_form, show_restore, show_restores, start_restore
from pyrestic.web.search import show_search
from pyrestic.web.site import Site, site_of
from pyrestic.web.size import show_size
from pyrestic.web.timeline import show_timeline
from pyrestic.web.versions import show_versions

_THREADS = 6
"""Limit of concurrently rendered pages; each may contain a large folder."""

_FORM = ("GET", "POST")
_STATUS: tuple[tuple[type[PyresticError], int], ...] = (
    (NotFoundError, 404),
    (UsageError, 400),
    (AccessError, 502),
    (TransientError, 503),
)


class _Location(PathConvertor):
    """The rest of an address: names may contain line breaks."""

    regex = r"[\s\S]*"


register_url_convertor("location", _Location())


def make_app(site: Site, access: ServerSecrets, restores: Restores, mounts: Sequence[BaseRoute] = ()) -> RequestGuard:
    """Return the application for a site; `mounts` are other views of it, behind the same guard."""
    routes: list[BaseRoute] = [
        Route("/", show_timeline),
        Route("/files/{snapshot}", show_location),
        Route("/files/{snapshot}/{location:location}", show_location),
        Route("/download/{snapshot}/{location:location}", send_file),
        Route("/image/{snapshot}/{location:location}", send_image),
        Route("/archive/{snapshot}", send_archive),
        Route("/archive/{snapshot}/{location:location}", send_archive),
        Route("/versions/{snapshot}", show_versions),
        Route("/versions/{snapshot}/{location:location}", show_versions),
        Route("/snapshot/{snapshot}", show_snapshot),
        Route("/compare/{old}/{new}/{location:location}", show_comparison),
        Route("/search", show_search),
        Route("/size", show_size),
        Route("/restore/{snapshot}", show_form, methods=_FORM),
        Route("/restore/{snapshot}/{location:location}", show_form, methods=_FORM),
        Route("/restores", show_restores),
        Route("/restores/{number}", show_restore),
        Route("/restores/{number}/state", send_state),
        Route("/restores/{number}/start", start_restore, methods=["POST"]),
        Route("/restores/{number}/drop", drop_restore, methods=["POST"]),
        Mount("/static", StaticFiles(packages=[("pyrestic.web", "static")])),
        *mounts,
    ]
    app = Starlette(
        routes=routes,
        lifespan=_lifespan,
        exception_handlers={HTTPException: _not_answered, PyresticError: _failed, Exception: _unforeseen},
    )
    app.state.site = site
    app.state.restores = restores
    return RequestGuard(app, access, site.renderer, site.report)


@contextlib.asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


def _not_answered(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = "There is no such page." if status == 404 else "This page does not support this kind of request."
    return site_of(request).renderer.sentence(status, message)


def _failed(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return site_of(request).renderer.sentence(status, _sentence(str(error)), getattr(error, "hint", ""))


def _unforeseen(request: Request, _: Exception) -> Response:
    """Answer an unexpected error; the guard reports it."""
    return site_of(request).renderer.sentence(500, "An unexpected error occurred.")


def _sentence(text: str) -> str:
    """Return an error's message as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
