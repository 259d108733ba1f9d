"""Signature version 4 for S3 and STS, with a key that never leaves this machine.

The body is not part of the signature of an upload: Content-MD5, which is signed, lets the server verify it, and a
second hash would cost more than the transfer. The vendor documents the steps as "Signature Version 4".
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

UNSIGNED = "UNSIGNED-PAYLOAD"

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class S3Key:
    """An access key; `token` belongs to temporary ones. An empty one makes anonymous requests."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


ANONYMOUS = S3Key("", "")


def quote_key(key: str) -> str:
    """Return a key as part of a URL's path."""
    return quote(key, safe="/~")


def make_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the query of a URL in the form and order that the signature needs."""
    pairs = [(quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def sign(
    key: S3Key,
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    region: str,
    seconds: float,
    service: str = "s3",
    payload_hash: str = UNSIGNED,
) -> dict[str, str]:
    """Return the headers of a request together with those that sign it.

    The query of `url` must be made by `make_query`. `headers` are all signed. `seconds` is the time since 1970.
    """
    if not key.key_id:
        return dict(headers)
    parts = urlsplit(url)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "X-Amz-Date": moment}
    if service == "s3":
        sent["X-Amz-Content-Sha256"] = payload_hash
    if key.token:
        sent["X-Amz-Security-Token"] = key.token
    signed = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    signed["host"] = parts.netloc
    names = ";".join(sorted(signed))
    lines = [method, parts.path or "/", parts.query]
    lines += [f"{name}:{signed[name]}" for name in sorted(signed)]
    request = "\n".join([*lines, "", names, payload_hash])
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(_derive(key.secret, scope), to_sign.encode(), "sha256").hexdigest()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={key.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _derive(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), "sha256").digest()
    return key
