"""Credentials that end: fetched when first needed, renewed before they end, and once when a service rejects them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pyrestic.errors import AccessError, BackendError, TransientError

RENEW_SECONDS = 300.0
"""How long before their end credentials are renewed, if they are valid for longer than twice that."""

T = TypeVar("T")
R = TypeVar("R")


class ExpiredTokenError(TransientError):
    """A token of the service has expired; a new one helps.

    `refusal` is the error if a new token is refused as well.
    """

    def __init__(self, message: str, refusal: AccessError) -> None:
        super().__init__(message, retry_after_seconds=0.0, attempts=2)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Lease(Generic[T]):
    """A value, and the time (seconds since 1970) when it ends, None if it does not."""

    value: T
    ends: float | None = None


class Leased(Generic[T]):
    """The current value of something that ends; thread-safe. `fetch` makes a new one and raises BackendError."""

    def __init__(self, fetch: Callable[[], Lease[T]], *, clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._lease: Lease[T] | None = None
        self._renew_at: float | None = None

    def get(self) -> T:
        """Return the value; fetch it if it is missing or about to end."""
        with self._lock:
            now = self._clock()
            if self._lease is None:
                self._take(self._fetch(), now)
            elif self._renew_at is not None and now >= self._renew_at:
                self._renew(self._lease, now)
            assert self._lease is not None  # noqa: S101 - it was just taken
            return self._lease.value

    def run(self, call: Callable[[T], R]) -> R:
        """Return the result of call; if the value has expired, renew it and call once more.

        Raises AccessError if the new one is refused as well.
        """
        value = self.get()
        try:
            return call(value)
        except ExpiredTokenError:
            self._forget(value)
        try:
            return call(self.get())
        except ExpiredTokenError as error:
            raise error.refusal from error

    def _renew(self, lease: Lease[T], now: float) -> None:
        try:
            self._take(self._fetch(), now)
        except BackendError:
            # It is valid for some minutes; a later request tries again.
            if lease.ends is None or now >= lease.ends:
                raise

    def _take(self, lease: Lease[T], now: float) -> None:
        self._lease = lease
        self._renew_at = None
        if lease.ends is not None:
            left = lease.ends - now
            self._renew_at = lease.ends - (RENEW_SECONDS if left > 2 * RENEW_SECONDS else left / 2)

    def _forget(self, value: T) -> None:
        """Drop a value that was rejected; another thread may already have a new one."""
        with self._lock:
            if self._lease is not None and self._lease.value is value:
                self._lease = None
