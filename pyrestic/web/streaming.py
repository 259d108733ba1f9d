"""Responses that are generated while they are sent. Each kind has a limited number; further requests are rejected."""

import threading
from collections.abc import Callable, Iterable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pyrestic.errors import TransientError


class ResponseLimit:
    """A limit of concurrent responses."""

    def __init__(self, places: int, refusal: str) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._refusal = refusal

    def take(self) -> None:
        """Take a slot; raise TransientError if all are taken."""
        if not self._places.acquire(blocking=False):
            raise TransientError(self._refusal, hint="Try again in a moment.")

    def leave(self) -> None:
        """Release the slot."""
        self._places.release()


class StreamedAnswer(StreamingResponse):
    """Sends pieces while holding a slot, which is always released at the end; `close` is called first."""

    def __init__(
        self,
        pieces: Iterable[bytes | str],
        room: ResponseLimit,
        kind: str,
        headers: Mapping[str, str] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(pieces, headers=headers, media_type=kind)
        self._room = room
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()
            self._room.leave()
