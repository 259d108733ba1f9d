"""Turns what the server and `ssh` say into errors."""

from collections.abc import Sequence

from pyrestic.backend.sftp.packets import StatusCode
from pyrestic.errors import AccessError, BackendError, NoAnswerError, NotFoundError, TransientError, UnreachedError

FAILURE_ATTEMPTS = 4
"""Number of failures without a reason that end an operation: most of them, such as a full quota, are permanent."""

_MEANINGS: dict[int, str] = {
    StatusCode.EOF: "the file has ended",
    StatusCode.NO_SUCH_FILE: "no such file",
    StatusCode.PERMISSION_DENIED: "permission denied",
    StatusCode.FAILURE: "failure",
    StatusCode.BAD_MESSAGE: "bad message",
    StatusCode.NO_CONNECTION: "no connection",
    StatusCode.CONNECTION_LOST: "connection lost",
    StatusCode.OP_UNSUPPORTED: "operation unsupported",
}
_SHOWN_CHARACTERS = 120
_NETWORK = (
    "connection refused",
    "connection reset",
    "connection closed",
    "connection timed out",
    "operation timed out",
    "broken pipe",
    "no route to host",
    "network is unreachable",
    "network is down",
    "host is down",
    "temporary failure in name resolution",
    "not responding",
    "kex_exchange_identification",
    "closed by remote host",
)
"""Parts of the last lines of `ssh` if the network failed, in lower case. A name that does not exist is another case."""
_HINTS = (
    ("host key verification failed", "Log in once with ssh, and compare the fingerprint before you accept the key."),
    ("permission denied", "Check the user name and the key: ssh to this server must work without questions."),
    ("name or service not known", "Check the host name in --repo."),
    ("subsystem request failed", "The server has no SFTP."),
)


class StatusError(BackendError):
    """The server refused a request: `code` is its reason, an unknown number included. It is always translated."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def error_of(error: StatusError, doing: str) -> BackendError:
    """Return our error for a refused request that happened while `doing`."""
    reason = str(error)[:_SHOWN_CHARACTERS] or _MEANINGS.get(error.code, f"status {error.code}")
    message = f"{doing} failed: {reason[:1].lower()}{reason[1:]}"
    if error.code == StatusCode.NO_SUCH_FILE:
        return NotFoundError(message)
    if error.code == StatusCode.PERMISSION_DENIED:
        return AccessError(message, hint="Check who owns the files of the repository on the server.")
    if error.code == StatusCode.FAILURE:
        return TransientError(message, attempts=FAILURE_ATTEMPTS)
    if error.code in (StatusCode.NO_CONNECTION, StatusCode.CONNECTION_LOST):
        return TransientError(message)
    return BackendError(message)


def error_of_ending(name: str, code: int | None, lines: Sequence[str], *, reached: bool) -> BackendError:
    """Return the error if the command ended before the server answered.

    `lines` are the last ones that it printed, `reached` tells whether it has worked before in this run. Then the
    network may come back, as it may without an answer from a server; all else needs a person.
    """
    said = lines[-1].strip().removeprefix(f"{name}: ")[:_SHOWN_CHARACTERS] if lines else _describe_end(code)
    message = f"{name} could not connect: {said.rstrip('.')}"
    everything = " ".join(lines).lower()
    hint = next((hint for part, hint in _HINTS if part in everything), "")
    if not hint and any(part in everything for part in _NETWORK):
        return NoAnswerError(message) if reached else UnreachedError(message)
    return AccessError(message, hint=hint)


def _describe_end(code: int | None) -> str:
    if code is None:
        return "it closed the connection"
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"
