"""Caches small, frequently needed files locally: indexes, snapshots, and packs of trees.

Rules for callers:
- Index and snapshot files are cached automatically and completely, on save and on load.
- Packs are cached only by `save_metadata` and `load_metadata` (see base.MetadataCache): the caller says that they hold
  trees. A plain `load` of a pack still checks the cache first, because restic may have cached it.
- If loaded bytes are corrupt, call `forget` and load again: that reads the backend.
- Only a file whose name is its SHA-256 enters the cache, so a corrupt download is never cached.
- A complete listing of a cached type drops the copies of files that are no longer in the repository.
- The cache never makes an operation fail: after the first error it writes nothing more and reports that once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from typing_extensions import Buffer

from pyrestic.backend.base import (
    Backend,
    FileInfo,
    Stoppable,
    as_cold,
    as_near,
    find_cold,
    find_near,
    range_length,
    save_tree_pack,
)
from pyrestic.backend.layout import check_name
from pyrestic.backend.wrap.cache_folder import CACHED_TYPES, CacheFolder
from pyrestic.errors import BackendError, DamageError, NotFoundError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id

_OVERHEAD = 32
"""Every file is sealed and thus longer than this; a shorter cached file is truncated."""


class CacheBackend:
    """A backend with a cache in `folder`. `on_note` receives the one message that the cache cannot be written."""

    def __init__(self, inner: Backend, folder: CacheFolder, *, on_note: Callable[[str], None]) -> None:
        self._inner = inner
        self.connections = inner.connections
        self._folder = folder
        self._on_note = on_note
        self._lock = threading.Lock()
        self._writable = True
        self._loading: dict[Handle, threading.Lock] = {}
        self._forgotten: set[Handle] = set()
        self._damaged: set[Handle] = set()
        """Files whose cached copies are unusable: they are read from the backend."""

    @property
    def place(self) -> Backend:
        """The backend whose files are kept, for those who want to see the files themselves."""
        return self._inner

    def create(self) -> None:
        """Prepare the repository; see Backend."""
        self._inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle, and in the cache unless it is a pack; see Backend."""
        self._inner.save(handle, data)
        if handle.type is not FileType.PACK:
            self._keep(handle, data)

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Store a pack of trees, and in the cache; see MetadataCache."""
        save_tree_pack(self._inner, handle, data)
        self._keep(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file from the cache or the backend; see Backend."""
        return self._load(handle, offset, length, keep=handle.type is not FileType.PACK)

    def load_metadata(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a pack of trees and cache the complete pack; see MetadataCache."""
        return self._load(handle, offset, length, keep=True)

    def index_copy_length(self) -> int:
        """Return the length of the index copy in bytes; see IndexCopyCache."""
        return self._folder.index_copy_length()

    def load_index_copy(self, offset: int, length: int) -> bytes:
        """Return bytes of the index copy; see IndexCopyCache."""
        return self._folder.load_index_copy(offset, length)

    def save_index_copy(self, parts: Iterable[Buffer]) -> None:
        """Store a copy of the entire index; see IndexCopyCache."""
        if not self._writable:
            return
        try:
            self._folder.save_index_copy(parts)
        except BackendError as error:
            self._give_up(error)

    @property
    def cold_seconds(self) -> float:
        """How long to wait for packs in cold storage; see ColdStorage."""
        cold = find_cold(self._inner)
        return 0.0 if cold is None else cold.cold_seconds

    def warm_up(self, handle: Handle) -> bool:
        """Request that a file becomes readable; see ColdStorage."""
        return as_cold(self._inner).warm_up(handle)

    @property
    def near(self) -> bool:
        """Whether the backend's files are local; see NearBackend."""
        return find_near(self._inner) is not None

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill the buffer with bytes of the file, from the cache if possible; see NearBackend."""
        near = as_near(self._inner)
        is_cached = handle.type in CACHED_TYPES and handle not in self._damaged
        data = self._find(handle, offset, len(room)) if is_cached else None
        if data is None:
            near.load_into(handle, offset, room)
        else:
            room[:] = data

    def forget(self, handle: Handle) -> None:
        """Drop the copy of a corrupt file; after the second time, the file is not cached again.

        The copy made after the first time was compared with its name. So either the cache disk is failing, or the file
        in the repository is corrupt: only the file itself can tell.
        """
        with self._lock:
            if handle in self._forgotten:
                self._damaged.add(handle)
            self._forgotten.add(handle)
        self._drop(handle)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length from the backend; see Backend."""
        try:
            return self._inner.stat(handle)
        except NotFoundError:
            self._drop(handle)
            raise

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type from the backend's listing; see Backend."""
        seen = set()
        for info in self._inner.list(file_type):
            seen.add(info.name)
            yield info
        self._drop_all_but(file_type, seen)

    def remove(self, handle: Handle) -> None:
        """Remove the file and its copy; see Backend."""
        try:
            self._inner.remove(handle)
        except NotFoundError:
            self._drop(handle)
            raise
        self._drop(handle)

    def stop_retrying(self) -> None:
        """Abort all waits; see Stoppable."""
        if isinstance(self._inner, Stoppable):
            self._inner.stop_retrying()

    def resume_retrying(self) -> None:
        """Wait again from now on; see Stoppable."""
        if isinstance(self._inner, Stoppable):
            self._inner.resume_retrying()

    def close(self) -> None:
        """Release the backend; the cache stays."""
        self._inner.close()

    def _load(self, handle: Handle, offset: int, length: int | None, *, keep: bool) -> bytes:
        if handle.type not in CACHED_TYPES or handle in self._damaged:
            return self._inner.load(handle, offset, length)
        data = self._find(handle, offset, length)
        if data is not None:
            return data
        if not keep or not self._writable:
            return self._inner.load(handle, offset, length)
        with self._one_at_a_time(handle):
            # Another thread may have loaded it meanwhile.
            data = self._find(handle, offset, length)
            if data is not None:
                return data
            whole = self._inner.load(handle)
            if hash_id(whole).hex() == handle.name:
                self._keep(handle, whole)
            else:
                self._damaged.add(handle)
        return whole[offset : offset + range_length(handle, len(whole), offset, length)]

    def _find(self, handle: Handle, offset: int, length: int | None) -> bytes | None:
        """Return bytes of the cached copy, None if there is no valid one."""
        check_name(handle)
        try:
            data = self._folder.load(handle, offset, length)
        except NotFoundError:
            return None
        except (BackendError, DamageError):
            # Truncated or unreadable: the backend decides whether the request was valid.
            self._drop(handle)
            return None
        if offset == 0 and length is None and len(data) <= _OVERHEAD:
            self._drop(handle)
            return None
        return data

    def _keep(self, handle: Handle, data: Buffer) -> None:
        if handle.type not in CACHED_TYPES or not self._writable or memoryview(data).nbytes <= _OVERHEAD:
            return
        try:
            self._folder.save(handle, data)
        except BackendError as error:
            self._give_up(error)
            # The cache must not keep a file that was replaced.
            self._drop(handle)

    def _give_up(self, error: BackendError) -> None:
        self._writable = False
        self._on_note(f"the cache is not used for new files: {error}")

    def _drop(self, handle: Handle) -> None:
        if handle.type not in CACHED_TYPES:
            return
        try:
            self._folder.remove(handle)
        except (BackendError, DamageError):
            # A file that cannot be removed is caught by its hash when it is read.
            pass

    def _drop_all_but(self, file_type: FileType, names: set[str]) -> None:
        if file_type not in CACHED_TYPES:
            return
        try:
            gone = [name for name in self._folder.list_names(file_type) if name not in names]
        except BackendError:
            return
        for name in gone:
            self._drop(Handle(file_type, name))

    @contextmanager
    def _one_at_a_time(self, handle: Handle) -> Iterator[None]:
        """Let one thread load a file while other threads that request it wait."""
        with self._lock:
            turn = self._loading.setdefault(handle, threading.Lock())
        try:
            with turn:
                yield
        finally:
            with self._lock:
                self._loading.pop(handle, None)
