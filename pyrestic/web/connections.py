"""The server's connections: limited in number and time, with priority for authenticated visitors.

Anybody on this machine can connect, and send half a request or read a response slowly. So a connection without the
cookie gets a few seconds in total, and the oldest one is closed when there are too many; connections of visitors have
timeouts for incomplete requests and unread responses.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pyrestic.backend.watchdog import MIN_PROGRESS_BYTES, find_moved_bytes
from pyrestic.web.access import ServerSecrets

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit of unauthenticated connections, and timeouts in seconds."""

    strangers: int = 256
    stranger_seconds: float = 15.0
    """Total time of an unauthenticated connection."""
    request_seconds: float = 30.0
    """For a request, from its first byte to its last."""
    stall_seconds: float = 60.0
    """For a response of which almost nothing is read."""


class Connections:
    """All connections of one server; used only in its event loop."""

    def __init__(self, access: ServerSecrets, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.access = access
        self.limits = limits
        self.clock = clock
        self._strangers: dict[Connection, None] = {}
        self._known: set[Connection] = set()

    def make(self, **given: Any) -> "Connection":  # noqa: ANN401 - what uvicorn gives to a protocol
        """Return the protocol of a new connection, for uvicorn."""
        return Connection(self, **given)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check all connections from now on, once per second."""
        now = self.clock()
        for connection in [*self._strangers, *self._known]:
            connection.look(now)
        loop.call_later(min(_LOOK_SECONDS, self.limits.stall_seconds / 4), self.watch, loop)

    def add(self, connection: "Connection") -> None:
        """Add a new connection; if there are too many strangers, close the oldest of the peer with most of them."""
        self._strangers[connection] = None
        if len(self._strangers) <= self.limits.strangers:
            return
        (peer, _), *_ = Counter(stranger.peer for stranger in self._strangers).most_common(1)
        victim = next(stranger for stranger in self._strangers if stranger.peer == peer)
        self.drop(victim)
        victim.transport.abort()

    def admit(self, connection: "Connection") -> None:
        """Mark a connection as authenticated."""
        if self._strangers.pop(connection, connection) is None:
            self._known.add(connection)

    def drop(self, connection: "Connection") -> None:
        """Remove a closed connection."""
        self._strangers.pop(connection, None)
        self._known.discard(connection)


class Connection(H11Protocol):
    """A connection that is closed when it takes too long."""

    def __init__(self, connections: Connections, **given: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(**given)
        self._all = connections
        self._began = self._moved_at = connections.clock()
        self._request_since: float | None = None
        self._moved = 0
        self._stranger = True

    @property
    def peer(self) -> str:
        """The address of the peer."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Open the connection."""
        super().connection_made(transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the connection."""
        self._all.drop(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle received data, and record its sender and whether a request is incomplete."""
        super().data_received(data)
        if self._stranger and self._is_admitted():
            self._stranger = False
            self._all.admit(self)
        state = self.conn.their_state
        pending = state is h11.SEND_BODY or (state is h11.IDLE and bool(self.conn.trailing_data[0]))
        if not pending:
            self._request_since = None
        elif self._request_since is None:
            self._request_since = self._all.clock()

    def look(self, now: float) -> None:
        """Close the connection after a timeout."""
        limits = self._all.limits
        late = self._stranger and now - self._began > limits.stranger_seconds
        late |= self._request_since is not None and now - self._request_since > limits.request_seconds
        if late or self._is_stuck(now):
            # Not close: that waits until everything is read.
            self.transport.abort()

    def _is_stuck(self, now: float) -> bool:
        """Tell whether there is data to send of which almost nothing was accepted for too long."""
        moved = find_moved_bytes(self.transport.get_extra_info("socket")) or 0
        if not self.transport.get_write_buffer_size() or moved - self._moved >= MIN_PROGRESS_BYTES:
            self._moved, self._moved_at = moved, now
        return now - self._moved_at > self._all.limits.stall_seconds

    def _is_admitted(self) -> bool:
        access = self._all.access
        # None exist before the first request is complete.
        headers = cast("list[tuple[bytes, bytes]] | None", self.headers)
        given = {name: value.decode("latin-1") for name, value in headers or ()}
        return access.admits_cookies(given.get(b"cookie", "")) or access.admits_password(
            given.get(b"authorization", "")
        )
