"""The server of this process: one socket, no access log, a clean shutdown at the first interrupt."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import cast

import uvicorn

from pyrestic.errors import UsageError
from pyrestic.web.access import ServerSecrets
from pyrestic.web.connections import Connections, Limits
from pyrestic.web.guard import RequestGuard

_WAITING = 1024
_ACCEPTED = 32
"""Connections accepted per turn: far fewer than the limit of strangers, so that none is closed before its request is
read."""
_STRANGERS = 256
_MOST_HEADERS = 32 << 10
_KEEP_ALIVE_SECONDS = 30
_PATIENCE_SECONDS = 2
"""Time for running requests after an interrupt."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 selects any free port. Raises UsageError on failure."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host} is not an address to listen on: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"listening at {host}, port {port}, is not possible: {error.strerror}",
            hint="Choose another address with --listen, such as 127.0.0.1:0 for any free port.",
        ) from error
    return listener


class WebServer(uvicorn.Server):
    """The server on one socket with watched connections; `should_exit` ends it."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving."""
        await super().startup(sockets)
        for listener in sockets or ():
            # The backlog exceeds the accepted connections per turn, so that none is rejected during a burst.
            listener.listen(_WAITING)
        self._connections.watch(asyncio.get_running_loop())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down cleanly at the first signal, and then call its previous handler.

        uvicorn would raise the signal again instead, which the program takes for a second one and ends at once.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        captured: list[int] = []

        def end(number: int, frame: FrameType | None) -> None:
            captured.append(number)
            self.handle_exit(number, frame)

        former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
        for first in captured[:1]:
            handler = former[signal.Signals(first)]
            if callable(handler):
                handler(first, None)


def serve(app: RequestGuard, listener: socket.socket, access: ServerSecrets) -> None:
    """Serve until a signal comes, whose handler is called at the end."""
    make_server(app, access, Limits(strangers=_count_strangers())).run(sockets=[listener])


def _count_strangers() -> int:
    """Return the limit of unauthenticated connections: a quarter of all descriptors, within bounds."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _STRANGERS if limit == resource.RLIM_INFINITY else max(8, min(_STRANGERS, limit // 4))


def make_server(app: RequestGuard, access: ServerSecrets, limits: Limits) -> WebServer:
    """Return a server for an application."""
    # Errors reach the Reporter as messages; uvicorn would print tracebacks.
    logging.getLogger("uvicorn.error").disabled = True
    connections = Connections(access, limits)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=cast("type[asyncio.Protocol]", connections.make),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_ACCEPTED,
        h11_max_incomplete_event_size=_MOST_HEADERS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    return WebServer(config, connections)
