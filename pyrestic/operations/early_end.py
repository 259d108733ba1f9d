"""How a backup is asked to end early: by a signal, a time limit, or whoever supervises it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from enum import Enum

import msgspec

from pyrestic.errors import EndedEarlyError


class EarlyReason(Enum):
    """Why a backup ends early."""

    INTERRUPTED = "interrupted"
    ASKED = "asked to end early"
    TIME_LIMIT = "time limit reached"
    BUDGET = "the month's budget is used up"


class EarlyEnd:
    """The wish that a backup ends early; thread-safe. `on_request` is called once, with the first reason.

    Setting `event` is such a wish, too.
    """

    def __init__(
        self, on_request: Callable[[EarlyReason], None] = lambda _: None, event: threading.Event | None = None
    ) -> None:
        self.reason: EarlyReason | None = None
        self._on_request = on_request
        self._event = event

    def request(self, reason: EarlyReason) -> None:
        """Ask for the end. It takes no lock, because signal handlers call it."""
        if self.reason is None:
            self.reason = reason
            self._on_request(reason)

    def ensure_unwanted(self) -> None:
        """Raise EndedEarlyError if the end was asked for."""
        if self._event is not None and self._event.is_set():
            self.request(EarlyReason.ASKED)
        if self.reason is not None:
            raise EndedEarlyError(self.reason.value)

    @contextlib.contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Ask for the end when a with block has lasted for so long."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(seconds, self.request, (EarlyReason.TIME_LIMIT,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class PartialOptions(msgspec.Struct, frozen=True):
    """When a backup stores partial snapshots: when it is asked to end early, and at an interval."""

    early_end: EarlyEnd = msgspec.field(default_factory=EarlyEnd)
    checkpoint_seconds: float | None = None
    time_limit_seconds: float | None = None
