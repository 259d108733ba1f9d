"""The server of this process: one socket, no log of what is asked, an end in order at the first interrupt."""

import logging
import socket

import uvicorn

from pyrestic.errors import UsageError
from pyrestic.web.guard import Guard

_CONNECTIONS = 64
_KEEP_ALIVE_SECONDS = 30
_PATIENCE_SECONDS = 2
"""How long what is under way may go on after an interrupt."""


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 stands for any that is free. Raises UsageError if that is not possible."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host} is no address to listen at: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"listening at {host}, port {port}, is not possible: {error.strerror}",
            hint="Name another place with --listen, such as 127.0.0.1:0 for any port that is free.",
        ) from error
    return listener


def serve(app: Guard, listener: socket.socket) -> None:
    """Answer until a signal comes, whose handler is called in the end."""
    # Errors reach the Reporter as sentences; what uvicorn would say of them are tracebacks.
    logging.getLogger("uvicorn.error").disabled = True
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])
