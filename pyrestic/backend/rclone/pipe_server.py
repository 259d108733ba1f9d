"""Starts a command of the user's that serves a repository over its standard input and output, as restic does."""

import secrets
import socket
from collections.abc import Sequence

from pyrestic.backend.child import BackendProcess
from pyrestic.backend.command_words import find_program
from pyrestic.backend.rclone.backend import END_SECONDS, RcloneFailedError, Running, describe_end
from pyrestic.backend.rclone.http2 import Http2Client
from pyrestic.backend.rest import RestBackend
from pyrestic.backend.rest_url import RestUrl
from pyrestic.backend.scheme_options import Access
from pyrestic.errors import BackendError

_NOTICE_SECONDS = 0.5
_BUFFER_BYTES = 1 << 20
_PROBE_BYTES = 1 << 20


class PipeLauncher:
    """Starts a command and talks HTTP/2 to it. `timeout_seconds` limits its first answer."""

    def __init__(self, words: Sequence[str], connections: int, access: Access, timeout_seconds: float) -> None:
        self._words = words
        self._connections = connections
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._starting: Http2Client | None = None

    def start(self) -> Running:
        """Return the server when it answers; see Launcher."""
        access = self._access
        words = find_program(self._words, access.environment, "rclone.program")
        ours, its = socket.socketpair()
        with its:
            for end in (ours, its):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            try:
                process = BackendProcess(words, access.environment, (its.fileno(), its.fileno()), self._say)
            except BaseException:
                ours.close()
                raise
        client = Http2Client(ours, self._timeout_seconds, upload=access.upload, download=access.download)
        self._starting = client
        try:
            # A file that is not there: any status shows that the server is.
            client.send("GET", f"/file-{secrets.randbits(64)}", headers={}, max_length=_PROBE_BYTES)
        except BackendError as error:
            client.close()
            ended = process.wait(_NOTICE_SECONDS) is not None
            process.end(0)
            if ended:
                raise RcloneFailedError(f"rclone ended{describe_end(process)}") from error
            raise
        except BaseException:
            client.close()
            process.end(0)
            raise
        finally:
            self._starting = None
        client.stall_seconds = access.http.stall_seconds
        process.to_background()
        backend = RestBackend(client, RestUrl("http://localhost/", "", ""), self._connections)

        def end_both() -> None:
            backend.close()
            process.end(END_SECONDS)

        return Running(process, backend, client.is_alive, end_both)

    def interrupt(self) -> None:
        """Abort a start."""
        if (client := self._starting) is not None:
            client.interrupt()

    def _say(self, line: str) -> None:
        self._access.note(f"rclone: {line}")
