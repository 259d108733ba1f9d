"""A repository on a REST server: rest-server, `rclone serve restic`, and others that speak versions 1 or 2 of restic's
REST protocol (restic's document "REST Backend").

Version 1 lists only names, version 2 also lengths; the content type of the response shows the version. Servers refuse
to overwrite files, and append-only ones to remove any file except locks.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Protocol

import msgspec
from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo, range_length
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.layout import CONFIG_NAME, FOLDERS, REST_LAYOUT, is_file_name
from pyrestic.backend.redirects import Redirects
from pyrestic.backend.rest_url import RestUrl
from pyrestic.errors import (
    AccessError,
    BackendError,
    FormatError,
    NotFoundError,
    PyresticError,
    TransientError,
)
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id

DEFAULT_CONNECTIONS = 5
MAX_FILE_BYTES = 2 << 30

_VERSION_2 = "application/vnd.x.restic.rest.v2"
_MAX_LIST_BYTES = 1 << 30
_BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Statuses of a server that is overloaded or restarting; all other failures are final."""
_CONFIG = Handle(FileType.CONFIG, "")


class _Entry(msgspec.Struct):
    """A file in a version 2 listing."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class RestClient(Protocol):
    """What sends requests; see HttpClient."""

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Buffer | None = None, max_length: int
    ) -> Answer:
        """Send a request and return its response; raise BackendError."""

    def interrupt(self) -> None:
        """Abort all running requests; later ones are possible."""

    def close(self) -> None:
        """Close all connections."""


class RestBackend:
    """The Backend protocol on a REST server; it connects on the first call."""

    def __init__(self, client: RestClient, url: RestUrl, connections: int = DEFAULT_CONNECTIONS) -> None:
        self.connections = connections
        self._client = client
        self._redirects = Redirects(url.address)
        self._headers = {"Accept": _VERSION_2}
        if url.user or url.password:
            secret = base64.b64encode(f"{url.user}:{url.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {secret}"

    def create(self) -> None:
        """Let the server create its folders; no error if they exist. Raises BackendError."""
        answer = self._send("POST", "?create=true", body=b"", max_length=_MAX_LIST_BYTES)
        if answer.status != 200:
            raise _error_of(answer, "creating the repository")

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle; raise BackendError.

        Servers accept a name only once. An existing file is kept if it has the right name and length: most likely it is
        from an attempt whose response was lost. Otherwise it is removed first.
        """
        answer = self._post(handle, data)
        if answer.status == 403 and (length := self._find_length(handle)) is not None:
            view = memoryview(data)
            if length == view.nbytes and hash_id(view).hex() == handle.name:
                return
            self.remove(handle)
            answer = self._post(handle, data)
        if answer.status != 200:
            raise _error_of(answer, f"saving {handle}")

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, FormatError if it ends too early, BackendError."""
        if length == 0 or offset < 0:
            return self._load_nothing(handle, offset, length)
        whole = offset == 0 and length is None
        headers = {}
        if not whole:
            headers["Range"] = f"bytes={offset}-" + ("" if length is None else str(offset + length - 1))
        answer = self._send("GET", REST_LAYOUT.path(handle), headers=headers, max_length=length or MAX_FILE_BYTES)
        if answer.status == 416 or (not whole and answer.status in (200, 206) and not answer.body):
            # Servers report a range that starts at the end or beyond in different ways.
            return self._load_nothing(handle, offset, length)
        if answer.status != (200 if whole else 206):
            raise self._refusal(answer, handle, f"loading {handle}")
        if length is not None and len(answer.body) < length:
            raise FormatError(f"file {handle} is too short: it has {offset + len(answer.body)} bytes")
        return answer.body

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError or BackendError."""
        answer = self._send("HEAD", REST_LAYOUT.path(handle), max_length=0)
        if answer.status != 200:
            raise self._refusal(answer, handle, f"looking for {handle}")
        if answer.content_length is None:
            raise BackendError(f"looking for {handle} failed: the server does not report its length")
        return FileInfo(handle.name, answer.content_length)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; foreign names are skipped."""
        if file_type is FileType.CONFIG:
            length = self._find_length(_CONFIG)
            if length is not None:
                yield FileInfo("", length)
            return
        found = self._list_folder(f"{FOLDERS[file_type]}/", f"listing {file_type.value} files")
        names = [entry for entry in found if isinstance(entry, str) and is_file_name(entry)]
        yield from (FileInfo(its.name, its.size) for its in found if isinstance(its, _Entry) and is_file_name(its.name))
        yield from self._stat_all(file_type, names)

    def remove(self, handle: Handle) -> None:
        """Remove the file; raise BackendError, or NotFoundError if the server reports it (rest-server does not)."""
        answer = self._send("DELETE", REST_LAYOUT.path(handle), max_length=_MAX_LIST_BYTES)
        if answer.status == 403:
            raise AccessError(f"removing {handle} failed: the server refuses it", hint="The server may be append-only.")
        if answer.status not in (200, 204):
            raise self._refusal(answer, handle, f"removing {handle}")

    def interrupt(self) -> None:
        """Abort all running transfers; see Interruptible."""
        self._client.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: Buffer | None = None,
        max_length: int,
    ) -> Answer:
        full = {**self._headers, **(headers or {})}

        def send(address: str) -> Answer:
            return self._client.send(method, address, headers=full, body=body, max_length=max_length)

        return self._redirects.follow(path, send)

    def _post(self, handle: Handle, data: Buffer) -> Answer:
        headers = {"Content-Type": "application/octet-stream"}
        return self._send("POST", REST_LAYOUT.path(handle), headers=headers, body=data, max_length=_MAX_LIST_BYTES)

    def _list_folder(self, path: str, doing: str) -> Sequence[_Entry | str]:
        """Return the entries of a folder, only names in version 1; empty if it does not exist."""
        answer = self._send("GET", path, max_length=_MAX_LIST_BYTES)
        if answer.status == 404 and not _is_of_rclone(answer):
            # The folder does not exist yet. rclone lists those as empty, and returns 404 for failures of its own.
            return []
        if answer.status == 404:
            raise TransientError(f"{doing} failed: rclone says 404")
        if answer.status != 200:
            raise _error_of(answer, doing)
        try:
            if answer.headers.get("content-type", "") == _VERSION_2:
                return msgspec.json.decode(answer.body, type=list[_Entry])
            return msgspec.json.decode(answer.body, type=list[str])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise BackendError(f"{doing} failed: the response is not from a REST server for restic") from None

    def _refusal(self, answer: Answer, handle: Handle, doing: str) -> PyresticError:
        """Return the error for a response without success to a request for a file.

        rclone says 404 also for failures of the remote: to removals, in older versions to all requests for files. Then
        listing fails, or the file is in the list.
        """
        if answer.status == 404 and _is_of_rclone(answer) and self._is_listed(handle, doing):
            return TransientError(f"{doing} failed: rclone says 404 for a file that it lists")
        return _error_of(answer, doing)

    def _is_listed(self, handle: Handle, doing: str) -> bool:
        if handle != _CONFIG:
            return handle.name in {_name_of(its) for its in self._list_folder(f"{FOLDERS[handle.type]}/", doing)}
        # rclone lists all files below the first folder, which may be a whole drive if there is no repository.
        keys = self._list_folder(f"{FOLDERS[FileType.KEY]}/", doing)
        return bool(keys) and CONFIG_NAME in {_name_of(its) for its in self._list_folder("", doing)}

    def _find_length(self, handle: Handle) -> int | None:
        try:
            return self.stat(handle).length
        except NotFoundError:
            return None

    def _load_nothing(self, handle: Handle, offset: int, length: int | None) -> bytes:
        """Return no bytes for an empty range, after checking the length of the file."""
        if range_length(handle, self.stat(handle).length, offset, length) != 0:
            raise TransientError(
                f"loading {handle} failed: the server refuses a range that is within the file",
                attempts=SENSELESS_ATTEMPTS,
            )
        return b""

    def _stat_all(self, file_type: FileType, names: Iterable[str]) -> Iterator[FileInfo]:
        """Query the length of each file, several concurrently; files removed meanwhile are skipped."""

        def find(name: str) -> FileInfo | None:
            length = self._find_length(Handle(file_type, name))
            return None if length is None else FileInfo(name, length)

        with ThreadPoolExecutor(self.connections, thread_name_prefix="rest-list") as pool:
            yield from [info for info in pool.map(find, names) if info is not None]


def _is_of_rclone(answer: Answer) -> bool:
    return answer.headers.get("server", "").startswith("rclone/")


def _name_of(entry: _Entry | str) -> str:
    return entry if isinstance(entry, str) else entry.name


def _error_of(answer: Answer, doing: str) -> PyresticError:
    """Return the error for a response without success."""
    status = answer.status
    if status == 404:
        return NotFoundError(f"{doing} failed: it does not exist")
    if status == 401:
        return AccessError(
            f"{doing} failed: the server rejects the user name or password",
            hint="Put them into the URL, or into RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD.",
        )
    if status == 403:
        return AccessError(f"{doing} failed: the server forbids it")
    if status in (413, 507):
        return AccessError(f"{doing} failed: the server has no space left")
    if status == 511:
        return AccessError(f"{doing} failed: the network requires a sign-in first (captive portal)")
    if status in _BUSY:
        return TransientError(
            f"{doing} failed: the server says {status}", retry_after_seconds=answer.retry_after_seconds
        )
    return BackendError(f"{doing} failed: the server says {status}")
