"""What the failures of the service mean: one table from (status, code) to an error.

Codes and what they stand for are those of the vendor's API documents, "Calling the API" and the page of each call.
"""

import re

import msgspec

from pyrestic.backend.http import Answer
from pyrestic.errors import AccessError, BackendError, FormatError, NotFoundError, PyresticError, TransientError


class ExpiredTokenError(TransientError):
    """A token of the service is no longer valid; a new one helps. Without a code (HEAD) a guess."""


class _Report(msgspec.Struct):
    """How the service reports a failure."""

    code: str = ""
    message: str = ""


_CAPS = "Raise the cap on the page Caps & Alerts of the account, or wait until it starts anew (at midnight UTC)."

_CAP_NAMES = {
    "storage_cap_exceeded": "the account's storage cap is reached",
    "transaction_cap_exceeded": "the account's cap on transactions is reached",
    "download_cap_exceeded": "the account's cap on downloads is reached",
    "cap_exceeded": "a cap of the account is reached",
}

_EXPIRED = {(401, "expired_auth_token"), (401, "bad_auth_token"), (401, "")}
_ABSENT = {(400, "no_such_file"), (400, "file_not_present"), (400, "already_hidden"), (404, "")}
_AT_ONCE = {(400, "auth_token_limit")}
"""An upload URL that is in use already: another one helps at once."""
_BUSY = {408, 429}
_is_checksum = re.compile(r"sha-?1|checksum", re.IGNORECASE).search


def error_of(answer: Answer, doing: str, capability: str = "", *, uploading: bool = False) -> PyresticError:
    """Return the error for an answer whose status is not a success.

    `doing` says what was tried, `capability` which one that needs. With `uploading` a failure that asks for a new
    upload URL may be tried again at once.
    """
    report = _parse_report(answer.body)
    key = (answer.status, report.code)
    said = f"{doing} failed: B2 says {_shown(answer, report)}"
    if key in _EXPIRED:
        return ExpiredTokenError(said, retry_after_seconds=0.0)
    if report.code in _CAP_NAMES:
        return AccessError(f"{doing} failed: {_CAP_NAMES[report.code]}", hint=_CAPS)
    if answer.status == 401:
        return AccessError(
            f"{doing} failed: the application key lacks the capability {capability or 'for it'}, "
            "or is limited to another bucket or name prefix",
            hint=f"Make a key with {capability}." if capability else "",
        )
    if answer.status == 403:
        return AccessError(said, hint="Is the key limited to another bucket, or the account suspended?")
    if key in _ABSENT or answer.status == 404:
        return NotFoundError(f"{doing} failed: it is not there")
    if answer.status == 416:
        return FormatError(f"{doing} failed: the file is too short for the range")
    if answer.status in _BUSY or answer.status >= 500 or answer.status < 400:
        wait = answer.retry_after_seconds
        return TransientError(said, retry_after_seconds=0.0 if uploading and wait is None else wait)
    if key in _AT_ONCE or (uploading and _is_checksum(report.message)):
        return TransientError(said, retry_after_seconds=0.0)
    return BackendError(said)


def _parse_report(body: bytes) -> _Report:
    try:
        return msgspec.json.decode(body, type=_Report, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Report()


def _shown(answer: Answer, report: _Report) -> str:
    """Return status, code and message for a person; nothing but printable text of a sane length."""
    words = "".join(character if character.isprintable() else " " for character in report.message[:200])
    parts = [str(answer.status), report.code[:60] if report.code.isprintable() else ""]
    return " ".join(part for part in parts if part) + (f" ({words})" if words else "")
