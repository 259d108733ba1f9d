"""Runs one command of the program in a process of its own, and reads what it prints.

The process is forked before this one has threads: it needs no new interpreter, and what was imported stays so. Its end,
however it comes, never ends the runner.
"""

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import msgspec

from pyrestic.priority import lower_priority

RunCommand = Callable[[Sequence[str]], NoReturn]
"""Runs the program with these arguments in this process, and ends the process."""
_READ_BYTES: Final = 1 << 16
_MOST_LINE_BYTES: Final = 64 << 20
"""Enough for what forget prints about tens of thousands of snapshots."""
_DIED: Final = 1


class Outcome(msgspec.Struct):
    """How a command ended: its exit code, the last sentence of an error, its summary."""

    code: int = 0
    error: str = ""
    summary: Any = None
    """The last document on its standard output that is no progress message."""
    item_errors: int = 0
    """Number of errors of single files."""


class _Lines(msgspec.Struct):
    """Cuts what arrives from a pipe into lines; a line that is too long is dropped."""

    descriptor: int
    take: Callable[[bytes], None]
    rest: bytearray = msgspec.field(default_factory=bytearray)

    def read(self) -> bool:
        """Read once; return False at the end."""
        data = os.read(self.descriptor, _READ_BYTES)
        self.rest += data
        *lines, rest = bytes(self.rest).split(b"\n") if b"\n" in data else (bytes(self.rest),)
        for line in lines:
            self.take(line)
        self.rest = bytearray(rest if len(rest) <= _MOST_LINE_BYTES else b"")
        return bool(data)

    def finish(self) -> None:
        """Take what no line break ends."""
        if self.rest:
            self.take(bytes(self.rest))


class Child:
    """A running command. `tell` receives its messages for a person."""

    def __init__(self, pid: int, out: int, err: int, tell: Callable[[str], None]) -> None:
        self.pid = pid
        self._outcome = Outcome()
        self._tell = tell
        self._open = {out: _Lines(out, self._take_result), err: _Lines(err, self._take_message)}
        self._ended = False
        self._process = _open_process(pid)

    def wait(self, seconds: float, wake: Iterable[int] = ()) -> Outcome | None:
        """Return the outcome, or None if the command still runs after this time or one of the descriptors is ready."""
        deadline = time.monotonic() + seconds
        others = [descriptor for descriptor in wake if descriptor >= 0]
        while self._open:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([*self._open, *self._process, *others], [], [], left)
            readable = [one for one in ready if one in self._open]
            for descriptor in readable:
                if not self._open[descriptor].read():
                    self._close(descriptor)
            if not readable and any(one in ready for one in self._process):
                # It has ended, and all is read. A daemon that it left, such as one of a password manager, may hold
                # the pipes for as long as the machine runs.
                for descriptor in list(self._open):
                    self._close(descriptor)
            elif not ready or any(one in ready for one in others):
                return None
        if not self._ended:
            _, status = os.waitpid(self.pid, 0)
            self._ended = True
            for descriptor in self._process:
                os.close(descriptor)
            self._end(os.waitstatus_to_exitcode(status))
        return self._outcome

    def _close(self, descriptor: int) -> None:
        self._open.pop(descriptor).finish()
        os.close(descriptor)

    def send(self, number: int) -> None:
        """Send a signal to the command and all its processes."""
        if not self._ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _end(self, code: int) -> None:
        outcome = self._outcome
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            outcome.error = outcome.error or f"the process was ended by {name}"
        outcome.code = code if code >= 0 else 130 if code in (-signal.SIGINT, -signal.SIGTERM) else _DIED
        if outcome.code and not outcome.error:
            outcome.error = f"it ended with exit code {outcome.code}"

    def _take_result(self, line: bytes) -> None:
        document = _parse(line)
        if document is None:
            if line.strip():
                self._tell(line.decode("utf-8", "replace"))
        elif not isinstance(document, dict) or document.get("message_type") == "summary":
            self._outcome.summary = document

    def _take_message(self, line: bytes) -> None:
        document = _parse(line)
        if not isinstance(document, dict):
            if line.strip():
                self._tell(line.decode("utf-8", "replace").replace("\r", "").rstrip())
            return
        kind = document.get("message_type")
        if kind == "exit_error":
            self._outcome.error = str(document.get("message", "")).removeprefix("Fatal: ").split("\n")[0]
        elif kind == "error":
            self._outcome.item_errors += 1
            found = document.get("error")
            text = found.get("message") if isinstance(found, dict) else document.get("message")
            self._tell(f"{document.get('item') or 'error'}: {text}")


def _open_process(pid: int) -> tuple[int, ...]:
    """Return a descriptor that is readable once a process has ended; none if the kernel has no such thing."""
    try:
        return (os.pidfd_open(pid),)
    except OSError:
        return ()


def _parse(line: bytes) -> Any:  # noqa: ANN401 - JSON
    if line[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None


def start(
    run: RunCommand,
    arguments: Sequence[str],
    tell: Callable[[str], None],
    *,
    low_priority: bool = False,
) -> Child:
    """Start a command and return it; raise OSError if there is no process to be had.

    Whatever this process has printed must be flushed: the other one would print it again.
    """
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        for descriptor in (out, out_writer, err, err_writer):
            os.close(descriptor)
        raise
    if pid == 0:
        try:
            os.close(out)
            os.close(err)
            _become_child(out_writer, err_writer, low_priority=low_priority)
            run(arguments)
        except Exception:
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        finally:
            # Whatever was raised: no line of the runner may run twice.
            os._exit(_DIED)
    os.close(out_writer)
    os.close(err_writer)
    return Child(pid, out, err, tell)


def _become_child(out: int, err: int, *, low_priority: bool) -> None:
    # A Ctrl-C is for the runner, which decides what it means for the command.
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A program started with nohup should survive the end of the terminal.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # Until the command listens to it, a request to end early must not end the process.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if low_priority:
        lower_priority()
