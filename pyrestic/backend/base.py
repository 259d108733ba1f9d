"""The contract every backend keeps; `tests/backend/test_contract.py` holds all of them to it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from typing_extensions import Buffer

from pyrestic.errors import FormatError
from pyrestic.handle import FileType, Handle


class FileInfo(NamedTuple):
    """A file as a listing shows it: its name (hex) and length in bytes."""

    name: str
    length: int


class Backend(Protocol):
    """Named files somewhere. All methods are safe to call from several threads at once."""

    connections: int
    """How many operations at once make sense here."""

    def create(self) -> None:
        """Prepare an empty place for a repository (folders, bucket); fine if it exists. Raises BackendError."""

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle: whole and durable when this returns, never visible in part. Raises BackendError.

        An existing file of that name is replaced at once, or stays if this raises. `data` must not change until this
        returns and is not kept.
        """

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from offset, or all to the end.

        Raises NotFoundError; FormatError if the file ends before offset + length; BackendError.
        """

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length in bytes. Raises NotFoundError or BackendError."""

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate all files of a type in no order; names that are not 64 hex digits are left out."""

    def remove(self, handle: Handle) -> None:
        """Remove the file. Raises BackendError, or NotFoundError if it is not there and the place tells so."""

    def close(self) -> None:
        """Release connections; the backend is not used afterwards."""


def range_length(handle: Handle, file_length: int, offset: int, length: int | None) -> int:
    """Return how many bytes a load yields; raise FormatError if the file ends before the range does."""
    wanted = file_length - offset if length is None else length
    if offset < 0 or wanted < 0 or offset + wanted > file_length:
        raise FormatError(
            f"file {handle} is too short: it has {file_length} bytes, wanted were {max(wanted, 0)} from {offset} on"
        )
    return wanted


@runtime_checkable
class MetadataCache(Protocol):
    """What a backend with a cache offers beyond Backend; ask with isinstance or getattr.

    Index and snapshot files are cached without being asked for. Packs are only if their caller says that they hold
    trees ("metadata"): packs of file content would fill the disk, and are rarely wanted twice.
    """

    def load_metadata(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Load from a pack of trees like Backend.load; the pack is kept whole in the cache."""

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Save a pack of trees like Backend.save, and keep it in the cache."""

    def forget(self, handle: Handle) -> None:
        """Drop the cached copy of a file whose content turned out to be damaged; the next load reads the backend."""


@runtime_checkable
class IndexCopyCache(Protocol):
    """What a backend with a cache offers for a copy of the whole index; ask with isinstance.

    The copy is one file, in whatever form the caller gives it. Losing it costs time alone.
    """

    def index_copy_length(self) -> int:
        """Return the length of the copy in bytes; raise NotFoundError if there is none, BackendError."""

    def load_index_copy(self, offset: int, length: int) -> bytes:
        """Return bytes of the copy like Backend.load; raise NotFoundError, FormatError or BackendError."""

    def save_index_copy(self, parts: Iterable[Buffer]) -> None:
        """Make all parts, one after the other, the new copy; without effect if the cache cannot be written."""


@runtime_checkable
class Interruptible(Protocol):
    """What a backend offers whose operations may take long; ask with isinstance."""

    def interrupt(self) -> None:
        """End all operations that run now, by a TransientError; later ones are possible."""


@runtime_checkable
class Stoppable(Protocol):
    """What a backend offers that waits before it tries again; ask with isinstance."""

    def stop_retrying(self) -> None:
        """End all waits and transfers that run now, and wait for nothing from now on."""

    def resume_retrying(self) -> None:
        """Wait and try again from now on as before."""


@runtime_checkable
class NearBackend(Protocol):
    """What a backend offers whose files are at hand; ask with find_near."""

    @property
    def near(self) -> bool:
        """Whether they really are: a wrapper is as near as what it wraps."""

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill room with the bytes of the file from offset on; raises what Backend.load raises."""


def find_near(backend: Backend) -> NearBackend | None:
    """Return the backend if its files are at hand, so that many small requests cost as little as a long one."""
    return backend if isinstance(backend, NearBackend) and backend.near else None


def as_near(backend: Backend) -> NearBackend:
    """Return a backend that find_near is known to find."""
    near = find_near(backend)
    assert near is not None  # noqa: S101 - those who ask have looked
    return near
