"""Retries operations that may succeed later. No other module retries, and only TransientError is retried.

The waits double from one second to one minute, each varied by half so that clients do not retry in step, until a
quarter of an hour has passed since the first failure (restic's numbers). If an error says that waiting gains nothing,
because a kept connection had been closed, the second attempt is immediate and silent. A file that failed to load in
that time fails at once for the next hour: one dead file must not delay a run by a quarter of an hour each time it is
requested. An error may limit the number of attempts, which ends the operation earlier. After a server did not respond,
no request is sent for a minute, except to remove locks. A server that was never reached in this run is retried for a
minute and a half: long enough for a machine that has just woken up to find its network, and short enough for a
misspelled name.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from typing_extensions import Buffer

from pyrestic.backend.base import (
    Backend,
    FileInfo,
    Interruptible,
    as_cold,
    as_near,
    find_cold,
    find_near,
    save_tree_pack,
)
from pyrestic.backend.fence import Fence
from pyrestic.backend.metering import Ledger, Metered
from pyrestic.errors import BackendError, NotFoundError, SilentError, TransientError, UnreachedError
from pyrestic.handle import FileType, Handle

FIRST_DELAY_SECONDS = 1.0
MAX_DELAY_SECONDS = 60.0
TOTAL_SECONDS = 15 * 60.0
UNREACHED_SECONDS = 90.0
FAILED_LOAD_SECONDS = 60 * 60.0
SILENT_SECONDS = 60.0
"""Seconds without requests after a server did not respond."""
_JITTER = 0.5
_SETTLE_SECONDS = 0.05

T = TypeVar("T")


def _drop(message: str) -> None:
    """Drop a note."""


class RetryBackend:
    """A backend whose operations are retried on TransientError, and whose `fence` is checked before each write.

    `on_retry` takes a line for each wait and for the success after it; any thread may call it. `total_seconds` limits
    the retries of one operation, whether or not the server was reached before; None selects the two limits above.
    `clock` returns monotonic seconds, `sleep` waits; by default, waiting ends early when `stop_retrying` is called.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        on_retry: Callable[[str], None] = _drop,
        total_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self.connections = inner.connections
        self.fence = Fence(costly=self.ledger is not None)
        self._on_retry = on_retry
        self._total_seconds = TOTAL_SECONDS if total_seconds is None else total_seconds
        self._unreached_seconds = UNREACHED_SECONDS if total_seconds is None else total_seconds
        self._clock = clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._chance = chance
        self._failed_loads: dict[Handle, float] = {}
        self._silent_since: float | None = None

    def stop_retrying(self) -> None:
        """Abort all waits and transfers, and never wait again: the program was interrupted.

        Packs are rejected from now on; other operations still run once, because a lock must be released.
        """
        self._stopped.set()
        if isinstance(self._inner, Interruptible):
            self._inner.interrupt()
            # Repeat it for requests that were admitted just before.
            time.sleep(_SETTLE_SECONDS)
            self._inner.interrupt()

    def resume_retrying(self) -> None:
        """Wait and retry again as before: the interrupted work has ended."""
        self._stopped.clear()

    @property
    def ledger(self) -> Ledger | None:
        """Usage of a billed service, None for others; see Metered."""
        return self._inner.ledger if isinstance(self._inner, Metered) else None

    @property
    def read_only(self) -> bool:
        """Whether the backend is read-only because it shows a past state."""
        return bool(getattr(self._inner, "read_only", False))

    def create(self) -> None:
        """Prepare the repository; see Backend."""
        self.run("creating the repository", self._inner.create)

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle; see Backend."""
        self._save(handle, lambda: self._inner.save(handle, data))

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Store a pack of trees; see save_tree_pack."""
        self._save(handle, lambda: save_tree_pack(self._inner, handle, data))

    def _save(self, handle: Handle, save: Callable[[], None]) -> None:
        self._refuse_interrupted(handle)

        def attempt() -> None:
            self.fence.check(handle, removes=False)
            save()

        self.run(f"saving {handle}", attempt)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; see Backend."""
        return self._load(handle, lambda: self._inner.load(handle, offset, length))

    @property
    def cold_seconds(self) -> float:
        """How long to wait for packs in cold storage; see ColdStorage."""
        cold = find_cold(self._inner)
        return 0.0 if cold is None else cold.cold_seconds

    def warm_up(self, handle: Handle) -> bool:
        """Request that a file becomes readable; see ColdStorage."""
        cold = as_cold(self._inner)
        return self.run(f"requesting {handle} from cold storage", lambda: cold.warm_up(handle))

    @property
    def near(self) -> bool:
        """Whether the files are local; see NearBackend."""
        return find_near(self._inner) is not None

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill the buffer with bytes of the file, if it is local; see NearBackend."""
        near = as_near(self._inner)
        self._load(handle, lambda: near.load_into(handle, offset, room))

    def _load(self, handle: Handle, operation: Callable[[], T]) -> T:
        self._refuse_interrupted(handle)
        self._refuse_failed(handle)
        try:
            return self.run(f"loading {handle}", operation)
        except TransientError:
            if not self._stopped.is_set():
                self._failed_loads[handle] = self._clock()
            raise

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; see Backend."""
        return self.run(f"looking for {handle}", lambda: self._inner.stat(handle))

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type, each once, even if the listing is restarted."""
        self._refuse_silent()
        seen: set[str] = set()
        attempts = _Attempts(self, f"listing {file_type.value} files")
        while True:
            try:
                for info in self._inner.list(file_type):
                    if info.name not in seen:
                        seen.add(info.name)
                        yield info
            except TransientError as error:
                attempts.wait_after(error)
            else:
                attempts.succeeded()
                return

    def remove(self, handle: Handle) -> None:
        """Remove the file; see Backend. If it is missing after a failed attempt, that is a success."""
        attempts = 0

        def remove() -> None:
            nonlocal attempts
            self.fence.check(handle, removes=True)
            attempts += 1
            try:
                self._inner.remove(handle)
            except NotFoundError:
                if attempts == 1:
                    raise

        if handle.type is not FileType.LOCK:
            self._refuse_silent()
        self._run(f"removing {handle}", remove)

    def close(self) -> None:
        """Release what the backend holds."""
        self._inner.close()

    def run(self, doing: str, operation: Callable[[], T]) -> T:
        """Return the result of a backend operation, retrying it on TransientError; `doing` describes it."""
        self._refuse_silent()
        return self._run(doing, operation)

    def _run(self, doing: str, operation: Callable[[], T]) -> T:
        attempts = _Attempts(self, doing)
        while True:
            try:
                result = operation()
            except TransientError as error:
                attempts.wait_after(error)
            else:
                attempts.succeeded()
                return result

    def _refuse_interrupted(self, handle: Handle) -> None:
        if self._stopped.is_set() and handle.type is FileType.PACK:
            raise TransientError("the program was interrupted")

    def _refuse_silent(self) -> None:
        if self._silent_since is not None and self._clock() - self._silent_since < SILENT_SECONDS:
            raise BackendError("the server did not respond; no request is sent for a minute")

    def _refuse_failed(self, handle: Handle) -> None:
        failed_at = self._failed_loads.get(handle)
        if failed_at is None:
            return
        if self._clock() - failed_at < FAILED_LOAD_SECONDS:
            raise BackendError(f"loading {handle} failed repeatedly within the last hour; not retrying")
        self._failed_loads.pop(handle, None)


