"""A bounded cache of recently read and prefetched blobs."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

from pyrestic.errors import UsageError
from pyrestic.ids import ID

DEFAULT_BYTES = 32 << 20
_CLOSED = "the repository was closed"


class BlobCache:
    """Loads each blob once for all threads, and keeps the most recently used ones. `load` must be thread-safe."""

    def __init__(self, load: Callable[[ID], bytes], threads: int, max_bytes: int = DEFAULT_BYTES) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
        self._lock = threading.Lock()
        self._blobs: OrderedDict[ID, Future[bytes]] = OrderedDict()
        self._lengths: dict[ID, int] = {}
        self._bytes = 0
        self._closed = False

    def get(self, identifier: ID) -> bytes:
        """Return a blob; raises the errors of loading it, UsageError after `close`."""
        with self._lock:
            if self._closed:
                raise UsageError(_CLOSED)
            future = self._blobs.get(identifier)
            mine = future is None
            if future is None:
                future = self._blobs[identifier] = Future()
            else:
                self._blobs.move_to_end(identifier)
        if mine:
            self._fill(identifier, future)
        try:
            return future.result()
        except CancelledError:
            raise UsageError(_CLOSED) from None

    def prefetch(self, identifiers: list[ID]) -> None:
        """Start to load blobs that are likely to be requested soon."""
        for identifier in identifiers:
            with self._lock:
                if self._closed or identifier in self._blobs:
                    continue
                future = self._blobs[identifier] = Future()
                self._pool.submit(self._fill, identifier, future)

    def close(self) -> None:
        """Wait for running loads, and drop everything."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            waiting = [future for future in self._blobs.values() if not future.done()]
            self._blobs.clear()
        for future in waiting:
            future.cancel()

    def _fill(self, identifier: ID, future: "Future[bytes]") -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            data = self._load(identifier)
        except BaseException as error:
            with self._lock:
                # The next request retries.
                if self._blobs.get(identifier) is future:
                    del self._blobs[identifier]
            future.set_exception(error)
            return
        future.set_result(data)
        with self._lock:
            if self._blobs.get(identifier) is not future:
                return
            self._lengths[identifier] = len(data)
            self._bytes += len(data)
            while self._bytes > self._max_bytes:
                # Keep the blob just loaded, and those that are still loading.
                old = next((one for one in self._blobs if one != identifier and one in self._lengths), None)
                if old is None:
                    return
                del self._blobs[old]
                self._bytes -= self._lengths.pop(old)
