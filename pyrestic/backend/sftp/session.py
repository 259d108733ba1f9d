"""The connection of a backend: started when it is first needed, and again after it was lost."""

import os
import socket
import threading
from collections.abc import Callable, Sequence

from pyrestic.backend.child import BackendProcess
from pyrestic.backend.command_words import find_program
from pyrestic.backend.scheme_options import Access
from pyrestic.backend.sftp.connection import SftpConnection
from pyrestic.backend.sftp.errors import error_of_ending
from pyrestic.backend.watchdog import INTERRUPTED_STALL_SECONDS
from pyrestic.errors import BackendError, TransientError

END_SECONDS = 2.0
"""How long a command may take to end after its input has ended."""
_BUFFER_BYTES = 1 << 20


class SftpSession:
    """Starts a command for an SFTP session, again and again. `words` is the command. Thread-safe."""

    def __init__(self, words: Sequence[str], access: Access) -> None:
        self._words = words
        self._access = access
        self._name = os.path.basename(words[0])
        self._starting = threading.Lock()
        self._attempt = 0
        self._failure: tuple[int, Callable[[], BackendError]] | None = None
        self._reached = False
        self._connection: SftpConnection | None = None
        self._child: BackendProcess | None = None
        self._line: socket.socket | None = None
        self._interrupts = 0

    def connection(self) -> SftpConnection:
        """Return a live connection; raise BackendError if none can be made."""
        connection = self._connection
        if connection is not None and connection.is_alive:
            return connection
        attempt = self._attempt
        with self._starting:
            if self._connection is not None and self._connection.is_alive:
                return self._connection
            if self._failure is not None and self._failure[0] > attempt:
                # Another thread has tried since this one began to wait.
                make_error = self._failure[1]
                raise make_error()
            self._attempt += 1
            try:
                return self._start()
            except BackendError as error:
                self._failure = self._attempt, _copier(error)
                raise

    def interrupt(self) -> None:
        """Abort what is running; see Interruptible."""
        self._interrupts += 1
        line, connection = self._line, self._connection
        if line is not None:
            _shut_down(line)
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """End the connection and the command."""
        with self._starting:
            self._end()

    def _start(self) -> SftpConnection:
        self._end()
        words = find_program(self._words, self._access.environment, "sftp.command")
        interrupts = self._interrupts
        ours, its = socket.socketpair()
        try:
            with its:
                for end in (ours, its):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
                child = BackendProcess(words, self._access.environment, (its.fileno(), its.fileno()), self._say)
            self._child, self._line = child, ours
            stall = self._access.http.stall_seconds
            self._connection = SftpConnection(ours, min(stall, INTERRUPTED_STALL_SECONDS) if interrupts else stall)
        except ConnectionError:
            if interrupts != self._interrupts:
                self._abandon(ours)
                raise TransientError("the program was interrupted") from None
            code = child.wait(END_SECONDS)
            lines = child.last_lines()
            self._abandon(ours)
            raise error_of_ending(self._name, code, lines, reached=self._reached) from None
        except BaseException:
            self._abandon(ours)
            raise
        self._line = None
        child.to_background()
        self._reached = True
        return self._connection

    def _abandon(self, line: socket.socket) -> None:
        self._line = None
        _shut_down(line)
        line.close()
        self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        child, self._child = self._child, None
        patience = 0.0 if connection is None or not connection.is_alive else END_SECONDS
        if connection is not None:
            connection.close()
        if child is not None:
            child.end(patience)

    def _say(self, line: str) -> None:
        self._access.note(f"subprocess {self._words[0]}: {line}")


def _shut_down(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is closed, or the peer has gone.
        pass


def _copier(error: BackendError) -> Callable[[], BackendError]:
    """Return a function that makes the same error anew, for other threads to raise."""
    if isinstance(error, TransientError):
        kind, attempts = type(error), error.attempts
        return lambda: kind(str(error), hint=error.hint, attempts=attempts)
    return lambda: type(error)(str(error), hint=error.hint)
