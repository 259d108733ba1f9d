"""Simulates writes for --dry-run: saves and removals are dropped, everything else is real.

As in restic, saved data cannot be read back, and removed files still exist: a dry run keeps no second repository in
memory. It bypasses the cache, so that no simulated data gets in there.
"""

from collections.abc import Iterator

from typing_extensions import Buffer

from pyrestic.backend.base import Backend, FileInfo, MetadataCache
from pyrestic.backend.layout import check_name
from pyrestic.handle import FileType, Handle


class DryRunBackend:
    """A backend that changes nothing."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.connections = inner.connections

    def create(self) -> None:
        """Prepare nothing."""

    def save(self, handle: Handle, data: Buffer) -> None:  # noqa: ARG002 - the protocol's signature
        """Drop the data."""
        check_name(handle)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an existing file; see Backend."""
        return self._inner.load(handle, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; see Backend."""
        return self._inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the existing files; see Backend."""
        return self._inner.list(file_type)

    def remove(self, handle: Handle) -> None:
        """Leave the file where it is."""
        check_name(handle)

    def close(self) -> None:
        """Release what the backend holds."""
        self._inner.close()

    def load_metadata(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Load through the cache of the backend, if it has one; see MetadataCache."""
        if isinstance(self._inner, MetadataCache):
            return self._inner.load_metadata(handle, offset, length)
        return self._inner.load(handle, offset, length)

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Drop the data."""
        self.save(handle, data)

    def forget(self, handle: Handle) -> None:
        """Drop a damaged copy from the cache of the backend, if it has one."""
        if isinstance(self._inner, MetadataCache):
            self._inner.forget(handle)
