"""The connections of the server: bounded, timed, and those of visitors who were let in before all others.

Anybody on this machine can connect, and send half a request or read an answer slowly. So whoever was not let in has a
few seconds for all, and makes room for the next one when there are too many; whoever was has time-outs for a request
that does not end and for an answer that is not read.
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
from pyrestic.web.access import Access

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections of strangers there may be, and how long things may take, in seconds."""

    strangers: int = 256
    stranger_seconds: float = 15.0
    """For all that a connection does whose sender was not let in."""
    request_seconds: float = 30.0
    """For a request, from its first byte to its last."""
    stall_seconds: float = 60.0
    """For an answer of which next to nothing is read."""


class Connections:
    """All connections of one server; used in its loop alone."""

    def __init__(self, access: Access, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.access = access
        self.limits = limits
        self.clock = clock
        self._strangers: dict[Connection, None] = {}
        self._known: set[Connection] = set()

    def make(self, **given: Any) -> "Connection":  # noqa: ANN401 - what uvicorn gives to a protocol
        """Return the protocol of a new connection, for uvicorn."""
        return Connection(self, **given)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at all connections from now on, once a second."""
        now = self.clock()
        for connection in [*self._strangers, *self._known]:
            connection.look(now)
        loop.call_later(min(_LOOK_SECONDS, self.limits.stall_seconds / 4), self.watch, loop)

    def add(self, connection: "Connection") -> None:
        """Count a new connection; if there are too many strangers, the oldest of the peer with most of them goes."""
        self._strangers[connection] = None
        if len(self._strangers) <= self.limits.strangers:
            return
        (peer, _), *_ = Counter(stranger.peer for stranger in self._strangers).most_common(1)
        victim = next(stranger for stranger in self._strangers if stranger.peer == peer)
        self.drop(victim)
        victim.transport.abort()

    def admit(self, connection: "Connection") -> None:
        """Count a connection as one of a visitor who was let in."""
        if self._strangers.pop(connection, connection) is None:
            self._known.add(connection)

    def drop(self, connection: "Connection") -> None:
        """Forget a connection that has ended."""
        self._strangers.pop(connection, None)
        self._known.discard(connection)


class Connection(H11Protocol):
    """A connection that ends when it takes too long."""

    def __init__(self, connections: Connections, **given: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(**given)
        self._all = connections
        self._began = self._moved_at = connections.clock()
        self._request_since: float | None = None
        self._moved = 0
        self._stranger = True

    @property
    def peer(self) -> str:
        """The address of the other side."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._all.drop(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, and note who sends it and whether a request is only half there."""
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
        """End the connection if something takes too long."""
        limits = self._all.limits
        late = self._stranger and now - self._began > limits.stranger_seconds
        late |= self._request_since is not None and now - self._request_since > limits.request_seconds
        if late or self._is_stuck(now):
            # Not close: that waits until all is read.
            self.transport.abort()

    def _is_stuck(self, now: float) -> bool:
        """Tell whether there is something to send of which next to nothing was taken for too long."""
        moved = find_moved_bytes(self.transport.get_extra_info("socket")) or 0
        if not self.transport.get_write_buffer_size() or moved - self._moved >= MIN_PROGRESS_BYTES:
            self._moved, self._moved_at = moved, now
        return now - self._moved_at > self._all.limits.stall_seconds

    def _is_admitted(self) -> bool:
        access = self._all.access
        # There are none before the first request is complete.
        headers = cast("list[tuple[bytes, bytes]] | None", self.headers)
        given = {name: value.decode("latin-1") for name, value in headers or ()}
        return access.admits_cookies(given.get(b"cookie", "")) or access.admits_password(
            given.get(b"authorization", "")
        )
