"""A lock on this machine for each repository: two runners never work on the same one.

The kernel releases it with the last process that holds it: a killed runner leaves nothing behind, but a task that
outlives its runner keeps it.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pyrestic.backend.location import Location
from pyrestic.backend.private_folder import open_private
from pyrestic.errors import LocalFileError

_FOLDER: Final = "locks"
_POLL_SECONDS: Final = 1.0
_MOST_BYTES: Final = 200


class PlaceLock:
    """The lock of a repository, in a state folder; `work` names a part of what is done there, to lock only that."""

    def __init__(self, folder: str, location: Location, *work: str) -> None:
        self._folder = os.path.join(folder, _FOLDER)
        address = os.path.realpath(location.address) if location.scheme == "local" else location.address.rstrip("/")
        name = "\0".join((f"{location.scheme}:{address}", *work)).encode("utf-8", "surrogateescape")
        self._name = hashlib.sha256(name).hexdigest()[:32]

    @contextmanager
    def held(
        self, holder: str, wait: Callable[[str], bool], sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[bool]:
        """Hold the lock for the time of a with block, whose value tells whether it was acquired.

        `wait` is called with the name of the other holder as long as there is one, and returns whether to go on
        waiting. Raises LocalFileError.
        """
        try:
            with open_private(self._folder, create=True) as folder:
                descriptor = folder.open_or_create_file(self._name, os.O_RDWR)
        except OSError as error:
            raise LocalFileError(f"{self._folder}: {error.strerror}") from error
        try:
            acquired = self._acquire(descriptor, wait, sleep)
            if acquired:
                _write_holder(descriptor, holder)
            yield acquired
        finally:
            # Not unlocked: a task that runs on shares the descriptor.
            os.close(descriptor)

    def is_held(self) -> bool:
        """Tell whether a process holds the lock."""
        try:
            with open_private(self._folder) as folder:
                descriptor = folder.open_file(self._name, os.O_RDWR)
        except (OSError, LocalFileError):
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        finally:
            os.close(descriptor)
        return False

    def _acquire(self, descriptor: int, wait: Callable[[str], bool], sleep: Callable[[float], None]) -> bool:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if not wait(os.pread(descriptor, _MOST_BYTES, 0).decode("utf-8", "replace").strip()):
                    return False
            except OSError as error:
                # Some network file systems have no locks.
                raise LocalFileError(f"{self._folder} cannot be locked: {error.strerror}") from error
            sleep(_POLL_SECONDS)


def _write_holder(descriptor: int, holder: str) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode("utf-8", "surrogateescape"), 0)
    except OSError:
        # The name of the holder is only shown; a full disk must not prevent a backup.
        pass
