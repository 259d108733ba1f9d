"""Folders of cached repository files on this machine, laid out as restic does, so that both tools share them.

`<base>/CACHEDIR.TAG` tells backup programs to leave the base out. Below it each repository has a folder named after its
ID: `version` says "1", then `data`, `index` and `snapshots` hold files in sub-folders named after their first two
digits. `pyrestic-index` is a copy of the whole index, which restic leaves alone. A folder's time is that of its last
use; 30 days without use make it old.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from typing_extensions import Buffer

from pyrestic.backend.files import file_length, read_range, translated, write_parts, write_whole
from pyrestic.backend.layout import FOLDERS, check_name, is_file_name
from pyrestic.errors import FormatError, NotFoundError, UnsupportedError, UsageError
from pyrestic.handle import FileType, Handle

CACHED_TYPES = (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT)
MAX_AGE_SECONDS = 30 * 24 * 3600.0
CHECK_PREFIX = "restic-check-cache-"
"""Start of the names of folders that check makes for one run; digits follow."""

_VERSION = 1
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"
_is_folder_name = re.compile(rf"[0-9a-fA-F]{{64}}|{CHECK_PREFIX}[0-9]+").fullmatch
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_INDEX_COPY = Handle(FileType.INDEX, "copy")
"""What stands for the copy of the index in messages."""


class CacheFolder:
    """The cached files of one repository. All methods raise BackendError when the disk fails."""

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a cached file; raise NotFoundError, or FormatError if it ends too early."""
        return read_range(self._path(handle), handle, offset, length)

    def save(self, handle: Handle, data: Buffer) -> None:
        """Keep a copy of a file."""
        path = self._path(handle)
        try:
            write_whole(path, data, handle, mode=_FILE_MODE, durable=False)
        except NotFoundError:
            with translated("creating a folder in the cache"):
                os.makedirs(os.path.dirname(path), _FOLDER_MODE, exist_ok=True)
            write_whole(path, data, handle, mode=_FILE_MODE, durable=False)

    def remove(self, handle: Handle) -> None:
        """Drop the copy of a file; fine if there is none."""
        try:
            with translated(f"removing {handle} from the cache"):
                os.unlink(self._path(handle))
        except NotFoundError:
            pass

    def list_names(self, file_type: FileType) -> Iterator[str]:
        """Iterate the names of the cached files of a type."""
        base = os.path.join(self.path, FOLDERS[file_type])
        for prefix in _list_folder(base):
            if len(prefix) == 2:
                yield from filter(is_file_name, _list_folder(os.path.join(base, prefix)))

    def index_copy_length(self) -> int:
        """Return the length of the copy of the index in bytes; raise NotFoundError."""
        return file_length(self._index_copy, _INDEX_COPY)

    def load_index_copy(self, offset: int, length: int) -> bytes:
        """Return bytes of the copy of the index; raise NotFoundError, or FormatError if it ends too early."""
        return read_range(self._index_copy, _INDEX_COPY, offset, length)

    def save_index_copy(self, parts: Iterable[Buffer]) -> None:
        """Replace the copy of the index."""
        write_parts(self._index_copy, parts, "writing a copy of the index", mode=_FILE_MODE, durable=False)

    @property
    def _index_copy(self) -> str:
        return f"{self.path}/pyrestic-index"

    def _path(self, handle: Handle) -> str:
        check_name(handle)
        return f"{self.path}/{FOLDERS[handle.type]}/{handle.name[:2]}/{handle.name}"


@dataclass(frozen=True, slots=True)
class OpenedCache:
    """The folder for a repository, and whether it was made just now."""

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
    """Return where the cache lies unless the command line says otherwise; raise UsageError if nothing tells."""
    if named := environment.get("RESTIC_CACHE_DIR"):
        return named
    if user_cache := environment.get("XDG_CACHE_HOME"):
        if not os.path.isabs(user_cache):
            raise UsageError("there is no place for a cache: XDG_CACHE_HOME is a relative path")
        return os.path.join(user_cache, "restic")
    if home := environment.get("HOME"):
        return os.path.join(home, ".cache", "restic")
    raise UsageError("there is no place for a cache: neither XDG_CACHE_HOME nor HOME is set")


def open_cache(base: str, repository_id: str) -> OpenedCache:
    """Return the cache of the repository with this ID (64 hex digits, from its config), made if it is missing.

    Raises UnsupportedError if a newer program laid it out, FormatError or BackendError if it cannot be used.
    """
    if not is_file_name(repository_id):
        raise FormatError(f"{repository_id[:80]!r} is not the ID of a repository")
    with translated(f"creating the cache in {base}"):
        os.makedirs(base, _FOLDER_MODE, exist_ok=True)
        _write_new(os.path.join(base, "CACHEDIR.TAG"), _TAG)
        path = os.path.join(base, repository_id)
        created = _make_folder(path)
        version = None if created else _read_version(path)
        if version is None:
            _write_version(path)
        elif version > _VERSION:
            raise UnsupportedError(f"the cache in {path} was made by a newer program")
        os.utime(path)
        for file_type in CACHED_TYPES:
            _make_folder(os.path.join(path, FOLDERS[file_type]))
    return OpenedCache(CacheFolder(path), created)


def list_cache_folders(base: str) -> list[CacheFolderInfo]:
    """Return the folders in a cache, by name; none if there is no cache. Raises BackendError."""
    found = []
    with translated(f"listing the cache in {base}"):
        try:
            with os.scandir(base) as entries:
                for entry in entries:
                    if _is_folder_name(entry.name) and entry.is_dir(follow_symlinks=False):
                        used_at = entry.stat(follow_symlinks=False).st_mtime
                        found.append(CacheFolderInfo(entry.name, entry.path, used_at))
        except FileNotFoundError:
            return []
    return sorted(found, key=lambda info: info.name)


def remove_cache_folder(info: CacheFolderInfo) -> None:
    """Remove a folder of the cache with all that is in it; raise BackendError."""
    with translated(f"removing the cache folder {info.path}"):
        try:
            # With it come all libraries of compression.
            import shutil

            shutil.rmtree(info.path)
        except FileNotFoundError:
            # Another program is cleaning up as well.
            pass


def _make_folder(path: str) -> bool:
    try:
        os.mkdir(path, _FOLDER_MODE)
    except FileExistsError:
        return False
    return True


def _write_new(path: str, content: bytes) -> None:
    try:
        with open(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        pass


def _read_version(path: str) -> int | None:
    """Return the version of a cache folder's layout, None if it has none yet."""
    try:
        with open(os.path.join(path, "version"), "rb") as file:
            text = file.read(20)
    except FileNotFoundError:
        return None
    if not re.fullmatch(rb"[0-9]+", text):
        raise FormatError(f"the version file of the cache in {path} is damaged", hint="Remove that folder.")
    return int(text)


def _write_version(path: str) -> None:
    with open(os.path.join(path, "version"), "wb") as file:
        file.write(b"%d" % _VERSION)


def _list_folder(path: str) -> list[str]:
    with translated(f"listing {path}"):
        try:
            return os.listdir(path)
        except OSError as error:
            # Gone meanwhile, or not a folder at all.
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return []
            raise


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
