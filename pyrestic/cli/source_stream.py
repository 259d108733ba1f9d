"""The data source of `backup --stdin` and `--stdin-from-command`."""

import contextlib
import os
import sys
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
    # Not in this thread, where an interrupt could come between the start of the command and the assignment.
    starting = Background(lambda: _start(command), "source command")
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _end(starting.result()))
        process = starting.result()
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor = process.stdout.fileno()

        def finish() -> None:
            code = process.wait()
            if code != 0:
                raise PyresticError(f"command failed: exit status {code}; no snapshot was made")

        with when_forced(process.kill):
            yield lambda view: os.readv(descriptor, [view]), finish


def _start(command: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    # Rarely used: other commands avoid the import.
    import subprocess

    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603 - the user's own command
    except OSError as error:
        raise LocalFileError(f"the command {command[0]!r} could not be started: {error.strerror}") from error


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a running command, forcibly if it ignores SIGTERM."""
    import subprocess

    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
        process.kill()


def _read_input(view: memoryview) -> int:
    try:
        return os.readv(sys.stdin.fileno(), [view])
    except OSError as error:
        raise LocalFileError(f"standard input cannot be read: {error.strerror}; no snapshot was made") from error
