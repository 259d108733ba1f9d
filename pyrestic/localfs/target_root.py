"""An open folder to which restores are limited: whatever happens to its path, nothing leads out of it.

From there, the path to the target of a restore is opened step by step from descriptor to descriptor, and never through
a link: a folder that a user selected may have become a link meanwhile.
"""

import errno
import os
from collections.abc import Iterable

from pyrestic.errors import LocalFileError

_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE_FOLDER = 0o700
_Identity = tuple[int, int]


class TargetRoot:
    """The folder `path`, an absolute path without links; nothing is written to `kept_out`.

    Thread-safe. Raises LocalFileError if the folder cannot be opened.
    """

    def __init__(self, path: str, kept_out: Iterable[str] = ()) -> None:
        self.path = path
        self._kept_out = tuple(kept_out)
        try:
            self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LocalFileError(f"{path} could not be opened: {error.strerror}") from error

    def close(self) -> None:
        """Close the folder."""
        os.close(self._descriptor)

    def open(self, target: str, *, create: bool) -> int:
        """Return a descriptor of a folder below, for the caller to close; missing folders are created if `create`.

        Without `create`, a missing one counts as empty. Raises LocalFileError for a path that leads through a link, out
        of the folder or to an excluded folder, and if a folder cannot be created or opened.
        """
        below = os.path.relpath(target, self.path)
        names = [name for name in below.split("/") if name != "."]
        if ".." in names:
            raise LocalFileError(f"{target} is not in {self.path}")
        current = os.dup(self._descriptor)
        try:
            self._refuse_kept_out(current, target, last=not names)
            for number, name in enumerate(names):
                following = _enter(current, name, create=create)
                os.close(current)
                current = following
                self._refuse_kept_out(current, target, last=number == len(names) - 1)
        except FileNotFoundError:
            os.close(current)
            return os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            os.close(current)
            raise LocalFileError(f"{target} could not be made or opened: {_reason(error)}") from error
        except BaseException:
            os.close(current)
            raise
        return current

    def _refuse_kept_out(self, descriptor: int, target: str, *, last: bool) -> None:
        """Raise LocalFileError if an excluded folder is on the path, or below the target itself."""
        here = _identity(os.fstat(descriptor))
        for folder in self._kept_out:
            chain = _chain(folder)
            if chain[:1] == [here] or (last and here in chain):
                raise LocalFileError(f"{target} is not apart from {folder}, to which nothing may be written")


def _enter(folder: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(name, _PRIVATE_FOLDER, dir_fd=folder)
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        raise OSError(errno.ENOTDIR, "a folder on the way was removed") from error
    return os.open(name, _FOLDER_FLAGS, dir_fd=folder)


def _chain(folder: str) -> list[_Identity]:
    """Return the identities of a folder and its ancestors, empty if there is no such folder."""
    found = []
    try:
        while True:
            found.append(_identity(os.stat(folder)))
            if folder == "/":
                return found
            folder = os.path.dirname(folder)
    except OSError:
        return found


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return "on the way there is a link, or something else that is no folder"
    return error.strerror or str(error)
