"""The three standard streams: reserved descriptors, and output that can be lost without harm.

If a standard stream is closed, the next opened file would get its number, and printed text would go into that file. So
the three numbers are reserved before anything else is opened. A stream can also be lost during the run: its reader
ends, its disk fills up, its terminal closes. Work continues without its output. A command that only prints has nothing
left to do, and ends like every Unix tool.
"""

import errno
import io
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

SIGPIPE_CODE = 128 + signal.SIGPIPE
_NAMES = ("standard input", "standard output", "standard error")


class OutputLostError(BaseException):
    """Standard output cannot be written to, and the command only prints.

    Not an Exception, so that a command does not handle it like the error of a file.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"unable to write to standard output: {(error.strerror or str(error)).lower()}")
        self.reader_gone = error.errno == errno.EPIPE


class _State:
    goes_on = False


def reserve_descriptors() -> None:
    """Reserve the numbers of closed standard streams.

    Their replacements cannot be used: reading and writing fail as with a closed stream.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(_open_at(number, mode), True)


def _open_at(number: int, mode: int) -> int:
    descriptor = os.open(os.devnull, mode)
    # The lowest free number is this one: those below it were reserved before.
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return number


def guard_streams() -> None:
    """Replace the standard streams with UTF-8 ones that can be lost; see keep_going."""
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout = _open_text(1)
    sys.stderr = _open_text(2)


def _open_text(number: int) -> TextIO:
    buffer = io.BufferedWriter(_GuardedOutput(number), io.DEFAULT_BUFFER_SIZE)
    line_buffering = number == 2 or os.isatty(number)
    return io.TextIOWrapper(buffer, "utf-8", "surrogateescape", line_buffering=line_buffering)


def keep_going(*, without_output: bool) -> None:
    """Set whether the command does work that does not need its output."""
    _State.goes_on = without_output


def drop_output() -> None:
    """Redirect standard output to nowhere, so that flushing the rest does not fail."""
    _point_nowhere(1)


def end_by_pipe_signal() -> NoReturn:
    """End the process as if its reader were gone."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(SIGPIPE_CODE)


def _point_nowhere(number: int) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, number)
    os.close(descriptor)


class _GuardedOutput(io.RawIOBase):
    """Standard output or standard error, unbuffered."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.name = f"<{_NAMES[number]}>"
        self.mode = "wb"

    def fileno(self) -> int:
        """Return the number of the descriptor."""
        return self._number

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._number)

    def write(self, data: "Buffer", /) -> int:
        """Write data and return the number of bytes written; raise OutputLostError if the command needs its output."""
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                # Another process that shares the terminal has made it nonblocking.
                select.select([], [self._number], [])
            except OSError as error:
                self._lose(error)
                return memoryview(data).nbytes

    def _lose(self, error: OSError) -> None:
        if self._number == 1 and not _State.goes_on:
            raise OutputLostError(error) from error
        _point_nowhere(self._number)
        # A reader or a terminal that is gone needs no message.
        if self._number == 1 and error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
            sys.stderr.write(f"standard output was lost, continuing without it: {error.strerror}\n")
