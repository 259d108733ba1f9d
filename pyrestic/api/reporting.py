"""Messages of operations that a program has called."""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from pyrestic.report import Progress, Reporter

_log = logging.getLogger("pyrestic")


class Failure(NamedTuple):
    """A file, or another item, that was skipped, and the reason."""

    item: str
    error: Exception


class LogReporter:
    """A Reporter that writes to the logger `pyrestic`: errors as warnings, notes as information. Shows no progress."""

    def error(self, item: str, error: Exception) -> None:
        """Log the error as a warning, because the run continues."""
        _log.warning("%s: %s", item, error)

    def note(self, message: str, level: int = 1) -> None:
        """Log the note: as a warning if --quiet would still show it."""
        _log.log({0: logging.WARNING, 1: logging.INFO}.get(level, logging.DEBUG), "%s", message)

    def show(self, progress: Progress) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """Show nothing."""
        return nullcontext()


class FailureReporter:
    """A Reporter that keeps the errors and passes everything on."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self.failures: list[Failure] = []

    def error(self, item: str, error: Exception) -> None:
        """Keep the error and pass it on."""
        self.failures.append(Failure(item, error))
        self._report.error(item, error)

    def note(self, message: str, level: int = 1) -> None:
        """Pass the note on."""
        self._report.note(message, level)

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        """Show the progress."""
        return self._report.show(progress)
