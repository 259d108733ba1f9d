"""Read-only access to a B2 repository as of an earlier time, from the versions that B2 keeps.

For each name, the newest version at that time is visible, unless that version hides the file. Files that a forget, a
prune or an attacker has hidden or overwritten since are visible again. Files whose versions were all deleted are lost.
"""

import threading
from collections.abc import Iterator

from typing_extensions import Buffer

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.backend import MAX_FILE_BYTES, B2Backend, check_download
from pyrestic.backend.b2.client import FileVersion
from pyrestic.backend.b2.pages import list_versions
from pyrestic.backend.base import FileInfo, range_length
from pyrestic.backend.http import SENSELESS_ATTEMPTS
from pyrestic.backend.layout import DEFAULT_LAYOUT
from pyrestic.backend.metering import Ledger
from pyrestic.errors import AccessError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle


class AsOfBackend:
    """The Backend protocol on a bucket as of a time in milliseconds since 1970; writes are refused."""

    read_only = True

    def __init__(self, backend: B2Backend, milliseconds: int) -> None:
        self._backend = backend
        self._session = backend.session
        self._milliseconds = milliseconds
        self.connections = backend.connections
        self._lock = threading.Lock()
        self._files: dict[Handle, FileVersion] | None = None

    @property
    def ledger(self) -> Ledger:
        """Usage of the service so far."""
        return self._backend.ledger

    def create(self) -> None:
        """Refuse."""
        self._refuse()

    def save(self, handle: Handle, data: Buffer) -> None:  # noqa: ARG002 - the protocol's signature
        """Refuse."""
        self._refuse()

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, FormatError if it ends too early, BackendError."""
        version = self._find(handle)
        wanted = range_length(handle, version.content_length, offset, length)
        if wanted == 0:
            return b""
        whole = offset == 0 and length is None
        range_text = "" if whole else f"bytes={offset}-{offset + wanted - 1}"
        file_id = version.file_id or ""
        answer = self._session.run(
            lambda auth: api.download_file_by_id(
                self._session.caller, auth, file_id, range_text, MAX_FILE_BYTES if whole else wanted, str(handle)
            )
        )
        return check_download(handle, answer, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError or BackendError."""
        return FileInfo(handle.name, self._find(handle).content_length)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type that existed at that time."""
        for handle, version in self._all().items():
            if handle.type is file_type:
                yield FileInfo(handle.name, version.content_length)

    def remove(self, handle: Handle) -> None:  # noqa: ARG002 - the protocol's signature
        """Refuse."""
        self._refuse()

    def interrupt(self) -> None:
        """Abort all running transfers; see Interruptible."""
        self._backend.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._backend.close()

    def _refuse(self) -> None:
        raise AccessError(
            "a past state of a repository cannot be changed",
            hint="Omit -o b2.as-of, or copy from it to another repository.",
        )

    def _find(self, handle: Handle) -> FileVersion:
        DEFAULT_LAYOUT.path(handle)
        version = self._all().get(handle)
        if version is None:
            raise NotFoundError(f"{handle} did not exist at that time, or none of its versions exists any more")
        return version

    def _all(self) -> dict[Handle, FileVersion]:
        """Return all files that existed at that time; the versions are listed only once."""
        with self._lock:
            if self._files is None:
                self._files = self._list_versions()
            return self._files

    def _list_versions(self) -> dict[Handle, FileVersion]:
        base = self._backend.base
        files: dict[Handle, FileVersion] = {}
        decided = ""
        for version in list_versions(self._session, base):
            # Versions of a name come newest first: the first one that is old enough decides.
            if version.upload_timestamp > self._milliseconds or version.file_name == decided:
                continue
            if version.action not in ("upload", "hide"):
                continue
            decided = version.file_name
            handle = DEFAULT_LAYOUT.find_handle(version.file_name[len(base) :])
            if handle is None or version.action == "hide":
                continue
            if version.file_id is None:
                raise TransientError(
                    f"listing versions of {base} failed: B2 returns no ID for {handle}", attempts=SENSELESS_ATTEMPTS
                )
            files[handle] = version
        return files
