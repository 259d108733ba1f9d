"""How rclone is started: as a server on a socket, or as the user's own command that talks HTTP/2 over its pipes."""

import importlib.util
import os

from pyrestic.backend.command_words import split_option
from pyrestic.backend.rclone.backend import Launcher, RcloneFailedError, Running
from pyrestic.backend.rclone.socket_server import SocketLauncher
from pyrestic.backend.scheme_options import Access
from pyrestic.errors import UsageError

PROGRAM = "rclone"
ARGUMENTS = "serve restic --stdio --b2-hard-delete"
_HINT = 'Install the extra: pip install "pyrestic[rclone]"'
_OLD = "listen tcp"
"""What an old rclone, such as 1.60, says when told to listen on a socket."""


def find_launcher(
    remote: str, program: str, arguments: str, connections: int, access: Access, timeout_seconds: float
) -> Launcher:
    """Return what starts rclone for a remote, from the values of two options; raise UsageError."""
    words = split_option(program or PROGRAM, "rclone.program")
    more = split_option(arguments or ARGUMENTS, "rclone.args")
    pipes = [*words, *more, remote]
    plain = SocketLauncher(words, remote, connections, access, timeout_seconds)
    if more == ARGUMENTS.split() and len(words) == 1 and os.path.basename(words[0]) == PROGRAM:
        return _OldOrNew(plain, pipes, connections, access, timeout_seconds)
    return _open_pipes(pipes, connections, access, timeout_seconds)


def _open_pipes(words: list[str], connections: int, access: Access, timeout_seconds: float) -> Launcher:
    if importlib.util.find_spec("h2") is None:
        raise UsageError("rclone.program and rclone.args need the package h2", hint=_HINT)
    from pyrestic.backend.rclone.pipe_server import PipeLauncher

    return PipeLauncher(words, connections, access, timeout_seconds)


class _OldOrNew:
    """Starts a server on a socket, or over pipes if this rclone is too old for that."""

    def __init__(
        self, plain: SocketLauncher, words: list[str], connections: int, access: Access, timeout_seconds: float
    ) -> None:
        self._launcher: Launcher = plain
        self._words = words
        self._connections = connections
        self._access = access
        self._timeout_seconds = timeout_seconds

    def start(self) -> Running:
        try:
            return self._launcher.start()
        except RcloneFailedError as error:
            if _OLD not in str(error):
                raise
        try:
            self._launcher = _open_pipes(self._words, self._connections, self._access, self._timeout_seconds)
        except UsageError:
            raise RcloneFailedError("this rclone is too old: it cannot serve on a socket", hint=_HINT) from None
        return self._launcher.start()

    def interrupt(self) -> None:
        self._launcher.interrupt()
