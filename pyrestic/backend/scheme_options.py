"""The options of one scheme, `-o scheme.name=value`, and what else a backend is opened with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pyrestic.backend.base import Backend
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.wrap.limit import LimitBackend, TokenBucket
from pyrestic.errors import UsageError
from pyrestic.golang import parse_duration, parse_integer


def _drop(line: str) -> None:
    """Drop a note."""


@dataclass(frozen=True, slots=True)
class Access:
    """Further settings of a backend: credentials by variable name, HTTP settings, rate limits.

    `note` receives lines for a person, such as those that a program of the backend prints; any thread may call it.
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    http: HttpSettings = field(default_factory=HttpSettings)
    upload: TokenBucket | None = None
    download: TokenBucket | None = None
    note: Callable[[str], None] = _drop


class SchemeOptions:
    """The extended options of one scheme; each is taken once."""

    def __init__(self, scheme: str, options: Mapping[str, str]) -> None:
        self._scheme = scheme
        prefix = f"{scheme}."
        self._values = {key[len(prefix) :]: value for key, value in options.items() if key.startswith(prefix)}

    def take_count(self, name: str, default: int) -> int:
        """Return a number of one or more; raise UsageError for anything else."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        try:
            count = parse_integer(text, signed=False, bits=32)
        except UsageError as error:
            raise UsageError(f"option {self._scheme}.{name}: {error}") from None
        if count == 0:
            raise UsageError(f"option {self._scheme}.{name} must be a number of one or more, not {text!r}")
        return count

    def take_text(self, name: str) -> str:
        """Return a text, "" if it is missing."""
        return self._values.pop(name, "")

    def take_switch(self, name: str) -> bool:
        """Return a truth value as Go writes it, False if it is missing; raise UsageError for anything else."""
        text = self._values.pop(name, "false")
        if text not in _TRUE | _FALSE:
            raise UsageError(f"option {self._scheme}.{name} must be true or false, not {text!r}")
        return text in _TRUE

    def take_seconds(self, name: str, default: float) -> float:
        """Return the seconds of a duration such as 24h; raise UsageError for anything else."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        try:
            seconds = parse_duration(text)
        except UsageError as error:
            raise UsageError(f"option {self._scheme}.{name}: {error}") from None
        if seconds <= 0:
            raise UsageError(f"option {self._scheme}.{name} must be longer than nothing, not {text!r}")
        return seconds

    def left(self) -> str | None:
        """Return the full name of an option that was not taken, None if all were."""
        return f"{self._scheme}.{min(self._values)}" if self._values else None


_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}


def limited(backend: Backend, access: Access) -> Backend:
    """Return a backend that keeps the rate limits."""
    if access.upload is None and access.download is None:
        return backend
    return LimitBackend(backend, upload=access.upload, download=access.download)
