"""Leftovers of a killed `init`: a key without a config."""

from typing import Final

from pyrestic.backend.base import Backend
from pyrestic.errors import NotFoundError, PyresticError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.repository.keys import OpenedKey, find_key

_LOST_CONFIG_HINT: Final = "Something is stored here, but the file config is gone: put back a copy of it."


def find_unfinished_key(backend: Backend, password: str) -> OpenedKey | None:
    """Return the key of an `init` that was killed before it stored the config, None for an empty location.

    Raises UsageError if there is a repository, or one whose config is lost.
    """
    try:
        backend.stat(Handle(FileType.CONFIG, ""))
    except NotFoundError:
        pass
    else:
        raise UsageError("config file already exists")
    if not _holds_any(backend, FileType.KEY):
        if _holds_any(backend, FileType.SNAPSHOT):
            raise UsageError("repository already contains snapshots", hint=_LOST_CONFIG_HINT)
        return None
    if any(_holds_any(backend, kind) for kind in (FileType.SNAPSHOT, FileType.INDEX, FileType.PACK)):
        raise UsageError("repository already contains keys", hint=_LOST_CONFIG_HINT)
    try:
        return find_key(backend, password)
    except PyresticError as error:
        raise UsageError(
            "repository already contains keys",
            hint="They are probably those of an interrupted init, and this password opens none of them. Use the"
            " password given then, or remove the files in the folder keys: nothing is stored here yet.",
        ) from error


def _holds_any(backend: Backend, file_type: FileType) -> bool:
    try:
        return any(True for _ in backend.list(file_type))
    except NotFoundError:
        return False
