"""A repository in a folder of an SSH server, in restic's layout.

A file is written under a temporary name, synced if the server can do that, and renamed; so is its folder. After a kill
or a power loss each file is complete or absent. If the connection is lost, the next operation makes a new one.
"""

import contextlib
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo, range_length
from pyrestic.backend.layout import CONFIG_NAME, DEFAULT_LAYOUT, FOLDERS, is_file_name
from pyrestic.backend.scheme_options import Access
from pyrestic.backend.sftp.errors import StatusError, error_of
from pyrestic.backend.sftp.packets import OpenFlag, RemoteAttributes, StatusCode
from pyrestic.backend.sftp.remote_files import OpenFile, RemoteFiles
from pyrestic.backend.sftp.session import SftpSession
from pyrestic.errors import AccessError, BackendError, NotFoundError
from pyrestic.handle import FileType, Handle

TEMPORARY_MARK = "-restic-temp-"
"""Part of the names of files that are being written; restic uses the same."""

MAX_FILE_BYTES = 2 << 30
"""The longest file that is loaded whole: a server may report any length."""
_WRITE_BITS = 0o222


class _Modes(NamedTuple):
    """Permission bits of files that are being written, and of folders."""

    file: int
    folder: int


_PRIVATE, _SHARED = _Modes(0o600, 0o700), _Modes(0o660, 0o770)


