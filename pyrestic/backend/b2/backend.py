"""A repository in a Backblaze B2 bucket, with as few billed calls as possible.

Files are stored under their names in restic's default layout, below the prefix. B2 keeps versions: reads return the
newest one, and a file counts as removed when no version of it is visible.
"""

import hashlib
import threading
from collections.abc import Iterator

from typing_extensions import Buffer

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.client import FileVersion, stored_id
from pyrestic.backend.b2.errors import WrongUploadError
from pyrestic.backend.b2.large import upload_large
from pyrestic.backend.b2.pages import list_names
from pyrestic.backend.b2.session import B2Session
from pyrestic.backend.base import FileInfo, range_length
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.layout import DEFAULT_LAYOUT, FOLDERS
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.backend.metering import Ledger
from pyrestic.errors import AccessError, FormatError, NoAnswerError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle

DEFAULT_CONNECTIONS = 5
MAX_FILE_BYTES = 2 << 30
"""Limit of a file that is read in full; packs have 128 MiB at most, and index files far less."""

_MAX_KNOWN = 100_000
_MAX_DELETED = 1000


class B2Backend:
    """The Backend protocol on a bucket; it connects on the first call."""

    def __init__(self, session: B2Session, prefix: str, connections: int = DEFAULT_CONNECTIONS) -> None:
        self.connections = connections
        self._session = session
        self._base = f"{prefix}/" if prefix else ""
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._doubtful: dict[str, str] = {}

    @property
    def ledger(self) -> Ledger:
        """Usage of the service so far."""
        return self._session.caller.ledger

    @property
    def session(self) -> B2Session:
        """The state of the client, for code specific to B2."""
        return self._session

    @property
    def base(self) -> str:
        """Common prefix of all file names of the repository."""
        return self._base

    def create(self) -> None:
        """Create a private bucket unless it exists; raise BackendError."""
        self._session.create_bucket()

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle; raise BackendError.

        If a failure leaves open whether the file was stored, the next attempt checks before it uploads again.
        """
        name = self._name(handle)
        view = memoryview(data).cast("B")
        sha1 = hashlib.sha1(view, usedforsecurity=False).hexdigest()
        if self._doubtful.get(name) == sha1 and self._is_stored(name, len(view), sha1):
            with self._lock:
                self._doubtful.pop(name, None)
            return
        try:
            file_id = self._upload(name, view, sha1)
        except NoAnswerError:
            with self._lock:
                self._doubtful[name] = sha1
            raise
        except WrongUploadError:
            with self._lock:
                # There is nothing to look for before the next upload, but that will not be the only version.
                self._doubtful[name] = ""
            raise
        self.ledger.moved(stored=len(view))
        with self._lock:
            # It is the only version only if no other one is known.
            alone = handle.type is not FileType.CONFIG and name not in self._known and name not in self._doubtful
            self._remember(name, _Known(file_id, len(view), alone=alone))
            self._doubtful.pop(name, None)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, FormatError if it ends too early, BackendError."""
        name = self._name(handle)
        if length == 0 or offset < 0:
            return self._load_nothing(handle, offset, length)
        range_text = "" if offset == 0 and length is None else f"bytes={offset}-"
        if length is not None:
            range_text += str(offset + length - 1)
        try:
            answer = self._session.run(
                lambda auth: api.download_file_by_name(
                    self._session.caller, auth, self._session.bucket_name, name, range_text, length or MAX_FILE_BYTES
                )
            )
        except FormatError:
            # The range starts at or beyond the end.
            return self._load_nothing(handle, offset, length)
        return check_download(handle, answer, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError or BackendError."""
        return FileInfo(handle.name, _length_of(self._head(self._name(handle))))

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; foreign names are skipped."""
        if file_type is FileType.CONFIG:
            try:
                yield self.stat(Handle(FileType.CONFIG, ""))
            except NotFoundError:
                pass
            return
        for version in list_names(self._session, f"{self._base}{FOLDERS[file_type]}/"):
            handle = DEFAULT_LAYOUT.find_handle(version.file_name[len(self._base) :])
            if handle is None or handle.type is not file_type or version.action != "upload":
                continue
            if version.file_id is not None:
                self._remember_listed(version.file_name, version.file_id, version.content_length)
            yield FileInfo(handle.name, version.content_length)

    def remove(self, handle: Handle) -> None:
        """Remove every version of the file that is or becomes visible; raise NotFoundError or BackendError.

        If the key may not delete, the file is hidden.
        """
        name = self._name(handle)
        if not self._session.can("deleteFiles"):
            self._hide(name)
            return
        with self._lock:
            known = self._known.pop(name, None)
        removed = 0
        absent = ""
        for _ in range(_MAX_DELETED):
            if known is None:
                known = self._find(name)
            if known is None:
                break
            if known.file_id == absent:
                raise TransientError(
                    f"removing {handle} failed: B2 lists a version that does not exist",
                    attempts=SENSELESS_ATTEMPTS,
                )
            try:
                deleted = self._delete(name, known)
                removed += 1
            except NotFoundError:
                # Another client has removed it meanwhile.
                absent, known = known.file_id, None
                continue
            if known.alone or not deleted:
                return
            known = None
        if removed == 0:
            raise NotFoundError(f"{handle} is not there")

    def interrupt(self) -> None:
        """Abort all running transfers; see Interruptible."""
        self._session.caller.client.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._session.caller.client.close()

    def _name(self, handle: Handle) -> str:
        return self._base + DEFAULT_LAYOUT.path(handle)

    def _upload(self, name: str, data: memoryview, sha1: str) -> str:
        """Upload a file at once or in parts, and return its ID."""
        session = self._session
        limit = min(session.authorization().recommended_part_bytes, api.MAX_UPLOAD_BYTES)
        if len(data) > limit:
            return upload_large(session, name, data, sha1, self.connections)
        version = self._upload_short(name, data, sha1)
        return stored_id(version, name, len(data), sha1)

    def _upload_short(self, name: str, data: memoryview, sha1: str) -> FileVersion:
        """Upload a file in one call; if the token of the upload URL has expired, use another URL."""
        session = self._session
        try:
            with session.upload_url() as url:
                return api.upload_file(session.caller, url, name, data, sha1)
        except ExpiredTokenError:
            pass
        try:
            with session.upload_url(fresh=True) as url:
                return api.upload_file(session.caller, url, name, data, sha1)
        except ExpiredTokenError as error:
            raise error.refusal from error

    def _is_stored(self, name: str, length: int, sha1: str) -> bool:
        try:
            answer = self._head(name)
        except NotFoundError:
            return False
        return _length_of(answer) == length and _sha1_of(answer) == sha1

    def _head(self, name: str) -> Answer:
        session = self._session
        return session.run(lambda auth: api.head_file_by_name(session.caller, auth, session.bucket_name, name))

    def _load_nothing(self, handle: Handle, offset: int, length: int | None) -> bytes:
        """Return no bytes for an empty range, after checking the length of the file."""
        if range_length(handle, self.stat(handle).length, offset, length) != 0:
            raise TransientError(
                f"loading {handle} failed: B2 refuses a range inside the file", attempts=SENSELESS_ATTEMPTS
            )
        return b""

    def _find(self, name: str) -> "_Known | None":
        try:
            answer = self._head(name)
        except NotFoundError:
            return None
        file_id = answer.headers.get("x-bz-file-id", "")
        if not file_id:
            # B2 sends it with each file: something on the way has changed or cut the answer.
            raise TransientError(f"looking for {name} failed: B2 returned no ID", attempts=SENSELESS_ATTEMPTS)
        return _Known(file_id, _length_of(answer), alone=False)

    def _delete(self, name: str, known: "_Known") -> bool:
        """Delete a version and return True, or hide the file and return False if deleting is refused."""
        session = self._session
        try:
            session.run(lambda auth: api.delete_file_version(session.caller, auth, name, known.file_id))
        except AccessError:
            # Capabilities may be narrower than reported, for example if files are locked; hiding may still work.
            self._hide(name)
            return False
        self.ledger.moved(stored=-known.length)
        return True

    def _hide(self, name: str) -> None:
        session = self._session
        bucket_id = session.bucket_id()
        session.run(lambda auth: api.hide_file(session.caller, auth, bucket_id, name))
        with self._lock:
            self._known.pop(name, None)

    def _remember(self, name: str, known: "_Known") -> None:
        """Remember the ID of a file so that removing it needs no lookup. The caller holds the lock."""
        if len(self._known) < _MAX_KNOWN or name in self._known:
            self._known[name] = known

    def _remember_listed(self, name: str, file_id: str, length: int) -> None:
        with self._lock:
            known = self._known.get(name)
            if known is None or known.file_id != file_id:
                self._remember(name, _Known(file_id, length, alone=False))


class _Known:
    """A version of a file; `alone` if no other version can exist, because we created it under a new name."""

    __slots__ = ("alone", "file_id", "length")

    def __init__(self, file_id: str, length: int, *, alone: bool) -> None:
        self.file_id = file_id
        self.length = length
        self.alone = alone


def check_download(handle: Handle, answer: Answer, offset: int, length: int | None) -> bytes:
    """Return the body of a download; raise FormatError if the file is too short, TransientError if it is wrong."""
    body = answer.body
    whole = offset == 0 and length is None
    if "x-bz-file-id" not in answer.headers:
        raise _senseless(handle, "the response did not come from B2")
    if answer.status != (200 if whole else 206):
        raise _senseless(handle, f"B2 sent {'a part' if whole else 'another part'} of it")
    if length is not None and len(body) < length:
        raise FormatError(f"file {handle} is too short: it has {offset + len(body)} bytes")
    if not whole and not answer.headers.get("content-range", "").startswith(f"bytes {offset}-"):
        raise _senseless(handle, "B2 sent another part of it")
    sha1 = _sha1_of(answer)
    if whole and sha1 and hashlib.sha1(body, usedforsecurity=False).hexdigest() != sha1:
        raise TransientError(
            f"loading {handle} failed: it arrived damaged", retry_after_seconds=0.0, attempts=SENSELESS_ATTEMPTS
        )
    return body


def _senseless(handle: Handle, reason: str) -> TransientError:
    return TransientError(f"loading {handle} failed: {reason}", attempts=SENSELESS_ATTEMPTS)


def _sha1_of(answer: Answer) -> str:
    """Return the SHA-1 (hex) of the complete file in the response, "" if it is not known."""
    text = answer.headers.get("x-bz-content-sha1", "").removeprefix("unverified:")
    if text == "none":
        text = answer.headers.get("x-bz-info-large_file_sha1", "")
    return text if len(text) == 40 else ""


def _length_of(answer: Answer) -> int:
    if answer.content_length is None:
        raise TransientError("B2 did not report the length of a file", attempts=SENSELESS_ATTEMPTS)
    return answer.content_length
