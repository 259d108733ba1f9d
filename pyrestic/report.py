"""How operations tell what they do without printing: a Reporter takes errors, notes and counters.

Counters are plain attributes that an operation adds to; whoever shows them (a terminal, JSON lines) looks at them on a
timer of its own. So progress costs the operation nothing per file.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Progress:
    """A counter shown while work goes on; operations subclass it for more fields."""

    label: str
    unit: str = ""
    """What is counted: "B" for bytes, otherwise a plural noun such as "packs"."""
    total: int | None = None
    done: int = 0
    only_on_terminal: bool = False
    """Shown to a person who waits, never in output that may be read by a program."""


class Reporter(Protocol):
    """Where an operation sends what a person may want to know while it runs. Methods may be called by any thread."""

    def error(self, item: str, error: Exception) -> None:
        """Take a non-fatal error about item (a path, a file of the repository); the run goes on."""

    def note(self, message: str, level: int = 1) -> None:
        """Take a line of information, shown from verbosity `level` on (0 is --quiet, 1 the default, 2 -v, 3 -vv)."""

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        """Show progress until the returned context ends."""


class NullReporter:
    """A Reporter that keeps the errors in a list and shows nothing."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, Exception]] = []

    def error(self, item: str, error: Exception) -> None:
        """Remember the error."""
        self.errors.append((item, error))

    def note(self, message: str, level: int = 1) -> None:
        """Drop the note."""

    def show(self, progress: Progress) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's signature
        """Show nothing."""
        return nullcontext()