class _Attempts:
    """The failures of one operation so far."""

    def __init__(self, backend: RetryBackend, doing: str) -> None:
        self._backend = backend
        self._doing = doing
        self._failures = 0
        self._limited = 0
        self._first_failure = 0.0
        self._delay = FIRST_DELAY_SECONDS
        self._silent = True

    def wait_after(self, error: TransientError) -> None:
        """Wait before the next attempt, or raise the error if there is none."""
        backend = self._backend
        now = backend._clock()
        self._limited = 0 if error.attempts is None else self._limited + 1
        if error.attempts is not None and self._limited >= error.attempts:
            backend._silent_since = now if isinstance(error, SilentError) else None
            raise error
        if isinstance(error, SilentError) and backend._silent_since is not None:
            raise error
        if self._failures == 0:
            self._first_failure = now
        unreached = isinstance(error, UnreachedError)
        left = self._first_failure + (backend._unreached_seconds if unreached else backend._total_seconds) - now
        delay = self._next_delay(error)
        if unreached and left > 0:
            # The last attempt is made at that time, however long the waits have become.
            delay = min(delay, left)
        # One retry is made even if the limit is shorter than the first wait.
        too_late = delay > left
        if (backend._stopped.is_set() and delay > 0) or (
            too_late and (self._failures > 0 or error.retry_after_seconds is not None)
        ):
            raise error
        self._failures += 1
        if delay == 0:
            self._silent = True
            return
        self._silent = False
        backend._on_retry(f"{self._doing} did not work, trying again in {delay:.1f} s: {error}")
        backend._sleep(delay)
        if backend._stopped.is_set():
            raise error

    def succeeded(self) -> None:
        """Report success if it took more than one attempt."""
        self._backend._silent_since = None
        if not self._silent:
            times = "time" if self._failures == 1 else "times"
            self._backend._on_retry(f"{self._doing} worked after failing {self._failures} {times}")

    def _next_delay(self, error: TransientError) -> float:
        if error.retry_after_seconds == 0 and self._failures == 0:
            return 0.0
        jitter = 1 + _JITTER * (2 * self._backend._chance() - 1)
        delay = self._delay * jitter
        self._delay = min(self._delay * 2, MAX_DELAY_SECONDS)
        return max(delay, error.retry_after_seconds or 0.0)
