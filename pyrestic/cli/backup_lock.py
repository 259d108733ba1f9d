"""The lock of a backup on this machine: the same paths are not backed up twice at once into the same repository.

Locks of repositories do not prevent that: backups share them. This one is a file in the state folder that the kernel
unlocks with its process.
"""

import contextlib
import os
import time
from collections.abc import Iterator

import click

from pyrestic.cli.command import App
from pyrestic.cli.session import find_location
from pyrestic.errors import LocalFileError, LockedError, UntrustedError
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.operations.backup_options import BackupRequest
from pyrestic.runner.place_lock import PlaceLock
from pyrestic.units import format_duration


@contextlib.contextmanager
def locked_here(app: App, request: BackupRequest) -> Iterator[None]:
    """Hold the lock during a with block; raise LockedError if another process has it for longer than --retry-lock.

    Streams take none, because different ones may have the same name. Nor does a program that is called restic.
    """
    folder = find_state_folder(app.settings.environment)
    if not folder or request.streamed or _is_called_restic():
        yield
        return
    lock = PlaceLock(folder, find_location(app.settings), request.hostname, *sorted(set(request.paths)))
    holder = f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.held(holder, _Patience(app).wait, time.sleep))
        except UntrustedError:
            # The cache or the log of usage notes it, once for all that is kept there.
            pass
        except LocalFileError as error:
            app.terminal.note(f"another backup of the same paths on this machine would not be noticed: {error}", 2)
        yield


class _Patience:
    """How long to wait for another process."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seconds = app.settings.retry_lock_seconds
        self._since: float | None = None

    def wait(self, holder: str) -> bool:
        """Wait on; raise LockedError when the time is over. `holder` describes the other process."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            if self._seconds > 0:
                waiting = f"waiting up to {format_duration(self._seconds)}"
                self._app.terminal.note(f"{_describe(holder)}, {waiting}")
        if now - self._since >= self._seconds:
            raise LockedError(_describe(holder), hint="Use --retry-lock to wait for it.")
        return True


def _describe(holder: str) -> str:
    return f"the same paths are being backed up into this repository on this machine, by {holder or 'another process'}"


def _is_called_restic() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and context.find_root().info_name == "restic"
