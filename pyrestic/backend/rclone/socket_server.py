"""Starts rclone as a server on a socket in a private folder: the way without a program of the user's own.

It costs an eighth of the processor time of HTTP/2 over pipes, restic's way. rclone does not end by itself when its
client is killed, so a shell beside it waits for the end of a pipe that we hold.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Sequence

from pyrestic.backend.child import BackendProcess
from pyrestic.backend.command_words import find_program
from pyrestic.backend.http import HttpClient
from pyrestic.backend.rclone.backend import END_SECONDS, RcloneFailedError, Running, describe_end
from pyrestic.backend.rest import RestBackend
from pyrestic.backend.rest_url import RestUrl
from pyrestic.backend.scheme_options import Access
from pyrestic.backend.transport import UNIX_SCHEME, socket_host
from pyrestic.errors import SilentError, TransientError

_MAX_SOCKET_BYTES = 100
"""Paths of sockets are short; the system's limit is 108 bytes."""
_LOOK_SECONDS = 0.01
_START_ATTEMPTS = 1
_SHELL = "/bin/sh"
_END_WITH_US = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r line <&3; kill "$server"; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"""
_HIDDEN = "Serving restic REST API on"


class SocketLauncher:
    """Starts a program, by default `rclone`, on a remote. `timeout_seconds` limits the start."""

    def __init__(
        self, words: Sequence[str], remote: str, connections: int, access: Access, timeout_seconds: float
    ) -> None:
        self._words = words
        self._remote = remote
        self._connections = connections
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._interrupted = threading.Event()

    def start(self) -> Running:
        """Return the server when it accepts connections; see Launcher."""
        program = find_program(self._words, self._access.environment, "rclone.program")
        self._interrupted.clear()
        folder = _make_folder()
        try:
            path = os.path.join(folder, "s")
            address = ["serve", "restic", "--addr", f"unix://{path}", "--b2-hard-delete", self._remote]
            reader, writer = os.pipe()
            try:
                words = [_SHELL, "-c", _END_WITH_US, "rclone", *program, *address]
                silent = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    process = BackendProcess(words, self._access.environment, (reader, silent), self._say)
                finally:
                    os.close(silent)
                    os.close(reader)
            except BaseException:
                os.close(writer)
                raise
            try:
                self._await(process, path)
            except BaseException:
                os.close(writer)
                process.end(0)
                raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        process.to_background()
        return self._make_running(process, path, folder, writer)

    def interrupt(self) -> None:
        """Abort a start."""
        self._interrupted.set()

    def _await(self, process: BackendProcess, path: str) -> None:
        """Wait until the server accepts connections; raise BackendError if it does not."""
        deadline = time.monotonic() + self._timeout_seconds
        while not _accepts(path):
            if process.wait(_LOOK_SECONDS) is not None:
                raise RcloneFailedError(f"rclone ended{describe_end(process)}")
            if self._interrupted.is_set():
                raise TransientError("the program was interrupted")
            if time.monotonic() > deadline:
                raise SilentError(f"rclone did not answer within {self._timeout_seconds:g} s", attempts=_START_ATTEMPTS)

    def _make_running(self, process: BackendProcess, path: str, folder: str, writer: int) -> Running:
        access = self._access
        client = HttpClient(access.http, self._connections, upload=access.upload, download=access.download)
        url = RestUrl(f"{UNIX_SCHEME}://{socket_host(path)}/", "", "")
        backend = RestBackend(client, url, self._connections)

        def end() -> None:
            backend.close()
            os.close(writer)
            process.end(END_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)

        return Running(process, backend, lambda: True, end)

    def _say(self, line: str) -> None:
        if _HIDDEN not in line:
            self._access.note(f"rclone: {line}")


def _make_folder() -> str:
    """Return a new folder that only this user can enter."""
    folder = tempfile.mkdtemp(prefix="pyrestic-")
    if len(os.fsencode(folder)) > _MAX_SOCKET_BYTES:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="pyrestic-", dir="/tmp")
    return folder


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
        line.connect(path)
        return True
    return False
