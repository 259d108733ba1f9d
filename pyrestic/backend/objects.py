"""A repository in an object store. A store implements the requests, `ObjectBackend` everything that all stores share.

Files are stored under their names in restic's default layout, below a prefix.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo, range_length
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.layout import DEFAULT_LAYOUT, FOLDERS
from pyrestic.errors import BackendError, FormatError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle

DEFAULT_CONNECTIONS = 5
MAX_FILE_BYTES = 2 << 30
"""Limit of a file that is read in full; packs have 128 MiB at most, and index files far less."""
MAX_SHORT_PAGES = 100
"""How many pages with fewer than MIN_NAMES names a listing may have: each page may be billed."""
MIN_NAMES = 10

_CONFIG = Handle(FileType.CONFIG, "")


class ListedObject(NamedTuple):
    """An object in a listing: its complete key and its length in bytes."""

    key: str
    length: int


class ObjectPage(NamedTuple):
    """A page of a listing, and the marker of the next one, "" after the last."""

    objects: list[ListedObject]
    next_marker: str


class ObjectStore(Protocol):
    """The requests of a store. Keys are complete, with the prefix. All methods are thread-safe and raise BackendError.

    Each makes one attempt: only an expired token is renewed once (`leases.py`). `statuses.error_of` makes the errors.
    """

    def prepare(self) -> None:
        """Make the bucket unless it exists."""

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:
        """Store an object: complete and durable on return, never partly visible. An existing one is replaced.

        `archivable` is set for packs of file content. Only they may go to storage that needs hours to answer.
        """

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        """Return the response of status 200, 206 or 416 with an object, or with a range of it such as "bytes=0-9".

        `range_text` is "" for the complete object. Raises NotFoundError. 416 is for a range beyond the end.
        """

    def find_length(self, key: str) -> int:
        """Return the length of an object; raise NotFoundError."""

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        """Return a page of the objects whose keys start with prefix; `marker` is "" for the first one."""

    def delete(self, key: str) -> None:
        """Delete an object. Raises NotFoundError if it is missing and the store reports that."""

    def interrupt(self) -> None:
        """Abort all running requests with a TransientError; later ones are possible."""

    def close(self) -> None:
        """Close all connections."""


@runtime_checkable
class ColdStore(Protocol):
    """Optional operations of a store with storage classes that take hours to be read; check with isinstance."""

    cold_seconds: float
    """How long to wait for objects in cold storage; 0 if they are not to be requested."""

    def warm_up(self, key: str) -> bool:
        """Request that an object becomes readable, if necessary; return whether it is. Raises BackendError."""


class ObjectBackend:
    """The Backend protocol on a store; it connects on the first call."""

    def __init__(self, store: ObjectStore, prefix: str, connections: int = DEFAULT_CONNECTIONS) -> None:
        self.connections = connections
        self._store = store
        self._base = f"{prefix.removesuffix('/')}/" if prefix else ""

    @property
    def store(self) -> ObjectStore:
        """The requests, for code specific to a store."""
        return self._store

    @property
    def read_only(self) -> bool:
        """Whether the store shows a past state."""
        return bool(getattr(self._store, "read_only", False))

    @property
    def base(self) -> str:
        """Common prefix of all keys of the repository."""
        return self._base

    def create(self) -> None:
        """Make the bucket unless it exists; raise BackendError."""
        self._store.prepare()

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle; raise BackendError."""
        self._put(handle, data, archivable=handle.type is FileType.PACK)

    def save_metadata(self, handle: Handle, data: Buffer) -> None:
        """Store a pack of trees, which must be readable at any time; raise BackendError."""
        self._put(handle, data, archivable=False)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, FormatError if it ends too early, BackendError."""
        key = self.key(handle)
        if length == 0 or offset < 0:
            return self._load_nothing(handle, offset, length)
        range_text = "" if offset == 0 and length is None else f"bytes={offset}-"
        if length is not None:
            range_text += str(offset + length - 1)
        answer = self._store.get(key, range_text, length or MAX_FILE_BYTES)
        if answer.status == 416:
            # The range starts at the end or beyond.
            return self._load_nothing(handle, offset, length)
        return _check_download(handle, answer, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError or BackendError."""
        return FileInfo(handle.name, self._store.find_length(self.key(handle)))

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; foreign names are skipped."""
        if file_type is FileType.CONFIG:
            try:
                yield self.stat(_CONFIG)
            except NotFoundError:
                pass
            return
        for listed in list_objects(self._store, f"{self._base}{FOLDERS[file_type]}/"):
            handle = DEFAULT_LAYOUT.find_handle(listed.key[len(self._base) :])
            if handle is not None and handle.type is file_type:
                yield FileInfo(handle.name, listed.length)

    def remove(self, handle: Handle) -> None:
        """Remove the file; raise BackendError, or NotFoundError if it is missing and the store reports that."""
        self._store.delete(self.key(handle))

    @property
    def cold_seconds(self) -> float:
        """How long to wait for packs in cold storage; see ColdStorage."""
        return self._store.cold_seconds if isinstance(self._store, ColdStore) else 0.0

    def warm_up(self, handle: Handle) -> bool:
        """Request that a file becomes readable; see ColdStorage."""
        return not isinstance(self._store, ColdStore) or self._store.warm_up(self.key(handle))

    def interrupt(self) -> None:
        """Abort all running transfers; see Interruptible."""
        self._store.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._store.close()

    def key(self, handle: Handle) -> str:
        """Return the key of a file; raise FormatError if its name is invalid."""
        return self._base + DEFAULT_LAYOUT.path(handle)

    def _put(self, handle: Handle, data: Buffer, *, archivable: bool) -> None:
        self._store.put(self.key(handle), memoryview(data).cast("B"), archivable=archivable)

    def _load_nothing(self, handle: Handle, offset: int, length: int | None) -> bytes:
        """Return no bytes for an empty range, after checking the length of the file."""
        if range_length(handle, self.stat(handle).length, offset, length) != 0:
            raise TransientError(
                f"loading {handle} failed: the server refuses a range that is within the file",
                attempts=SENSELESS_ATTEMPTS,
            )
        return b""


def list_objects(store: ObjectStore, prefix: str) -> Iterator[ListedObject]:
    """Iterate the objects whose keys start with prefix; raise BackendError, also if the pages do not end."""
    marker = ""
    seen: set[str] = set()
    short = 0
    while True:
        page = store.list_page(prefix, marker)
        for listed in page.objects:
            if not listed.key.startswith(prefix):
                raise BackendError(f"listing {prefix} failed: the server lists {listed.key!a}, which is elsewhere")
            yield listed
        marker = page.next_marker
        if not marker:
            return
        short += len(page.objects) < MIN_NAMES
        if marker in seen or short > MAX_SHORT_PAGES:
            raise BackendError(f"listing {prefix} failed: the pages of the server do not end")
        seen.add(marker)


def find_length(answer: Answer, doing: str) -> int:
    """Return the length in a response to HEAD; raise TransientError if there is none."""
    if answer.content_length is None:
        raise TransientError(f"{doing} failed: the server does not report its length", attempts=SENSELESS_ATTEMPTS)
    return answer.content_length


def _check_download(handle: Handle, answer: Answer, offset: int, length: int | None) -> bytes:
    """Return the body of a download; raise FormatError if the file is too short, TransientError if it is wrong."""
    body = answer.body
    whole = offset == 0 and length is None
    if answer.status != (200 if whole else 206):
        raise _senseless(handle, f"the server sent {'a part' if whole else 'another part'} of it")
    if length is not None and len(body) < length:
        raise FormatError(f"file {handle} is too short: it has {offset + len(body)} bytes")
    if whole:
        return body
    first, last, total = _read_content_range(answer)
    if first != offset or (length is None and total is not None and last != total - 1):
        raise _senseless(handle, "the server sent another part of it")
    return body


def _read_content_range(answer: Answer) -> tuple[int, int, int | None]:
    """Return the first and the last byte and the length of the file, None if unknown; -1 for what is invalid."""
    text = answer.headers.get("content-range", "")
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", text, re.ASCII)
    if match is None:
        return -1, -1, None
    return int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])


def _senseless(handle: Handle, reason: str) -> TransientError:
    return TransientError(f"loading {handle} failed: {reason}", attempts=SENSELESS_ATTEMPTS)
