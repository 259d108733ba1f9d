"""Maps failures of B2 to errors: one table from (status, code) to an error.

The codes follow the vendor's API documents, "Calling the API" and the page of each call.
"""

import re

import msgspec

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.errors import AccessError, BackendError, FormatError, NotFoundError, PyresticError, TransientError


class WrongUploadError(TransientError):
    """B2 says that it stored something else than what was uploaded; the next attempt puts another version on top."""

    def __init__(self, message: str) -> None:
        super().__init__(message, attempts=SENSELESS_ATTEMPTS)


class _Report(msgspec.Struct):
    """An error report of the service."""

    code: str = ""
    message: str = ""


_CAPS = "Raise the cap on the page Caps & Alerts of the account, or wait until it resets (at midnight UTC)."

_CAP_NAMES = {
    "storage_cap_exceeded": "the account's storage cap is reached",
    "transaction_cap_exceeded": "the account's cap on transactions is reached",
    "download_cap_exceeded": "the account's cap on downloads is reached",
    "cap_exceeded": "a cap of the account is reached",
}

_EXPIRED = {(401, "expired_auth_token"), (401, "bad_auth_token")}
_ABSENT = {(400, "no_such_file"), (400, "file_not_present"), (400, "already_hidden"), (404, "")}
_AT_ONCE = {(400, "auth_token_limit")}
"""The upload URL is already in use: retry at once with another one."""
_BUSY = {408, 429, 500, 502, 503, 504}
"""Failures worth a retry after a wait; all others are final."""
_is_checksum = re.compile(r"sha-?1|checksum", re.IGNORECASE).search


def error_of(answer: Answer, doing: str, capability: str = "", *, uploading: bool = False) -> PyresticError:
    """Return the error for a response without success.

    `doing` describes the operation, `capability` is the one that it needs. With `uploading`, a failure that requires a
    new upload URL may be retried at once.
    """
    report = _parse_report(answer.body)
    key = (answer.status, report.code)
    said = f"{doing} failed: B2 says {_shown(answer, report)}"
    if key == (401, ""):
        return ExpiredTokenError(said, _lacking(doing, capability))
    if key in _EXPIRED:
        refusal = AccessError(
            f"{said} of a token that it has just issued",
            hint="Is the clock of this machine right, and the key still valid?",
        )
        return ExpiredTokenError(said, refusal)
    if report.code in _CAP_NAMES:
        return AccessError(f"{doing} failed: {_CAP_NAMES[report.code]}", hint=_CAPS)
    if answer.status == 401:
        return _lacking(doing, capability)
    if answer.status == 403:
        return AccessError(said, hint="Is the key limited to another bucket, or the account suspended?")
    if key in _ABSENT or answer.status == 404:
        return NotFoundError(f"{doing} failed: it does not exist")
    if answer.status == 416:
        return FormatError(f"{doing} failed: the file is too short for the range")
    if answer.status < 400:
        # Something between this machine and the service replied instead.
        return TransientError(said, attempts=SENSELESS_ATTEMPTS)
    if answer.status in _BUSY:
        wait = answer.retry_after_seconds
        return TransientError(said, retry_after_seconds=0.0 if uploading and wait is None else wait)
    if key in _AT_ONCE:
        return TransientError(said, retry_after_seconds=0.0)
    if uploading and _is_checksum(report.message):
        return TransientError(said, retry_after_seconds=0.0, attempts=SENSELESS_ATTEMPTS)
    return BackendError(said)


def _lacking(doing: str, capability: str) -> AccessError:
    return AccessError(
        f"{doing} failed: the application key lacks the capability {capability or 'for it'}, "
        "or is limited to another bucket or name prefix",
        hint=f"Create a key with {capability}." if capability else "",
    )


def _parse_report(body: bytes) -> _Report:
    try:
        return msgspec.json.decode(body, type=_Report, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Report()


def _shown(answer: Answer, report: _Report) -> str:
    """Return status, code and message for a person: only printable text of limited length."""
    words = "".join(character if character.isprintable() else " " for character in report.message[:200])
    parts = [str(answer.status), report.code[:60] if report.code.isprintable() else ""]
    return " ".join(part for part in parts if part) + (f" ({words})" if words else "")
