"""A repository in a local folder in restic's layout (also on network and removable disks).

Files are written under a temporary name, synced and renamed, and their folder is synced. So after a kill or a power
loss each file is complete or absent. Finished files are read-only, because they never change.
"""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo
from pyrestic.backend.files import file_length, read_into, read_range, sync_folder, translated, write_whole
from pyrestic.backend.layout import CONFIG_NAME, DEFAULT_LAYOUT, FOLDERS, is_file_name
from pyrestic.errors import BackendError, NotFoundError
from pyrestic.handle import FileType, Handle

DEFAULT_CONNECTIONS = 2
_WRITE_BITS = 0o222


class _Modes(NamedTuple):
    """Permission bits of finished files and of folders."""

    file: int
    folder: int


class LocalBackend:
    """The Backend protocol on a folder. `path` is the folder of the config; nothing is touched until the first call."""

    near = True

    def __init__(self, path: str, connections: int = DEFAULT_CONNECTIONS) -> None:
        self.path = os.path.abspath(path)
        self.connections = connections
        self._known_modes: _Modes | None = None

    def create(self) -> None:
        """Create the missing folders of the repository."""
        with translated(f"creating folders in {self.path}"):
            self._make_base()
            for folder in DEFAULT_LAYOUT.folders():
                self._make_folder(folder)
            for folder in ("", *FOLDERS.values()):
                sync_folder(os.path.join(self.path, folder))

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle, complete and durable; raise BackendError."""
        path = self._path(handle)
        mode = self._modes().file
        try:
            write_whole(path, data, handle, mode=mode, durable=True)
        except NotFoundError:
            # Other tools create the 256 folders of packs on demand.
            self._make_missing_folder(handle)
            write_whole(path, data, handle, mode=mode, durable=True)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; raise NotFoundError, FormatError if it ends too early, BackendError."""
        return read_range(self._path(handle), handle, offset, length)

    def load_into(self, handle: Handle, offset: int, room: memoryview) -> None:
        """Fill the buffer with bytes of the file; see NearBackend."""
        read_into(self._path(handle), handle, offset, room)

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; raise NotFoundError or BackendError."""
        return FileInfo(handle.name, file_length(self._path(handle), handle))

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; skips temporary and foreign files and missing folders."""
        if file_type is FileType.CONFIG:
            yield from self._list_config()
            return
        folder = os.path.join(self.path, FOLDERS[file_type])
        if file_type is not FileType.PACK:
            yield from _list_folder(folder, "")
            return
        for prefix in _list_prefixes(folder):
            yield from _list_folder(os.path.join(folder, prefix), prefix)

    def remove(self, handle: Handle) -> None:
        """Remove the file; raise NotFoundError or BackendError."""
        with translated(f"removing {handle}"):
            os.unlink(self._path(handle))

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _path(self, handle: Handle) -> str:
        return f"{self.path}/{DEFAULT_LAYOUT.path(handle)}"

    def _modes(self) -> _Modes:
        """The modes of a repository follow its config: a group that may read the config may use everything."""
        if self._known_modes is None:
            shared = False
            try:
                shared = bool(os.stat(os.path.join(self.path, CONFIG_NAME)).st_mode & stat.S_IRGRP)
            except OSError:
                # No config yet, or no access to it: private is the safe choice.
                pass
            self._known_modes = _Modes(0o660 & ~_WRITE_BITS, 0o770) if shared else _Modes(0o600 & ~_WRITE_BITS, 0o700)
        return self._known_modes

    def _list_config(self) -> Iterator[FileInfo]:
        try:
            yield self.stat(Handle(FileType.CONFIG, ""))
        except NotFoundError:
            return

    def _make_base(self) -> None:
        missing = []
        path = self.path
        while not os.path.isdir(path):
            missing.append(path)
            parent = os.path.dirname(path)
            if parent == path:
                break
            path = parent
        for path in reversed(missing):
            _make_one(path, self._modes().folder)

    def _make_folder(self, folder: str) -> None:
        _make_one(os.path.join(self.path, folder), self._modes().folder)

    def _make_missing_folder(self, handle: Handle) -> None:
        if not os.path.isdir(self.path):
            # Do not create it: the mount point of an unmounted disk must not be filled.
            raise BackendError(
                f"writing {handle} failed: the folder {self.path} is not there", hint="Is the disk mounted?"
            )
        with translated(f"creating the folder for {handle}"):
            made = ""
            for part in DEFAULT_LAYOUT.folder(handle).split("/"):
                parent, made = made, os.path.join(made, part)
                self._make_folder(made)
                sync_folder(os.path.join(self.path, parent))


def _make_one(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def _list_prefixes(folder: str) -> list[str]:
    """Return the names of the folders that contain packs."""
    with translated(f"listing {folder}"):
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries if len(entry.name) == 2 and entry.is_dir()]
        except FileNotFoundError:
            return []


def _list_folder(folder: str, prefix: str) -> list[FileInfo]:
    """Return the repository files of one folder as a list, so that files may be removed during the iteration."""
    found = []
    with translated(f"listing {folder}"):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_file_name(entry.name) and entry.name.startswith(prefix) and (info := _find_info(entry)):
                        found.append(info)
        except FileNotFoundError:
            return []
    return found


def _find_info(entry: "os.DirEntry[str]") -> FileInfo | None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        # Removed since the folder was read, or a dangling symbolic link.
        return None
    return FileInfo(entry.name, status.st_size) if stat.S_ISREG(status.st_mode) else None
