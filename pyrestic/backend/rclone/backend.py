"""A repository behind `rclone serve restic`, which is started when it is needed, and again after it has ended."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo
from pyrestic.backend.child import BackendProcess
from pyrestic.backend.rest import RestBackend
from pyrestic.backend.restarting import Restarting
from pyrestic.errors import AccessError, NoAnswerError, SilentError, TransientError
from pyrestic.handle import FileType, Handle

END_SECONDS = 5.0
"""How long rclone may take to end after its input has ended."""
_FIRST_ATTEMPTS = 4
"""Number of failures in a row that end an operation before any has succeeded: the remote may be misconfigured."""
_RESTART_ATTEMPTS = 6
_NOTICE_SECONDS = 0.2
_stamp = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (CRITICAL|ERROR|NOTICE|Fatal error)?\s*:?\s*")

T = TypeVar("T")


class Running(NamedTuple):
    """A server, and the backend that talks to it. `end` tells it to end and removes what it needed.

    `is_alive` tells whether it can be reached, as long as the process runs.
    """

    process: BackendProcess
    backend: RestBackend
    is_alive: Callable[[], bool]
    end: Callable[[], None]


class Launcher(Protocol):
    """Starts rclone."""

    def start(self) -> Running:
        """Return the server when it answers; raise BackendError, ConnectionError if it ended before that."""

    def interrupt(self) -> None:
        """Abort a start."""


class RcloneFailedError(AccessError):
    """Rclone ended before it answered."""


class RcloneBackend:
    """The Backend protocol by rclone; it is started by the first call."""

    def __init__(self, launcher: Launcher, connections: int) -> None:
        self.connections = connections
        self._launcher = launcher
        self._running = Restarting(self._start, _is_alive, lambda running: running.end())
        self._worked = False

    def create(self) -> None:
        """Let the server create its folders; no error if they exist. Raises BackendError."""
        self._run(lambda backend: backend.create())

    def save(self, handle: Handle, data: Buffer) -> None:
        """Store data under handle; see RestBackend."""
        self._run(lambda backend: backend.save(handle, data))

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of the file; see RestBackend."""
        return self._run(lambda backend: backend.load(handle, offset, length))

    def stat(self, handle: Handle) -> FileInfo:
        """Return name and length; see RestBackend."""
        return self._run(lambda backend: backend.stat(handle))

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate the files of a type; see RestBackend."""
        return iter(self._run(lambda backend: tuple(backend.list(file_type))))

    def remove(self, handle: Handle) -> None:
        """Remove the file; see RestBackend."""
        self._run(lambda backend: backend.remove(handle))

    def interrupt(self) -> None:
        """Abort all running operations; see Interruptible."""
        self._launcher.interrupt()
        if (running := self._running.current) is not None:
            running.backend.interrupt()

    def close(self) -> None:
        """End rclone."""
        self._running.close()

    def _start(self) -> Running:
        try:
            return self._launcher.start()
        except RcloneFailedError as error:
            if not self._running.was_reached:
                raise
            # It has worked before: what it needs may come back.
            raise TransientError(str(error), hint=error.hint, attempts=_RESTART_ATTEMPTS) from error

    def _run(self, operation: Callable[[RestBackend], T]) -> T:
        running = self._running.get()
        try:
            result = operation(running.backend)
        except SilentError:
            # Another one may answer.
            running.process.end(0)
            raise
        except TransientError as error:
            if running.process.wait(_NOTICE_SECONDS if isinstance(error, NoAnswerError) else 0) is not None:
                raise NoAnswerError(
                    f"rclone ended during the operation{describe_end(running.process)}", retry_after_seconds=0
                ) from error
            if self._worked or error.attempts is not None:
                raise
            raise TransientError(f"{error}{_last_words(running.process)}", attempts=_FIRST_ATTEMPTS) from error
        self._worked = True
        return result


def describe_end(process: BackendProcess) -> str:
    """Return exit status and last line of a process that has ended, as the end of a sentence."""
    code = process.wait(0)
    status = "" if code is None else f" with exit status {code}" if code >= 0 else f" by signal {-code}"
    return status + _last_words(process)


def _last_words(process: BackendProcess) -> str:
    lines = process.last_lines() if process.wait(0) is not None else process.lines()
    return f": {_stamp.sub('', lines[-1].strip())}" if lines else ""


def _is_alive(running: Running) -> bool:
    return running.is_alive() and running.process.wait(0) is None
