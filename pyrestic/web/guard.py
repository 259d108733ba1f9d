"""Checks the host, origin and cookie of every request, and adds security headers to every response.

An unhandled error ends here, too: as an error page if the response has not begun, otherwise by closing the connection,
so that nobody takes half a file for a complete one.
"""

from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyrestic.report import Reporter
from pyrestic.web.access import ServerSecrets
from pyrestic.web.render import Renderer

ENTRANCE = "/enter"
STATIC = "/static/"
DAV = "/dav"
_SAFE_METHODS = frozenset(("GET", "HEAD"))
_OWN_SITE = frozenset(("same-origin", "none"))
_MAX_BODY_BYTES = 64 << 10
_MOST_DIGITS = 9
_MOST_AT_ONCE = 64

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
CONTENT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""For repository content: even if a browser takes it for a page, it can neither run nor load anything. The page that a
browser creates around an image contains styles."""

_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: a browser then sends "null" as the origin of a form.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


class RequestGuard:
    """An ASGI wrapper around an application."""

    def __init__(self, app: ASGIApp, access: ServerSecrets, renderer: Renderer, report: Reporter) -> None:
        self._app = app
        self._access = access
        self._renderer = renderer
        self._report = report
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or pass it to the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        begun = False

        async def guarded_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            answer = self._refuse(scope) or self._enter(scope)
            if answer is None and self._active >= _MOST_AT_ONCE:
                answer = self._renderer.sentence(503, "Too many requests at once.", "Try again in a moment.")
            if answer is None:
                self._active += 1
                try:
                    await self._app(scope, receive, guarded_send)
                finally:
                    self._active -= 1
            else:
                await answer(scope, receive, guarded_send)
        except ClientDisconnect:
            # The client has disconnected.
            return
        except Exception as error:
            self._report.error("a page", error)
            if begun:
                raise
            answer = self._renderer.sentence(500, "An unexpected error occurred.")
            await answer(scope, receive, guarded_send)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the refusal of a request that does not come from our pages, None for a valid one."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._access.knows_host(host):
            return PlainTextResponse(
                "This server does not answer under that name; see --allow-host of pyrestic serve.\n", 421
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return PlainTextResponse("Requests from other sites are refused.\n", 403)
        site = headers.get("sec-fetch-site")
        if site is not None and site not in _OWN_SITE:
            return PlainTextResponse("Requests from other sites are refused.\n", 403)
        if scope["method"] in _SAFE_METHODS or _is_dav(scope):
            return None
        if origin is None and site is None:
            return PlainTextResponse("A request that changes something must name its origin.\n", 403)
        length = headers.get("content-length", "")
        if (
            not (length.isascii() and length.isdecimal() and len(length) <= _MOST_DIGITS)
            or int(length) > _MAX_BODY_BYTES
        ):
            return PlainTextResponse("The request is too long.\n", 413)
        return None

    def _enter(self, scope: Scope) -> Response | None:
        """Return the response for the link and for unknown visitors, None if the request may pass."""
        headers = Headers(scope=scope)
        known = self._access.admits_cookies(headers.get("cookie", ""))
        if scope["path"] == ENTRANCE:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            cookie = self._access.trade(given)
            if cookie is not None:
                answer = RedirectResponse("/", 303)
                answer.set_cookie(self._access.cookie_name, cookie, path="/", httponly=True, samesite="strict")
                return answer
            return RedirectResponse("/", 303) if known else self._stranger("This link has already been used.")
        if known or scope["path"].startswith(STATIC):
            return None
        if _is_dav(scope):
            if self._access.admits_password(headers.get("authorization", "")):
                return None
            asked = {"www-authenticate": 'Basic realm="pyrestic", charset="UTF-8"'}
            return PlainTextResponse("The password that pyrestic serve printed is required.\n", 401, asked)
        return self._stranger("This browser is not authorized.")

    def _stranger(self, reason: str) -> Response:
        return self._renderer.sentence(
            403, reason, "Open the link that pyrestic serve printed; it works once, in one browser."
        )


def _is_dav(scope: Scope) -> bool:
    path: str = scope["path"]
    return path == DAV or path.startswith(DAV + "/")
