"""The three standard streams: descriptors that nothing else may take, and output that can be lost without harm.

Where a standard stream is closed, the next file to be opened would get its number, and what the program prints would go
into that file. So the three numbers are taken before anything else is opened. A stream can also be lost on the way: its
reader ends, its disk fills up, its terminal closes. Work goes on without its output. A command that only prints has
nothing left to do, and ends as every Unix tool does.
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
    """Standard output cannot be written to, and printing is all that the command does.

    Not an Exception: the ways in which a command handles a bad file are not meant for this.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"unable to write to standard output: {(error.strerror or str(error)).lower()}")
        self.reader_gone = error.errno == errno.EPIPE


class _State:
    goes_on = False


def reserve_descriptors() -> None:
    """Take the numbers of standard streams that are closed.

    What takes them cannot be used in their direction: reading and writing fail as they do with a closed stream.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(_open_at(number, mode), True)


def _open_at(number: int, mode: int) -> int:
    descriptor = os.open(os.devnull, mode)
    # The lowest number that is free is this one: those below it were taken before.
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return number


def guard_streams() -> None:
    """Replace the standard streams by UTF-8 ones that can be lost; see keep_going."""
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout = _open_text(1)
    sys.stderr = _open_text(2)


def _open_text(number: int) -> TextIO:
    buffer = io.BufferedWriter(_GuardedOutput(number), io.DEFAULT_BUFFER_SIZE)
    line_buffering = number == 2 or os.isatty(number)
    return io.TextIOWrapper(buffer, "utf-8", "surrogateescape", line_buffering=line_buffering)


def keep_going(*, without_output: bool) -> None:
    """Say whether the command does work that its output is not needed for."""
    _State.goes_on = without_output


def drop_output() -> None:
    """Point standard output nowhere, so that nothing fails when the rest of it is flushed."""
    _point_nowhere(1)


def end_by_pipe_signal() -> NoReturn:
    """End the process as one does whose reader is gone."""
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
        """Write data and return how many bytes were taken; raise OutputLostError where the command needs its output."""
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                # Another process that shares the terminal made it so.
                select.select([], [self._number], [])
            except OSError as error:
                self._lose(error)
                return memoryview(data).nbytes

    def _lose(self, error: OSError) -> None:
        if self._number == 1 and not _State.goes_on:
            raise OutputLostError(error) from error
        _point_nowhere(self._number)
        # A reader or a terminal that is gone knows that it is.
        if self._number == 1 and error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
            sys.stderr.write(f"standard output was lost, continuing without it: {error.strerror}\n")
