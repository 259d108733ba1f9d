"""Progress reporting without printing: a Reporter receives errors, notes and counters.

Counters are plain attributes that an operation increments; a display (a terminal, JSON lines) reads them on its own
timer. So progress costs the operation nothing per file.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Progress:
    """A counter shown while work goes on; operations subclass it for more fields."""

    label: str
    unit: str = ""
    """The unit: "B" for bytes, otherwise a plural noun such as "packs"."""
    total: int | None = None
    done: int = 0
    only_on_terminal: bool = False
    """Shown to a waiting user, never in output for programs."""


class Reporter(Protocol):
    """Receives messages of a running operation. Thread-safe."""

    def error(self, item: str, error: Exception) -> None:
        """Report a non-fatal error about item (a path, a file of the repository); the run continues."""

    def note(self, message: str, level: int = 1) -> None:
        """Report a note, shown from verbosity `level` on (0 is --quiet, 1 the default, 2 -v, 3 -vv)."""

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        """Show progress until the returned context ends."""


class NullReporter:
    """A Reporter that keeps the errors in a list and shows nothing."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, Exception]] = []

    def error(self, item: str, error: Exception) -> None:
        """Keep the error."""
        self.errors.append((item, error))

    def note(self, message: str, level: int = 1) -> None:
        """Drop the note."""

    def show(self, progress: Progress) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """Show nothing."""
        return nullcontext()
