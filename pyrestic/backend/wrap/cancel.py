"""Ends the current work on request: from then on, no more requests go to the backend.

Only requests that end the work cleanly pass: lock files and index files. So the next run finds everything stored so
far, and an index rebuild is not left half done.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator

from typing_extensions import Buffer

from pyrestic.backend.base import (
    Backend,
    FileInfo,
    IndexCopyCache,
    MetadataCache,
    Stoppable,
    as_cold,
    as_near,
    find_cold,
    find_near,
    save_tree_pack,
)
from pyrestic.errors import CancelledError
from pyrestic.handle import FileType, Handle

_POLL_SECONDS = 0.1


class CancelBackend:
    """A backend that rejects all requests once `cancel` is set: it raises CancelledError."""

    def __init__(self, inner: Backend, cancel: threading.Event) -> None:
        self._inner = inner
        self._cancel = cancel
        self.connections = inner.connections
        self.refused = False
        """Whether a request was rejected; stays set even if `cancel` is cleared."""

    def ensure_wanted(self) -> None:
        """Raise CancelledError if cancellation was requested."""
        if self.refused or self._cancel.is_set():
            self.refused = True
            raise CancelledError("canceled by the program; nothing more was read or written")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Also abort waiting requests, for the duration of a with block."""
        inner = self._inner
        if not isinstance(inner, Stoppable):
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(inner, done), name="cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            inner.resume_retrying()

    def _watch(self, inner: Stoppable, done: threading.Event) -> None:
        while not done.wait(_POLL_SECONDS):
            if self._cancel.is_set():
                inner.stop_retrying()
                return

    def create(self) -> None:
        """Prepare the repository; see Backend."""
        self.ensure_wanted()
        self._inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle; see Backend."""
        self._check(handle, writes=True)
        self._inner.save(handle, data)

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Save a pack of trees; see save_tree_pack."""
        self._check(handle, writes=True)
        save_tree_pack(self._inner, handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; see Backend."""
        self._check(handle)
        return self._inner.load(handle, offset, length)

    @property
    def cold_seconds(self) -> float:
        """How long to wait for packs in cold storage; see ColdStorage."""
        cold = find_cold(self._inner)
        return 0.0 if cold is None else cold.cold_seconds

    def warm_up(self, handle: Handle) -> bool:
        """Request that a file becomes readable; see ColdStorage."""
        self._check(handle)
        return as_cold(self._inner).warm_up(handle)

    @property
    def near(self) -> bool:
        """Whether the files are local; see NearBackend."""
        return find_near(self._inner) is not None

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill the buffer with bytes of the file, if it is local; see NearBackend."""
        self._check(handle)
        as_near(self._inner).load_into(handle, offset, room)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; see Backend."""
        self._check(handle)
        return self._inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; see Backend."""
        for info in self._inner.list(file_type):
            if file_type is not FileType.LOCK:
                self.ensure_wanted()
            yield info

    def remove(self, handle: Handle) -> None:
        """Remove the file; see Backend."""
        self._check(handle, writes=True)
        self._inner.remove(handle)

    def close(self) -> None:
        """Release what the backend holds."""
        self._inner.close()

    def _check(self, handle: Handle, *, writes: bool = False) -> None:
        if handle.type is FileType.LOCK or (writes and handle.type is FileType.INDEX):
            return
        self.ensure_wanted()


class CancelCache(CancelBackend):
    """The same for a backend with a cache."""

    def __init__(self, inner: Backend, cancel: threading.Event) -> None:
        super().__init__(inner, cancel)
        assert isinstance(inner, MetadataCache)  # noqa: S101 - see make_cancellable
        self._cache = inner

    def load_metadata(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Load from a pack of trees; see MetadataCache."""
        self._check(handle)
        return self._cache.load_metadata(handle, offset, length)

    def forget(self, handle: Handle) -> None:
        """Drop the cached copy of a damaged file; see MetadataCache."""
        self._cache.forget(handle)


class CancelIndexCache(CancelCache):
    """The same for a cache that keeps a copy of the index."""

    def __init__(self, inner: Backend, cancel: threading.Event) -> None:
        super().__init__(inner, cancel)
        assert isinstance(inner, IndexCopyCache)  # noqa: S101 - see make_cancellable
        self._copies = inner

    def index_copy_length(self) -> int:
        """Return the length of the copy; see IndexCopyCache."""
        self.ensure_wanted()
        return self._copies.index_copy_length()

    def load_index_copy(self, offset: int, length: int) -> bytes:
        """Return bytes of the copy; see IndexCopyCache."""
        self.ensure_wanted()
        return self._copies.load_index_copy(offset, length)

    def save_index_copy(self, parts: Iterable[Buffer]) -> None:
        """Make the parts the new copy; see IndexCopyCache."""
        self._copies.save_index_copy(parts)


def make_cancellable(backend: Backend, cancel: threading.Event) -> CancelBackend:
    """Return a wrapper that ends when `cancel` is set and supports everything that the backend supports."""
    if isinstance(backend, MetadataCache):
        kind = CancelIndexCache if isinstance(backend, IndexCopyCache) else CancelCache
        return kind(backend, cancel)
    return CancelBackend(backend, cancel)
