"""Requests for access tokens: OAuth 2 by form, metadata services by GET, and the signed assertions that some need."""

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer, HttpClient
from pyrestic.backend.leases import Lease
from pyrestic.backend.transport import is_loopback
from pyrestic.errors import AccessError, BackendError, TransientError, UsageError

MAX_TOKEN_BYTES = 1 << 20
"""Limit of a response with a token, and of a file with credentials."""
CLOCK_HINT = "Check the credentials, and the clock of this machine."

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_SHOWN_CHARACTERS = 200
_fits_a_header = re.compile(r"[!-~]+").fullmatch
_T = TypeVar("_T")


class _TokenReply(msgspec.Struct):
    """A response with a token. The lifetime is text in the responses of metadata services."""

    access_token: str
    expires_in: float | None = None


class _Refusal(msgspec.Struct):
    """A response that refuses a token."""

    error: str = ""
    error_description: str = ""


def request_token(client: HttpClient, url: str, form: Mapping[str, str], doing: str) -> Lease[str]:
    """Return the token that a service issues for a form; raise AccessError if it refuses, BackendError."""
    answer = client.send(
        "POST",
        url,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode(form).encode(),
        max_length=MAX_TOKEN_BYTES,
    )
    return token_of(answer, doing)


def token_of(answer: Answer, doing: str) -> Lease[str]:
    """Return the token in a response; raise AccessError if it is a refusal, BackendError."""
    if answer.status != 200:
        raise refusal_of(answer, doing)
    reply = decode(answer.body, _TokenReply, doing)
    return make_lease(reply.access_token, reply.expires_in, doing)


def make_lease(token: str, seconds: float | None, doing: str) -> Lease[str]:
    """Return a token that is valid for some time from now on; raise TransientError if no header can hold it."""
    if not _fits_a_header(token):
        raise _senseless(doing)
    return Lease(token, None if seconds is None else time.time() + seconds)


def refusal_of(answer: Answer, doing: str) -> BackendError:
    """Return the error for a response without a token."""
    said = f"{doing} failed: the service says {answer.status}{_reason(answer.body)}"
    if answer.status in (400, 401, 403):
        return AccessError(said, hint=CLOCK_HINT)
    if answer.status in _BUSY:
        return TransientError(said, retry_after_seconds=answer.retry_after_seconds)
    return BackendError(said)


def decode(body: bytes, answer_type: type[_T], doing: str) -> _T:
    """Return the value in a JSON response; raise TransientError if it is something else, as a captive portal's."""
    try:
        return msgspec.json.decode(body, type=answer_type, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _senseless(doing) from None


def check_token_url(url: str, where: str) -> str:
    """Return the URL of a token service that the user's own settings name; raise UsageError unless it is encrypted.

    A service on this machine may be without encryption. `where` says which setting it is.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise UsageError(f"{where} must be a URL with https")
    return url


def read_credentials(path: str, credentials_type: type[_T]) -> _T:
    """Return the JSON credentials in a file; raise UsageError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_TOKEN_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"the credentials in {path} cannot be read: {reason}") from error
    try:
        return msgspec.json.decode(data, type=credentials_type)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # The reason would quote the file.
        raise UsageError(f"the credentials in {path} are not valid JSON, or incomplete") from None


def sign_assertion(key: str, header: Mapping[str, str], claims: Mapping[str, object], *, passphrase: str = "") -> str:
    """Return claims as a JSON web token, signed with RS256 by a private key in PEM; raise UsageError for its key."""
    # Their import takes longer than most commands have for it.
    from Crypto.Hash import SHA256
    from Crypto.PublicKey import RSA
    from Crypto.Signature import pkcs1_15

    try:
        private = RSA.import_key(key, passphrase or None)
        if not private.has_private():
            raise ValueError
    except (ValueError, IndexError, TypeError):
        raise UsageError("the credentials contain no valid RSA key, or another passphrase is needed") from None
    parts = (base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", **header}, dict(claims)))
    signed = ".".join(parts)
    return f"{signed}.{base64url(pkcs1_15.new(private).sign(SHA256.new(signed.encode())))}"


def base64url(data: bytes) -> str:
    """Return base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _reason(body: bytes) -> str:
    """Return code and description of a refusal for a person: printable text of limited length."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    words = re.sub(r"\s+", " ", f"{refusal.error} ({refusal.error_description})").removesuffix(" ()")
    shown = "".join(character for character in words if character.isprintable())[:_SHOWN_CHARACTERS]
    return f" {shown}" if refusal.error else ""


def _senseless(doing: str) -> TransientError:
    return TransientError(f"{doing} failed: the response contains no token", attempts=SENSELESS_ATTEMPTS)
