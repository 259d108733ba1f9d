"""Authorization of requests to Azure Blob Storage: Shared Key, shared access signature (SAS), or a token.

The vendor's page "Authorize with Shared Key" defines the text that is signed.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote_plus, urlsplit

from pyrestic.backend.http import Answer
from pyrestic.backend.leases import ExpiredTokenError, Leased
from pyrestic.errors import AccessError, UsageError

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_REJECTED = "Azure rejects the access token"
_IDENTITY_HINT = "Is the identity of the tenant that the storage account belongs to?"


class Send(Protocol):
    """Sends a request to a URL with these headers."""

    def __call__(self, url: str, headers: Mapping[str, str], /) -> Answer:
        """Return the response."""


class Signer(Protocol):
    """Authorizes requests; thread-safe."""

    def send(self, method: str, url: str, headers: Mapping[str, str], length: int, send: Send) -> Answer:
        """Return the response to an authorized request with a body of `length` bytes."""


@dataclass(frozen=True, slots=True)
class SharedKey:
    """The key of a storage account."""

    account: str
    key: bytes = field(repr=False)

    def send(self, method: str, url: str, headers: Mapping[str, str], length: int, send: Send) -> Answer:
        """Return the response to a signed request."""
        text = string_to_sign(self.account, method, url, headers, length)
        signature = base64.b64encode(hmac.digest(self.key, text.encode(), hashlib.sha256)).decode()
        return send(url, {**headers, "Authorization": f"SharedKey {self.account}:{signature}"})


@dataclass(frozen=True, slots=True)
class SharedAccessSignature:
    """A query that someone with the key has signed; it ends at a time of its own."""

    query: str = field(repr=False)

    def send(self, method: str, url: str, headers: Mapping[str, str], length: int, send: Send) -> Answer:  # noqa: ARG002
        """Return the response to a request with the signature in its URL."""
        return send(f"{url}{'&' if '?' in url else '?'}{self.query}", headers)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Tokens of Microsoft Entra ID."""

    tokens: Leased[str] = field(repr=False)

    def send(self, method: str, url: str, headers: Mapping[str, str], length: int, send: Send) -> Answer:  # noqa: ARG002
        """Return the response to a request with a token; with a new one if the service rejects it."""

        def attempt(token: str) -> Answer:
            answer = send(url, {**headers, "Authorization": f"Bearer {token}"})
            if answer.status == 401:
                raise ExpiredTokenError(_REJECTED, AccessError(_REJECTED, hint=_IDENTITY_HINT))
            return answer

        return self.tokens.run(attempt)


def make_shared_key(account: str, key: str) -> SharedKey:
    """Return the signer for a key in base64; raise UsageError."""
    try:
        return SharedKey(account, base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        raise UsageError("the variable AZURE_ACCOUNT_KEY contains no key in base64") from None


def make_sas(text: str) -> SharedAccessSignature:
    """Return the signer for a SAS, with or without its question mark; raise UsageError."""
    query = text.removeprefix("?")
    if not query.isascii() or not query.isprintable() or " " in query or "#" in query or "sig=" not in query:
        raise UsageError("the variable AZURE_ACCOUNT_SAS contains no shared access signature")
    return SharedAccessSignature(query)


def string_to_sign(account: str, method: str, url: str, headers: Mapping[str, str], length: int) -> str:
    """Return what Shared Key signs of a request with a body of `length` bytes."""
    lowered = {name.lower(): value for name, value in headers.items()}
    lowered["content-length"] = str(length) if length else ""
    own = sorted((name, value) for name, value in lowered.items() if name.startswith("x-ms-"))
    parts = urlsplit(url)
    query: dict[str, list[str]] = {}
    for pair in parts.query.split("&") if parts.query else []:
        name, _, value = pair.partition("=")
        query.setdefault(unquote_plus(name).lower(), []).append(unquote_plus(value))
    return "\n".join(
        [
            method,
            *(lowered.get(name, "") for name in _SIGNED_HEADERS),
            *(f"{name}:{value}" for name, value in own),
            f"/{account}{parts.path}",
            *(f"{name}:{','.join(sorted(values))}" for name, values in sorted(query.items())),
        ]
    )
