"""A repository in memory, for tests and experiments."""

import threading
from collections.abc import Iterator

from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo, range_length
from pyrestic.backend.layout import check_name
from pyrestic.errors import NotFoundError
from pyrestic.handle import FileType, Handle

DEFAULT_CONNECTIONS = 2


class MemoryBackend:
    """The Backend protocol on a dictionary. The content is gone with the object."""

    def __init__(self, connections: int = DEFAULT_CONNECTIONS) -> None:
        self.connections = connections
        self._files: dict[Handle, bytes] = {}
        self._lock = threading.Lock()

    def create(self) -> None:
        """Nothing to prepare."""

    def save(self, handle: Handle, data: Buffer) -> None:
        """Keep a copy of data."""
        check_name(handle)
        copy = bytes(data)
        with self._lock:
            self._files[handle] = copy

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, or FormatError if it ends too early."""
        data = self._file(handle)
        return data[offset : offset + range_length(handle, len(data), offset, length)]

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError."""
        return FileInfo(handle.name, len(self._file(handle)))

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the current files of a type."""
        with self._lock:
            found = [FileInfo(h.name, len(data)) for h, data in self._files.items() if h.type is file_type]
        return iter(found)

    def remove(self, handle: Handle) -> None:
        """Remove the file; raise NotFoundError."""
        check_name(handle)
        with self._lock:
            if self._files.pop(handle, None) is None:
                raise NotFoundError(f"removing {handle} failed: no such file")

    def close(self) -> None:
        """Nothing to release; the content stays, so that tests can open it again."""

    def _file(self, handle: Handle) -> bytes:
        check_name(handle)
        with self._lock:
            data = self._files.get(handle)
        if data is None:
            raise NotFoundError(f"reading {handle} failed: no such file")
        return data
