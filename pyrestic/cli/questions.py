"""Questions to the person at the terminal, each with a flag that answers it."""

import getpass
import sys

from pyrestic.cli.quoting import quote
from pyrestic.errors import UsageError


class Questions:
    """Asks, unless `--yes` is given; without a terminal it asks nothing either, and missing answers are errors."""

    def __init__(self, *, yes: bool) -> None:
        self._asks = not yes and sys.stdin is not None and sys.stdin.isatty()

    @property
    def asks(self) -> bool:
        """Whether there is somebody to ask."""
        return self._asks

    def ask(self, question: str, *, flag: str, default: str = "") -> str:
        """Return a text; raise UsageError that names the flag if there is none."""
        answer = ""
        if self._asks:
            shown = f"{question} [{default}]: " if default else f"{question}: "
            answer = _read(shown)
        if not answer and not default:
            raise UsageError(f"{flag} is missing", hint=f"It answers: {question}")
        return answer or default

    def ask_secret(self, question: str, *, flag: str) -> str:
        """Return a text that is typed without echo; raise UsageError that names the flag if there is none."""
        answer = getpass.getpass(f"{question}: ").strip() if self._asks else ""
        if not answer:
            raise UsageError(f"{flag} is missing", hint=f"It answers: {question}")
        return answer

    def confirm(self, question: str, *, default: bool = True) -> bool:
        """Return whether the answer is yes."""
        if not self._asks:
            return default
        answer = _read(f"{question} [{'Y/n' if default else 'y/N'}]: ").lower()
        return default if not answer else answer in ("y", "yes")


def _read(shown: str) -> str:
    sys.stdout.write(quote(shown))
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise UsageError("the questions were not answered")
    return line.strip()