class SftpBackend:
    """The Backend protocol on a folder of a server; it connects on the first call."""

    def __init__(self, session: SftpSession, path: str, connections: int, access: Access) -> None:
        self.connections = connections
        self._session = session
        self._path = path
        self._upload = access.upload
        self._download = access.download
        self._opening = threading.Lock()
        self._files: RemoteFiles | None = None
        self._known_modes: _Modes | None = None
        self._removes_read_only = True

    def create(self) -> None:
        """Create the missing folders of the repository."""
        with _translated(f"creating folders in {self._path}"):
            files = self._connected()
            self._make_base(files)
            folders = DEFAULT_LAYOUT.folders()
            for level in ([name for name in folders if "/" not in name], [name for name in folders if "/" in name]):
                self._make_folders(files, level)

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle, complete and durable; raise BackendError."""
        path = self._file_path(handle)
        with _translated(f"saving {handle}"):
            files = self._connected()
            temporary = f"{path}{TEMPORARY_MARK}{secrets.token_hex(16)}"
            mode = self._modes(files).file
            flags = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE
            try:
                opened = files.open(temporary, flags, mode)
            except StatusError as error:
                if error.code != StatusCode.NO_SUCH_FILE:
                    self._refuse_full(files, handle, data, error)
                    raise
                # Other tools create the 256 folders of packs on demand.
                self._make_missing_folder(files, handle)
                opened = files.open(temporary, flags, mode)
            try:
                self._fill(files, opened, handle, data, mode)
                self._replace(files, temporary, path, data)
            except BaseException:
                _remove_quietly(files, opened, temporary)
                raise

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, FormatError if it ends too early, BackendError."""
        path = self._file_path(handle)
        with _translated(f"loading {handle}"):
            files = self._connected()
            opened = files.open(path, OpenFlag.READ)
            try:
                if not length or offset < 0:
                    length = range_length(handle, files.length(opened), offset, length)
                    if length > MAX_FILE_BYTES:
                        raise BackendError(f"loading {handle} failed: it has {length} bytes, more than any file may")
                room = bytearray(length)
                done = files.read(opened, offset, memoryview(room), self._download)
                if done < length:
                    range_length(handle, min(files.length(opened), offset + done), offset, length)
            finally:
                with contextlib.suppress(BackendError):
                    files.close_soon(opened)
        return bytes(room)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError or BackendError."""
        path = self._file_path(handle)
        doing = f"looking for {handle}"
        with _translated(doing):
            attributes = self._connected().attributes(path)
        if not attributes.is_file:
            raise BackendError(f"at the path of {handle} is something other than a file")
        if attributes.length is None:
            raise BackendError(f"{doing} failed: the server does not report its length")
        return FileInfo(handle.name, attributes.length)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; skips temporary and foreign files and missing folders."""
        if file_type is FileType.CONFIG:
            with contextlib.suppress(NotFoundError):
                yield self.stat(Handle(FileType.CONFIG, ""))
            return
        folder = self._join(FOLDERS[file_type])
        with _translated(f"listing {file_type.value} files"):
            files = self._connected()
            folders = [folder]
            if file_type is FileType.PACK:
                entries = list(files.list_folders([folder]))
                names = sorted(name for _, name, its in entries if len(name) == 2 and name != ".." and its.is_folder)
                folders = [f"{folder}/{name}" for name in names]
            found = []
            for path, name, its in files.list_folders(folders):
                in_place = file_type is not FileType.PACK or name.startswith(path[-2:])
                if is_file_name(name) and in_place and its.is_file:
                    found.append(FileInfo(name, self._length_of(files, path, name, its)))
        # As a list, so that files may be removed meanwhile.
        yield from found

    def remove(self, handle: Handle) -> None:
        """Remove the file; raise NotFoundError or BackendError."""
        path = self._file_path(handle)
        with _translated(f"removing {handle}"):
            files = self._connected()
            if self._removes_read_only:
                try:
                    files.remove(path)
                except StatusError as error:
                    if error.code != StatusCode.PERMISSION_DENIED:
                        raise
                else:
                    return
            # Windows removes no read-only file.
            files.set_mode(path, self._modes(files).file)
            files.remove(path)
            self._removes_read_only = False

    def interrupt(self) -> None:
        """Abort all running operations; see Interruptible."""
        self._session.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _connected(self) -> RemoteFiles:
        connection = self._session.connection()
        with self._opening:
            if self._files is None or self._files.connection is not connection:
                self._files = RemoteFiles(connection)
            return self._files

    def _join(self, name: str) -> str:
        if self._path == ".":
            return name
        return f"{self._path.rstrip('/')}/{name}" if name else self._path

    def _file_path(self, handle: Handle) -> str:
        return self._join(DEFAULT_LAYOUT.path(handle))

    def _modes(self, files: RemoteFiles) -> _Modes:
        """The modes of a repository follow its config: a group that may read the config may use everything."""
        if self._known_modes is None:
            try:
                mode = files.attributes(self._join(CONFIG_NAME)).mode or 0
            except StatusError:
                # No config yet, or no access to it: private is the safe choice.
                return _PRIVATE
            self._known_modes = _SHARED if mode & stat.S_IRGRP else _PRIVATE
        return self._known_modes

    def _fill(self, files: RemoteFiles, opened: OpenFile, handle: Handle, data: Buffer, mode: int) -> None:
        # Behind packs, a lock refresh could wait longer than the lock stays valid.
        limit = None if handle.type is FileType.LOCK else self._upload
        try:
            files.write(opened, data, limit)
            files.finish(opened, mode & ~_WRITE_BITS)
        except StatusError as error:
            self._refuse_full(files, handle, data, error)
            raise

    def _refuse_full(self, files: RemoteFiles, handle: Handle, data: Buffer, error: StatusError) -> None:
        """Raise AccessError if the reason of a failure is a full disk, for which SFTP has no code."""
        if error.code != StatusCode.FAILURE:
            return
        space = files.space(self._path)
        if space is not None and (not space.free_files or space.free_bytes < memoryview(data).nbytes):
            raise AccessError(
                f"saving {handle} failed: no space left on the server",
                hint="Free some space on the disk of the repository, then try again.",
            ) from error

    def _replace(self, files: RemoteFiles, temporary: str, path: str, data: Buffer) -> None:
        try:
            files.rename(temporary, path)
        except StatusError as error:
            if files.replaces or error.code in (StatusCode.NO_SUCH_FILE, StatusCode.PERMISSION_DENIED):
                raise
            # Without OpenSSH's extension, renaming replaces nothing.
            if _has_content(files, path, memoryview(data).cast("B")):
                files.remove(temporary)
                return
            files.remove(path)
            files.rename(temporary, path)

    def _make_base(self, files: RemoteFiles) -> None:
        missing = []
        path = self._path
        while path not in ("", ".", "/") and not _exists(files, path):
            missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            _make(files, [path], _PRIVATE.folder)

    def _make_folders(self, files: RemoteFiles, names: Sequence[str]) -> None:
        _make(files, [self._join(name) for name in names], self._modes(files).folder)

    def _make_missing_folder(self, files: RemoteFiles, handle: Handle) -> None:
        if not _exists(files, self._path):
            # Do not create it: the mount point of an unmounted disk must not be filled.
            raise BackendError(
                f"saving {handle} failed: the folder {self._path} is not there", hint="Is the server's disk mounted?"
            )
        made = ""
        for part in DEFAULT_LAYOUT.folder(handle).split("/"):
            made = f"{made}/{part}" if made else part
            self._make_folders(files, [made])

    def _length_of(self, files: RemoteFiles, folder: str, name: str, attributes: RemoteAttributes) -> int:
        """Return the length of a listed file; some servers do not report it with the name."""
        length = attributes.length
        if length is None:
            length = files.attributes(f"{folder}/{name}").length
        if length is None:
            raise BackendError("the server does not report the lengths of files")
        return length


def _make(files: RemoteFiles, paths: Sequence[str], mode: int) -> None:
    """Create folders that are missing; raise AccessError if that is not possible."""
    for path in files.make_folders(paths, mode):
        raise AccessError(
            f"the folder {path} could not be created on the server", hint="Check who owns the folder above it."
        )


def _exists(files: RemoteFiles, path: str) -> bool:
    try:
        files.attributes(path)
    except StatusError as error:
        if error.code != StatusCode.NO_SUCH_FILE:
            raise
        return False
    return True


def _has_content(files: RemoteFiles, path: str, data: memoryview) -> bool:
    """Tell whether a file has this content: most likely it is from an attempt whose reply was lost."""
    opened = files.open(path, OpenFlag.READ)
    try:
        room = bytearray(len(data))
        return files.length(opened) == len(data) == files.read(opened, 0, memoryview(room), None) and data == room
    finally:
        files.close_soon(opened)


def _remove_quietly(files: RemoteFiles, opened: OpenFile, temporary: str) -> None:
    with contextlib.suppress(BackendError):
        # The first error is the one that matters.
        files.close_soon(opened)
        files.remove_soon(temporary)


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turn a refusal of the server in the block into one of our errors."""
    try:
        yield
    except StatusError as error:
        raise error_of(error, doing) from error
