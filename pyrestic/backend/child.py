"""A program that a backend talks to, such as ssh or rclone: it may ask for a password, and ends in any case.

It gets a process group of its own, so that Ctrl-C ends our work and not the connection that the cleanup needs. If this
program is in the foreground of a terminal, the child is put there until it has answered, as in restic: only a process
of the foreground may read a password.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from pyrestic.errors import AccessError

_KEPT_LINES = 5
_MAX_LINE_BYTES = 4096
_LAST_LINES_SECONDS = 0.5
"""How long to wait for the last lines of a child that has ended; a process that it left may hold its standard error."""
_TERMINATED_SECONDS = 0.5
_SECRETS = "RESTIC_"


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program that has nothing to do with the repository, such as its password."""
    return {name: value for name, value in environment.items() if not name.startswith(_SECRETS)}


class BackendProcess:
    """A running program; `say` gets each line of its standard error.

    `words` is the command with the path of the program, `ends` the descriptors of its standard input and output. Raises
    AccessError if it cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        ends: tuple[int, int],
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._terminal = _open_terminal()
        try:
            with _unstopped():
                self._process = subprocess.Popen(  # noqa: S603 - the user names it
                    words,
                    stdin=ends[0],
                    stdout=ends[1],
                    stderr=subprocess.PIPE,
                    # As in restic: a password of the repository is none of its business.
                    env=without_secrets(environment),
                    process_group=0,
                )
                if self._terminal is not None:
                    self._give_terminal(self._process.pid)
                    # It may have asked before it was in the foreground, and was stopped.
                    self._signal(signal.SIGCONT)
        except OSError as error:
            self._close_terminal()
            raise AccessError(f"{words[0]} cannot be started: {error.strerror or error}") from error
        self._reader = threading.Thread(target=self._read_lines, name="child-stderr", daemon=True)
        self._reader.start()

    def to_background(self) -> None:
        """Take the terminal back: the child has answered and asks nothing more."""
        if self._terminal is not None:
            with _unstopped():
                self._give_terminal(os.getpgrp())
            self._close_terminal()

    def wait(self, seconds: float) -> int | None:
        """Return the exit code of the child, None if it still runs after this time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def last_lines(self) -> list[str]:
        """Return the last lines of the standard error of a child that has ended."""
        self._reader.join(_LAST_LINES_SECONDS)
        return self.lines()

    def lines(self) -> list[str]:
        """Return the last lines of the standard error so far."""
        return [line for line in list(self._lines) if line.strip()]

    def end(self, patience_seconds: float) -> int:
        """Return the exit code of a child that was told to end; it is forced to do so after this time."""
        self.to_background()
        code = self.wait(patience_seconds)
        if code is None:
            self._signal(signal.SIGTERM)
            code = self.wait(_TERMINATED_SECONDS)
        if code is None:
            self._signal(signal.SIGKILL)
            code = self._process.wait()
        return code

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _give_terminal(self, group: int) -> None:
        with contextlib.suppress(OSError):
            # It is gone if the child ended at once.
            os.tcsetpgrp(self._terminal or 0, group)

    def _close_terminal(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def _read_lines(self) -> None:
        stream = self._process.stderr
        assert stream is not None  # noqa: S101 - it is a pipe
        with stream:
            while line := stream.readline(_MAX_LINE_BYTES):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                self._lines.append(text)
                self._say(text)


def _open_terminal() -> int | None:
    """Return a descriptor of the terminal if this program is in its foreground."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(descriptor) == os.getpgrp():
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


@contextlib.contextmanager
def _unstopped() -> Iterator[None]:
    """Let this thread use the terminal from the background in a with block; otherwise that would stop the program."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
