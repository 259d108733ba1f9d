"""The connection of a backend and the command behind it."""

import os
import socket
from collections.abc import Sequence

from pyrestic.backend.child import BackendProcess
from pyrestic.backend.command_words import find_program
from pyrestic.backend.restarting import Restarting
from pyrestic.backend.scheme_options import Access
from pyrestic.backend.sftp.connection import SftpConnection
from pyrestic.backend.sftp.errors import error_of_ending
from pyrestic.backend.watchdog import INTERRUPTED_STALL_SECONDS
from pyrestic.errors import TransientError

END_SECONDS = 2.0
"""How long a command may take to end after its input has ended."""
_BUFFER_BYTES = 1 << 20


class SftpSession:
    """Starts a command for an SFTP connection, again and again. `words` is the command. Thread-safe."""

    def __init__(self, words: Sequence[str], access: Access) -> None:
        self._words = words
        self._access = access
        self._name = os.path.basename(words[0])
        self._running = Restarting(self._start, _is_alive, _end)
        self._line: socket.socket | None = None
        self._interrupts = 0

    def connection(self) -> SftpConnection:
        """Return a live connection; raise BackendError if none can be made."""
        return self._running.get()[1]

    def interrupt(self) -> None:
        """Abort what is running; see Interruptible."""
        self._interrupts += 1
        line, running = self._line, self._running.current
        if line is not None:
            _shut_down(line)
        if running is not None:
            running[1].interrupt()

    def close(self) -> None:
        """End the connection and the command."""
        self._running.close()

    def _start(self) -> tuple[BackendProcess, SftpConnection]:
        words = find_program(self._words, self._access.environment, "sftp.command")
        interrupts = self._interrupts
        ours, its = socket.socketpair()
        with its:
            for end in (ours, its):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            try:
                process = BackendProcess(words, self._access.environment, (its.fileno(), its.fileno()), self._say)
            except BaseException:
                ours.close()
                raise
        try:
            self._line = ours
            stall = self._access.http.stall_seconds
            connection = SftpConnection(ours, min(stall, INTERRUPTED_STALL_SECONDS) if interrupts else stall)
        except ConnectionError:
            if interrupts != self._interrupts:
                _abandon(process, ours)
                raise TransientError("the program was interrupted") from None
            code = process.wait(END_SECONDS)
            lines = process.last_lines()
            _abandon(process, ours)
            raise error_of_ending(self._name, code, lines, reached=self._running.was_reached) from None
        except BaseException:
            _abandon(process, ours)
            raise
        finally:
            self._line = None
        process.to_background()
        return process, connection

    def _say(self, line: str) -> None:
        self._access.note(f"subprocess {self._words[0]}: {line}")


def _is_alive(running: tuple[BackendProcess, SftpConnection]) -> bool:
    return running[1].is_alive


def _end(running: tuple[BackendProcess, SftpConnection]) -> None:
    process, connection = running
    patience = END_SECONDS if connection.is_alive else 0.0
    connection.close()
    process.end(patience)


def _abandon(process: BackendProcess, line: socket.socket) -> None:
    """End a process that did not get as far as a connection."""
    _shut_down(line)
    line.close()
    process.end(0)


def _shut_down(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is closed, or the peer has gone.
        pass
