"""Maps the failures of HTTP services to errors, by table.

A service has a table of its codes; the statuses that mean the same everywhere are here. A failure that waiting cannot
fix ends the operation at once; the others are a TransientError, with the wait that the service asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.errors import (
    AccessError,
    BackendError,
    FormatError,
    NotFoundError,
    PyresticError,
    TransientError,
)

_MAX_SHOWN = 200


class Kind(Enum):
    """What a failure means for the operation."""

    ABSENT = auto()
    """The file, or the bucket, does not exist."""
    REFUSED = auto()
    """Credentials, permissions or a quota forbid it."""
    SHORT = auto()
    """The file ends before the range."""
    BUSY = auto()
    """A retry after a wait may succeed."""
    DAMAGED = auto()
    """The body of the request arrived damaged; it is sent again at once."""
    SENSELESS = auto()
    """Something other than the service replied; a few retries may reach the service."""
    FINAL = auto()
    """Nothing of these, and a retry does not help."""


class Report(NamedTuple):
    """What a service says about a failure: its code, and a message for people."""

    code: str = ""
    message: str = ""


NO_REPORT = Report()


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a status or a code means. Without `text`, the message shows what the service says."""

    kind: Kind
    text: str = ""
    hint: str = ""


Table = Mapping[int | str, Ruling]
"""Rulings by code or by status."""

BY_STATUS: Table = {
    401: Ruling(Kind.REFUSED),
    403: Ruling(Kind.REFUSED),
    404: Ruling(Kind.ABSENT, "it does not exist"),
    407: Ruling(Kind.REFUSED, "the proxy rejects the user name or password"),
    408: Ruling(Kind.BUSY),
    413: Ruling(Kind.REFUSED, "the server has no space left"),
    416: Ruling(Kind.SHORT, "the file is too short for the range"),
    425: Ruling(Kind.BUSY),
    429: Ruling(Kind.BUSY),
    500: Ruling(Kind.BUSY),
    502: Ruling(Kind.BUSY),
    503: Ruling(Kind.BUSY),
    504: Ruling(Kind.BUSY),
    507: Ruling(Kind.REFUSED, "the server has no space left"),
    511: Ruling(Kind.REFUSED, "the network requires a sign-in first (captive portal)"),
}
"""The rulings for statuses that a service's own table does not mention."""


def error_of(
    answer: Answer,
    doing: str,
    report: Report = NO_REPORT,
    *,
    table: Table | None = None,
    service: str = "the server",
    proven: bool = True,
) -> PyresticError:
    """Return the error for a response without success.

    `doing` describes the operation, `table` has the rulings of the service: for its codes, which come first, and for
    statuses. Unless it is `proven` that the service itself replied, nothing is absent: the proxy before a service that
    restarts also replies with 404.
    """
    table = table or {}
    ruling = table.get(report.code) or table.get(answer.status) or BY_STATUS.get(answer.status)
    if ruling is None:
        ruling = Ruling(Kind.SENSELESS if answer.status < 400 else Kind.FINAL)
    if ruling.kind is Kind.ABSENT and not proven:
        ruling = Ruling(Kind.SENSELESS, f"the response {answer.status} did not come from {service}")
    message = f"{doing} failed: {ruling.text or f'{service} says {describe(answer, report)}'}"
    match ruling.kind:
        case Kind.ABSENT:
            return NotFoundError(message, hint=ruling.hint)
        case Kind.REFUSED:
            return AccessError(message, hint=ruling.hint)
        case Kind.SHORT:
            return FormatError(message, hint=ruling.hint)
        case Kind.BUSY:
            return TransientError(message, hint=ruling.hint, retry_after_seconds=answer.retry_after_seconds)
        case Kind.DAMAGED:
            return TransientError(message, retry_after_seconds=0.0, attempts=SENSELESS_ATTEMPTS)
        case Kind.SENSELESS:
            return TransientError(message, attempts=SENSELESS_ATTEMPTS)
        case Kind.FINAL:
            return BackendError(message, hint=ruling.hint)


def describe(answer: Answer, report: Report) -> str:
    """Return status, code and message for a person: only printable text of limited length."""
    parts = [str(answer.status), _printable(report.code)[:60]]
    message = _printable(report.message)
    return " ".join(part for part in parts if part) + (f" ({message})" if message else "")


def check_origin(answer: Answer, doing: str, *, service: str = "the server", header: str = "etag") -> Answer:
    """Return a successful response if it has a header that the service always sends.

    Otherwise something else replied, such as the sign-in page of a network: raise TransientError.
    """
    if header not in answer.headers:
        raise TransientError(f"{doing} failed: the response did not come from {service}", attempts=SENSELESS_ATTEMPTS)
    return answer


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_SHOWN]).split())
