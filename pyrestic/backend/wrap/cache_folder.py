"""Folders of cached repository files on this machine, in restic's layout, so that both tools share them.

`<base>/CACHEDIR.TAG` makes backup programs skip the base folder. Each repository has a folder below it named after its
ID: `version` contains "1", and `data`, `index` and `snapshots` contain files in subfolders named after their first two
digits. `pyrestic-index` is a copy of the entire index, which restic ignores. The modification time of a folder is its
last use; a folder is old after 30 days without use.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from typing_extensions import Buffer

from pyrestic.backend.files import read_open, translated
from pyrestic.backend.layout import FOLDERS, check_name, is_file_name
from pyrestic.backend.private_folder import PrivateFolder, open_private
from pyrestic.errors import BackendError, FormatError, NotFoundError, UnsupportedError, UntrustedError, UsageError
from pyrestic.handle import FileType, Handle

CACHED_TYPES = (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT)
MAX_AGE_SECONDS = 30 * 24 * 3600.0
CHECK_PREFIX = "restic-check-cache-"
"""Prefix of the folder names that check creates for one run; digits follow."""

_VERSION = 1
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"
_is_folder_name = re.compile(rf"[0-9a-fA-F]{{64}}|{CHECK_PREFIX}[0-9]+").fullmatch
_VERSION_NAME = "version"
_INDEX_COPY_NAME = "pyrestic-index"
_INDEX_COPY = Handle(FileType.INDEX, "copy")
"""Name of the index copy in messages."""


class CacheFolder:
    """The cached files of one repository, in an existing folder. Methods raise BackendError if the disk fails.

    A file that another user could have written counts as unreadable.
    """

    def __init__(self, path: str) -> None:
        self._folder = open_private(path)
        self.path = path
        self._types: dict[FileType, PrivateFolder] = {}

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a cached file; raise NotFoundError, or FormatError if it ends too early."""
        check_name(handle)
        with _translated(f"reading {handle}"):
            descriptor = self._type_folder(handle.type).open_file(f"{handle.name[:2]}/{handle.name}")
            try:
                return read_open(descriptor, handle, offset, length)
            finally:
                os.close(descriptor)

    def save(self, handle: Handle, data: Buffer) -> None:
        """Keep a copy of a file."""
        check_name(handle)
        with _translated(f"writing {handle} to the cache"):
            prefix = self._type_folder(handle.type, create=True).open_folder(handle.name[:2], create=True)
            with prefix:
                prefix.replace(handle.name, (data,))

    def remove(self, handle: Handle) -> None:
        """Drop the copy of a file; no error if there is none."""
        check_name(handle)
        try:
            with _translated(f"removing {handle} from the cache"):
                self._type_folder(handle.type).remove(f"{handle.name[:2]}/{handle.name}")
        except NotFoundError:
            pass

    def list_names(self, file_type: FileType) -> Iterator[str]:
        """Iterate the names of the cached files of a type."""
        with _translated(f"listing the cached files in {self.path}"):
            try:
                folder = self._type_folder(file_type)
            except (FileNotFoundError, NotADirectoryError):
                return
            prefixes = os.listdir(folder.descriptor)
        for prefix in prefixes:
            if len(prefix) == 2:
                yield from filter(is_file_name, _list_folder(folder, prefix))

    def index_copy_length(self) -> int:
        """Return the length of the copy of the index in bytes; raise NotFoundError."""
        with self._open_index_copy() as descriptor:
            return os.fstat(descriptor).st_size

    def load_index_copy(self, offset: int, length: int) -> bytes:
        """Return bytes of the copy of the index; raise NotFoundError, or FormatError if it ends too early."""
        with self._open_index_copy() as descriptor:
            return read_open(descriptor, _INDEX_COPY, offset, length)

    def save_index_copy(self, parts: Iterable[Buffer]) -> None:
        """Replace the copy of the index."""
        with _translated("writing a copy of the index"):
            self._folder.replace(_INDEX_COPY_NAME, parts)

    @contextmanager
    def _open_index_copy(self) -> Iterator[int]:
        with _translated("reading a copy of the index"):
            descriptor = self._folder.open_file(_INDEX_COPY_NAME)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _type_folder(self, file_type: FileType, *, create: bool = False) -> PrivateFolder:
        folder = self._types.get(file_type)
        if folder is None:
            folder = self._types.setdefault(file_type, self._folder.open_folder(FOLDERS[file_type], create=create))
        return folder


@dataclass(frozen=True, slots=True)
class OpenedCache:
    """The folder for a repository, and whether it was just created."""

    folder: CacheFolder
    created: bool


