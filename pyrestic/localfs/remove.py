"""Removes a folder with its content, never through a symbolic link, with one descriptor at any depth."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class _Level:
    """A folder on the path down: its path, identity, and remaining entries with their types."""

    path: bytes
    identity: tuple[int, int]
    entries: list[tuple[bytes, bool]]


def remove_tree(
    directory: int, name: bytes, told: Callable[[bytes], None] | None = None, *, dry_run: bool = False
) -> None:
    """Remove an entry of an open folder with everything below it, reporting each path from name on, children first.

    Raises OSError at the first failure. A dry run only reports.
    """
    tell = told or _tell_nobody
    try:
        current = os.open(name, _FLAGS, dir_fd=directory)
    except NotADirectoryError:
        _remove_file(directory, name, name, tell, dry_run=dry_run)
        return
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        _remove_file(directory, name, name, tell, dry_run=dry_run)
        return
    levels = [_look(current, name)]
    try:
        while levels:
            level = levels[-1]
            if not level.entries:
                levels.pop()
                current = _leave(current, levels, directory)
                if not dry_run:
                    os.rmdir(level.path.rpartition(b"/")[2], dir_fd=current)
                tell(level.path)
                continue
            entry, is_folder = level.entries.pop()
            path = level.path + b"/" + entry
            if is_folder:
                below = os.open(entry, _FLAGS, dir_fd=current)
                os.close(current)
                current = below
                levels.append(_look(current, path))
            else:
                _remove_file(current, entry, path, tell, dry_run=dry_run)
    finally:
        os.close(current)


def _tell_nobody(_path: bytes) -> None:
    pass


def _remove_file(directory: int, name: bytes, path: bytes, told: Callable[[bytes], None], *, dry_run: bool) -> None:
    if not dry_run:
        os.unlink(name, dir_fd=directory)
    told(path)


def _look(descriptor: int, path: bytes) -> _Level:
    status = os.fstat(descriptor)
    with os.scandir(descriptor) as entries:
        found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    return _Level(path, (status.st_dev, status.st_ino), sorted(found, reverse=True))


def _leave(current: int, levels: list[_Level], directory: int) -> int:
    """Go up one folder, and check that it is the one we came from."""
    above = os.open(b"..", _FLAGS, dir_fd=current) if levels else os.dup(directory)
    if levels:
        status = os.fstat(above)
        if (status.st_dev, status.st_ino) != levels[-1].identity:
            os.close(above)
            raise OSError(errno.ESTALE, "a folder was moved while it was being removed")
    os.close(current)
    return above
