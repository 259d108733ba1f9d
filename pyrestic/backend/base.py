"""The contract of every backend; the tests in `pyrestic/testing/backend_contract.py` check all of them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from typing_extensions import Buffer

from pyrestic.errors import FormatError
from pyrestic.handle import FileType, Handle


class FileInfo(NamedTuple):
    """A file in a listing: its name (hex) and length in bytes."""

    name: str
    length: int


class Backend(Protocol):
    """Storage of named files. All methods are thread-safe."""

    connections: int
    """Recommended number of concurrent operations."""

    def create(self) -> None:
        """Prepare an empty repository (folders, bucket); no error if it exists. Raises BackendError."""

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle: complete and durable on return, never partly visible. Raises BackendError.

        An existing file of that name is replaced atomically, or stays if this raises. `data` must not change until this
        returns; no reference to it is kept.
        """

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from offset, or all to the end.

        Raises NotFoundError; FormatError if the file ends before offset + length; BackendError.
        """

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length in bytes. Raises NotFoundError or BackendError."""

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate all files of a type in any order; names that are not 64 hex digits are skipped."""

    def remove(self, handle: Handle) -> None:
        """Remove the file. Raises BackendError, or NotFoundError if it is missing and the backend reports that."""

    def close(self) -> None:
        """Release connections; the backend must not be used afterward."""


def range_length(handle: Handle, file_length: int, offset: int, length: int | None) -> int:
    """Return the number of bytes of a load; raise FormatError if the file ends before the range."""
    wanted = file_length - offset if length is None else length
    if offset < 0 or wanted < 0 or offset + wanted > file_length:
        raise FormatError(
            f"file {handle} is too short: it has {file_length} bytes, wanted were {max(wanted, 0)} from {offset} on"
        )
    return wanted


@runtime_checkable
class TreePackStore(Protocol):
    """Optional operation of a backend that treats packs of trees differently; see save_tree_pack."""

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Save a pack of trees like Backend.save."""


def save_tree_pack(backend: Backend, handle: Handle, data: Buffer) -> None:
    """Save a pack of trees like Backend.save: it is read often, so it is cached, and never goes to cold storage."""
    if isinstance(backend, TreePackStore):
        backend.save_metadata(handle, data)
    else:
        backend.save(handle, data)


@runtime_checkable
class ColdStorage(Protocol):
    """Optional operations of a backend whose packs may need hours before they can be read; check with find_cold."""

    @property
    def cold_seconds(self) -> float:
        """How long to wait for packs in cold storage; 0 if they are not to be requested, because that is billed."""

    def warm_up(self, handle: Handle) -> bool:
        """Request that a file becomes readable, if necessary; return whether it is. Raises BackendError."""


def find_cold(backend: Backend) -> ColdStorage | None:
    """Return the backend if packs in cold storage are to be requested before they are read."""
    return backend if isinstance(backend, ColdStorage) and backend.cold_seconds > 0 else None


def as_cold(backend: Backend) -> ColdStorage:
    """Return a backend for which find_cold is known to succeed."""
    cold = find_cold(backend)
    assert cold is not None  # noqa: S101 - those who ask have looked
    return cold


@runtime_checkable
class MetadataCache(Protocol):
    """Optional operations of a backend with a cache; check with isinstance or getattr.

    Index and snapshot files are cached automatically. Packs are cached only if the caller says that they hold trees
    ("metadata"): packs of file content would fill the disk and are rarely read twice.
    """

    def load_metadata(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Load from a pack of trees like Backend.load; the complete pack is cached."""

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Save a pack of trees like Backend.save, and cache it."""

    def forget(self, handle: Handle) -> None:
        """Drop the cached copy of a corrupt file; the next load reads the backend."""


@runtime_checkable
class IndexCopyCache(Protocol):
    """Optional operations for a cached copy of the entire index; check with isinstance.

    The copy is one file in any form that the caller chooses. Losing it only costs time.
    """

    def index_copy_length(self) -> int:
        """Return the length of the copy in bytes; raise NotFoundError if there is none, BackendError."""

    def load_index_copy(self, offset: int, length: int) -> bytes:
        """Return bytes of the copy like Backend.load; raise NotFoundError, FormatError or BackendError."""

    def save_index_copy(self, parts: Iterable[Buffer]) -> None:
        """Replace the copy with the concatenated parts; no effect if the cache cannot be written."""


@runtime_checkable
class Interruptible(Protocol):
    """Optional operations of a backend with long-running requests; check with isinstance."""

    def interrupt(self) -> None:
        """Abort all running operations with a TransientError; later ones are possible."""


@runtime_checkable
class Stoppable(Protocol):
    """Optional operations of a backend that waits before retries; check with isinstance."""

    def stop_retrying(self) -> None:
        """Abort all running waits and transfers, and never wait again."""

    def resume_retrying(self) -> None:
        """Wait and retry again as before."""


@runtime_checkable
class NearBackend(Protocol):
    """Optional operations of a backend with files on a local path; check with find_near."""

    @property
    def near(self) -> bool:
        """Whether the files are local: a wrapper is local if the wrapped backend is."""

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill the buffer with the bytes of the file from offset on; raises the errors of Backend.load."""


def find_near(backend: Backend) -> NearBackend | None:
    """Return the backend if its files are local, so that many small requests are as cheap as a long one."""
    return backend if isinstance(backend, NearBackend) and backend.near else None


def as_near(backend: Backend) -> NearBackend:
    """Return a backend for which find_near is known to succeed."""
    near = find_near(backend)
    assert near is not None  # noqa: S101 - those who ask have looked
    return near