@dataclass(frozen=True, slots=True)
class CacheFolderInfo:
    """A folder of the cache: its name (a repository ID, or that of a check), path, last use (seconds since 1970)."""

    name: str
    path: str
    used_at_seconds: float

    def is_old(self, now_seconds: float, max_age_seconds: float = MAX_AGE_SECONDS) -> bool:
        """Whether the folder has not been used for max_age_seconds."""
        return self.used_at_seconds < now_seconds - max_age_seconds

    def length(self) -> int:
        """Return the length of all files in it together, in bytes."""
        return sum(_file_lengths(self.path))


def find_default_base(environment: Mapping[str, str]) -> str:
    """Return the default location of the cache; raise UsageError if none is configured."""
    if named := environment.get("RESTIC_CACHE_DIR"):
        return named
    if user_cache := environment.get("XDG_CACHE_HOME"):
        if not os.path.isabs(user_cache):
            raise UsageError("no location for a cache: XDG_CACHE_HOME is a relative path")
        return os.path.join(user_cache, "restic")
    if home := environment.get("HOME"):
        return os.path.join(home, ".cache", "restic")
    raise UsageError("no location for a cache: neither XDG_CACHE_HOME nor HOME is set")


def open_cache(base: str, repository_id: str) -> OpenedCache:
    """Return the cache of the repository with this ID (64 hex digits, from its config); create it if missing.

    Raises UnsupportedError if a newer program created it, UntrustedError if another user could have written to it,
    FormatError or BackendError if it cannot be used.
    """
    if not is_file_name(repository_id):
        raise FormatError(f"{repository_id[:80]!r} is not the ID of a repository")
    with translated(f"creating the cache in {base}"), open_private(base, create=True) as top:
        _write_new(top, "CACHEDIR.TAG", _TAG)
        created = top.make_folder(repository_id)
        with top.open_folder(repository_id) as folder:
            version = None if created else _read_version(folder)
            if version is None:
                folder.replace(_VERSION_NAME, (b"%d" % _VERSION,))
            elif version > _VERSION:
                raise UnsupportedError(f"the cache in {folder.path} was created by a newer program")
            os.utime(folder.descriptor)
            for file_type in CACHED_TYPES:
                folder.make_folder(FOLDERS[file_type])
        return OpenedCache(CacheFolder(os.path.join(base, repository_id)), created)


def list_cache_folders(base: str) -> list[CacheFolderInfo]:
    """Return the folders in a cache, by name; none if there is no cache. Raises BackendError, UntrustedError."""
    found = []
    with translated(f"listing the cache in {base}"):
        try:
            with open_private(base) as top, os.scandir(top.descriptor) as entries:
                for entry in entries:
                    if _is_folder_name(entry.name) and entry.is_dir(follow_symlinks=False):
                        used_at = entry.stat(follow_symlinks=False).st_mtime
                        found.append(CacheFolderInfo(entry.name, os.path.join(base, entry.name), used_at))
        except FileNotFoundError:
            return []
    return sorted(found, key=lambda info: info.name)


def remove_cache_folder(info: CacheFolderInfo) -> None:
    """Remove a folder of the cache with its content; raise BackendError, UntrustedError."""
    with translated(f"removing the cache folder {info.path}"):
        try:
            # This imports all compression libraries.
            import shutil

            with open_private(os.path.dirname(info.path)) as top:
                shutil.rmtree(info.name, dir_fd=top.descriptor)
        except FileNotFoundError:
            # Another program is also cleaning up.
            pass


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turn an OSError of the block into a BackendError, and an UntrustedError too."""
    try:
        with translated(doing):
            yield
    except UntrustedError as error:
        raise BackendError(f"{doing} failed: {error}") from error


def _write_new(folder: PrivateFolder, name: str, content: bytes) -> None:
    try:
        os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        folder.replace(name, (content,))


def _read_version(folder: PrivateFolder) -> int | None:
    """Return the version of a cache folder's layout, None if it has none yet."""
    try:
        text = folder.read(_VERSION_NAME, 20)
    except FileNotFoundError:
        return None
    if not re.fullmatch(rb"[0-9]+", text):
        raise FormatError(f"the version file of the cache in {folder.path} is damaged", hint="Remove that folder.")
    return int(text)


def _list_folder(folder: PrivateFolder, name: str) -> list[str]:
    with _translated(f"listing {name} in {folder.path}"):
        try:
            with folder.open_folder(name) as inner:
                return os.listdir(inner.descriptor)
        except (FileNotFoundError, NotADirectoryError):
            # Gone meanwhile, or not a folder at all.
            return []


def _file_lengths(path: str) -> Iterator[int]:
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                status = os.lstat(os.path.join(folder, name))
            except OSError:
                # Removed by another program since the listing.
                continue
            if stat.S_ISREG(status.st_mode):
                yield status.st_size
