"""Limits the transfer rate, for --limit-upload and --limit-download.

A backend that streams takes tokens from a TokenBucket piece by piece. LimitBackend limits any other backend, one
complete file at a time: the average rate is kept, while each file still moves at full speed.
"""

import threading
import time
from collections.abc import Callable, Iterator

from typing_extensions import Buffer

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.handle import FileType, Handle

_LONGEST_SLEEP_SECONDS = 1.0
"""Waits are split into pieces of this length, so that an interrupt is noticed."""

_BURST_SECONDS = 0.05
_MIN_PIECE_BYTES = 1024
_MAX_PIECE_BYTES = 64 * 1024


class TokenBucket:
    """Limits the average to `bytes_per_second`, with almost no burst after a pause. Thread-safe.

    `piece_bytes` is a suitable piece size for streaming. `clock` returns monotonic seconds; `sleep` waits.
    """

    def __init__(
        self,
        bytes_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._burst = bytes_per_second * _BURST_SECONDS
        self._tokens = self._burst
        self._filled_at = clock()
        self.piece_bytes = int(min(max(bytes_per_second / 16, _MIN_PIECE_BYTES), _MAX_PIECE_BYTES))

    def take(self, count_bytes: int) -> float:
        """Wait until count_bytes may pass; return the seconds waited. Later callers queue behind."""
        waited = remaining = max(0.0, self._reserve(count_bytes))
        while remaining > 0:
            self._sleep(min(remaining, _LONGEST_SLEEP_SECONDS))
            remaining -= _LONGEST_SLEEP_SECONDS
        return waited

    def _reserve(self, count_bytes: int) -> float:
        """Take the tokens, going into debt if necessary; return the seconds to wait until the debt is paid."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            self._tokens -= count_bytes
            return -self._tokens / self._rate


class LimitBackend:
    """A backend whose saves and loads each stay below a rate; None means no limit."""

    def __init__(
        self, inner: Backend, *, upload: TokenBucket | None = None, download: TokenBucket | None = None
    ) -> None:
        self._inner = inner
        self.connections = inner.connections
        self._upload = upload
        self._download = download

    def create(self) -> None:
        """Prepare the repository; see Backend."""
        self._inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle once the rate allows; see Backend."""
        # Behind packs, a lock refresh could wait longer than the lock stays valid.
        if self._upload is not None and handle.type is not FileType.LOCK:
            self._upload.take(memoryview(data).nbytes)
        self._inner.save(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file, delayed until the rate allows more; see Backend."""
        data = self._inner.load(handle, offset, length)
        if self._download is not None:
            # After the load, because only now the number of bytes is known.
            self._download.take(len(data))
        return data

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; see Backend."""
        return self._inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; see Backend."""
        return self._inner.list(file_type)

    def remove(self, handle: Handle) -> None:
        """Remove the file; see Backend."""
        self._inner.remove(handle)

    def close(self) -> None:
        """Release what the backend holds."""
        self._inner.close()
