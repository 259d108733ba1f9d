"""Runs the commands that a profile has around its tasks."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from pyrestic.profiles.profile import Command

if TYPE_CHECKING:
    import subprocess

WAITS: Final = 75
"""The exit code of a command that says that a task has to wait."""
_STEP_SECONDS: Final = 0.05
_LAST_SECONDS: Final = 5.0
"""How long a command that is told to end may take."""
_HIDDEN: Final = ("RESTIC_", "B2_")
"""Prefixes of variables that may contain secrets."""


class HookFailure(msgspec.Struct, frozen=True):
    """Why the commands after this one did not run; `waits` means that the command asked to wait."""

    message: str
    waits: bool = False


class HookFacts(msgspec.Struct, frozen=True):
    """What commands are told in variables and on standard input."""

    profile: str
    task: str
    result: str = ""
    """success, partial, failed or waiting; "" before the task."""
    exit_code: int | None = None
    snapshot: str = ""
    error: str = ""
    summary: bytes = b""

    def variables(self) -> dict[str, str]:
        """Return the variables."""
        code = "" if self.exit_code is None else str(self.exit_code)
        values = {
            "PROFILE": self.profile,
            "TASK": self.task,
            "RESULT": self.result,
            "EXIT_CODE": code,
            "SNAPSHOT_ID": self.snapshot,
            "ERROR": self.error.replace("\0", ""),
        }
        return {f"PYRESTIC_{name}": value for name, value in values.items()}


class HookRunner:
    """Runs commands one after another; `output` is the descriptor for what they print."""

    def __init__(
        self, environment: Mapping[str, str], output: Callable[[], int], is_ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._environment = {name: value for name, value in environment.items() if not name.startswith(_HIDDEN)}
        self._output = output
        self._is_ending = is_ending

    def run(
        self, commands: Sequence[Command], facts: HookFacts, timeout_seconds: float, *, to_the_end: bool = False
    ) -> HookFailure | None:
        """Run commands until one fails, or all `to_the_end`, and return the first failure.

        Without `to_the_end`, a signal to the runner ends the command that runs.
        """
        first: HookFailure | None = None
        for command in commands:
            failure = self._run_one(command, facts, timeout_seconds, ends=not to_the_end)
            first = first or failure
            if failure is not None and not to_the_end:
                break
        return first

    def _run_one(self, command: Command, facts: HookFacts, timeout_seconds: float, *, ends: bool) -> HookFailure | None:
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        name = command if isinstance(command, str) else " ".join(command)
        try:
            process = self._start(words, facts)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return HookFailure(f"the hook {name!r} could not be started: {reason}")
        deadline = time.monotonic() + timeout_seconds
        wait = _STEP_SECONDS / 10
        while process.poll() is None:
            if time.monotonic() > deadline:
                _end(process)
                return HookFailure(f"the hook {name!r} did not end within {timeout_seconds:g} seconds")
            if ends and self._is_ending():
                _end(process)
                return HookFailure(f"the hook {name!r} was interrupted")
            time.sleep(wait)
            wait = min(2 * wait, _STEP_SECONDS)
        if process.returncode == 0:
            return None
        if process.returncode == WAITS:
            return HookFailure(f"the hook {name!r} says so", waits=True)
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return HookFailure(f"the hook {name!r} failed with {how}")

    def _start(self, words: list[str], facts: HookFacts) -> "subprocess.Popen[bytes]":
        # Few profiles have hooks.
        import subprocess

        # A command that reads nothing must not block the runner, as with a pipe.
        summary = os.memfd_create("summary", os.MFD_CLOEXEC)
        try:
            os.write(summary, facts.summary)
            os.lseek(summary, 0, os.SEEK_SET)
            output = self._output()
            return subprocess.Popen(  # noqa: S603 - the user's own command
                words,
                stdin=summary,
                stdout=output,
                stderr=output,
                env={**self._environment, **facts.variables()},
                start_new_session=True,
            )
        finally:
            os.close(summary)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command with all that it has started."""
    import subprocess

    for number, seconds in ((signal.SIGTERM, _LAST_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
