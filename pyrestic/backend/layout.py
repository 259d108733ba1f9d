"""The path of each file of a repository: converts a Handle to a relative path and back.

There are two layouts (restic design document, "Repository Layout"): on disks and in buckets, packs are spread over 256
folders named after the first two digits of their ID; on a REST server, all packs are in one flat folder.
"""

import re
from dataclasses import dataclass

from pyrestic.errors import FormatError
from pyrestic.handle import FileType, Handle

CONFIG_NAME = "config"

FOLDERS: dict[FileType, str] = {
    FileType.KEY: "keys",
    FileType.LOCK: "locks",
    FileType.SNAPSHOT: "snapshots",
    FileType.INDEX: "index",
    FileType.PACK: "data",
}
"""The folder of each type of file; the config is next to them."""

_TYPES = {folder: file_type for file_type, folder in FOLDERS.items()}
_is_name = re.compile(r"[0-9a-f]{64}").fullmatch


def is_file_name(name: str) -> bool:
    """Whether name is the name of a repository file: 64 lower-case hex digits."""
    return _is_name(name) is not None


def check_name(handle: Handle) -> None:
    """Raise FormatError unless the handle names a file: 64 hex digits, or an empty name for the config."""
    if handle.name != "" if handle.type is FileType.CONFIG else not is_file_name(handle.name):
        raise FormatError(f"{handle.name[:80]!r} is not the name of a {handle.type.value} file")


@dataclass(frozen=True, slots=True)
class Layout:
    """Handle <-> relative path, parts joined by "/"."""

    packs_in_folders: bool

    def path(self, handle: Handle) -> str:
        """Return the relative path of a file; raise FormatError if its name is invalid."""
        check_name(handle)
        if handle.type is FileType.CONFIG:
            return CONFIG_NAME
        return f"{self.folder(handle)}/{handle.name}"

    def folder(self, handle: Handle) -> str:
        """Return the relative path of a file's folder, "" for the config."""
        if handle.type is FileType.CONFIG:
            return ""
        folder = FOLDERS[handle.type]
        if handle.type is FileType.PACK and self.packs_in_folders:
            return f"{folder}/{handle.name[:2]}"
        return folder

    def find_handle(self, path: str) -> Handle | None:
        """Return the handle for this path, or None for a foreign file."""
        if path == CONFIG_NAME:
            return Handle(FileType.CONFIG, "")
        folder, _, rest = path.partition("/")
        name = rest.rpartition("/")[2]
        if folder not in _TYPES or not is_file_name(name):
            return None
        handle = Handle(_TYPES[folder], name)
        return handle if self.path(handle) == path else None

    def folders(self) -> list[str]:
        """Return all folders of a new repository, parents before children."""
        folders = list(FOLDERS.values())
        if self.packs_in_folders:
            folders += [f"{FOLDERS[FileType.PACK]}/{number:02x}" for number in range(256)]
        return folders


DEFAULT_LAYOUT = Layout(packs_in_folders=True)
REST_LAYOUT = Layout(packs_in_folders=False)
