"""The data source of `backup --stdin` and `--stdin-from-command`."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pyrestic.cli.interrupts import when_forced
from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.repository.background import Background

if TYPE_CHECKING:
    import subprocess

Stream = tuple[Callable[[memoryview], int], Callable[[], None]]
"""A function that reads into a buffer and returns the number of bytes, 0 at the end; and one that raises if the source
failed."""
_PATIENCE_SECONDS = 0.5
"""How long a command may take to end after SIGTERM."""


@contextlib.contextmanager
def opened_stream(command: tuple[str, ...]) -> Iterator[Stream]:
    """Yield standard input, or the output of a command if one is given; it does not outlive the with block.

    Raises LocalFileError if the command cannot be started.
    """
    if not command:
        yield _read_input, lambda: None
        return
    source = _Command(command)
    with when_forced(source.kill), contextlib.ExitStack() as stack:
        stack.callback(source.end)
        # Not in this thread, where an interrupt could come between the start of the command and the assignment.
        process = Background(source.start, "source command").result()
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor = process.stdout.fileno()

        def finish() -> None:
            code = process.wait()
            if code != 0:
                raise PyresticError(f"command failed: exit status {code}; no snapshot was made")

        yield lambda view: os.readv(descriptor, [view]), finish


class _Command:
    """A command that no longer runs, nor starts, once it has been ended. Thread-safe."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the command and return its process."""
        # Rarely used: other commands avoid the import.
        import subprocess

        with self._lock:
            if self._ended:
                raise PyresticError(f"the command {self._words[0]!r} was ended before it started")
            try:
                self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603 - the user's own command
            except OSError as error:
                reason = f"the command {self._words[0]!r} could not be started: {error.strerror}"
                raise LocalFileError(reason) from error
            return self._process

    def kill(self) -> None:
        """End the command at once."""
        with self._lock:
            self._ended = True
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """End the command, forcibly if it ignores SIGTERM."""
        import subprocess

        with self._lock:
            self._ended = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE_SECONDS)
            self._process.kill()


def _read_input(view: memoryview) -> int:
    try:
        return os.readv(sys.stdin.fileno(), [view])
    except OSError as error:
        raise LocalFileError(f"standard input cannot be read: {error.strerror}; no snapshot was made") from error
