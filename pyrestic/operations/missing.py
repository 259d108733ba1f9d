"""Restores only what the target lacks: whatever is there stays as it is, with its content and metadata.

Files are written to a staging folder in the target and moved to their places when all are complete. So an interrupted
restore leaves no incomplete file that the next one would take for the user's own. Each run has a staging folder of its
own: what another run, or another user, has left in one is never used.
"""

import os
import posixpath
import secrets
import stat
from collections.abc import Callable, Iterable, Sequence

from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.localfs.remove import remove_tree
from pyrestic.localfs.select import Select
from pyrestic.localfs.target_files import make_private_folders
from pyrestic.localfs.write import TargetWriter

PREFIX = b".pyrestic-missing-"
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SHOWN = 3


class MissingOnly:
    """Selects the entries that a target does not have; `select` is another selector that must select them, too.

    An entry of another type is there as well, a link to a folder included, and nothing is restored below it.
    `open_root` opens the target instead of its path, and is told whether to make it.
    """

    def __init__(self, target: str, select: Select | None, open_root: Callable[[bool], int] | None = None) -> None:
        self.target = target
        self._open_root = open_root
        self._writer = TargetWriter(os.fsencode(target), open_root=open_root)
        self._inner = select
        self.folders = {b"/"}
        """The folders that the target has."""
        self._top: set[bytes] = set()
        """The missing entries whose parents the target has."""

    def open(self) -> None:
        """Open the target to look at it; raise LocalFileError."""
        self._writer.open(create=False)

    def close(self) -> None:
        """Close the target."""
        self._writer.close()

    def make_staging(self) -> "Staging":
        """Return a new staging folder in the target, which is made if it is missing; raise LocalFileError."""
        try:
            if self._open_root is not None:
                descriptor = self._open_root(True)
            else:
                make_private_folders(os.fsencode(self.target))
                descriptor = os.open(self.target, _FOLDER_FLAGS)
        except OSError as error:
            raise _failure(self.target, error) from error
        return Staging(self.target, descriptor)

    def select(self, location: bytes, is_folder: bool) -> tuple[bool, bool]:
        """Tell whether an entry is restored, and whether something below it may be; raise LocalFileError."""
        selected, enter = (True, True) if self._inner is None else self._inner(location, is_folder)
        if not (selected or enter) or location.startswith(b"/" + PREFIX):
            return False, False
        status = self._writer.status(location)
        if status is None:
            if posixpath.dirname(location) in self.folders:
                self._top.add(location)
            return selected, enter
        if not (is_folder and stat.S_ISDIR(status.st_mode)):
            return False, False
        self.folders.add(location)
        return False, enter

    def move_from(self, staging: TargetWriter, failed: Iterable[bytes]) -> tuple[int, list[str]]:
        """Move what was restored to its place; return how many entries were, and why others could not be.

        The `failed` files are incomplete and not moved; the folders that contain them are. Raises LocalFileError.
        """
        moved, problems = 0, []
        staging.open(create=False)
        try:
            for location in failed:
                status = staging.status(location)
                if status is not None and not stat.S_ISDIR(status.st_mode):
                    staging.remove(location)
            for location in sorted(self._top):
                if staging.status(location) is None:
                    continue
                try:
                    if self._writer.adopt(location, staging):
                        moved += 1
                    else:
                        problems.append(f"{os.fsdecode(self._writer.path(location))} exists by now")
                except PyresticError as error:
                    problems.append(str(error))
        finally:
            staging.close()
        return moved, problems


class Staging:
    """A folder with a random name in a target, private to this user, held open; `close` removes it."""

    def __init__(self, target: str, descriptor: int) -> None:
        self._target = descriptor
        self._name = PREFIX + secrets.token_hex(8).encode()
        self.path = os.path.join(target, os.fsdecode(self._name))
        try:
            os.mkdir(self._name, 0o700, dir_fd=descriptor)
            self._descriptor = os.open(self._name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
        except OSError as error:
            os.close(descriptor)
            raise _failure(self.path, error) from error

    def open(self, _create: bool) -> int:
        """Return a descriptor of the folder."""
        return os.dup(self._descriptor)

    def close(self) -> None:
        """Remove the folder with everything that is still in it; raise LocalFileError."""
        try:
            remove_tree(self._target, self._name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failure(self.path, error) from error
        finally:
            os.close(self._descriptor)
            os.close(self._target)


def tell_problems(problems: Sequence[str]) -> LocalFileError:
    """Return the error for entries that could not be moved to their places."""
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return LocalFileError(f"not everything was restored: {'; '.join(problems[:_SHOWN])}{more}")


def _failure(path: str, error: OSError) -> LocalFileError:
    reason = error.strerror or str(error)
    return LocalFileError(f"{path} could not be used: {reason[:1].lower() + reason[1:]}")
