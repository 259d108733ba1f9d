"""`b2:BUCKET[:PREFIX]` and its settings as a backend."""

import posixpath
import re
from collections.abc import Mapping
from typing import NamedTuple

from pyrestic.backend.b2.api import DEFAULT_ENDPOINT
from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.b2.client import Caller
from pyrestic.backend.b2.session import AccountKey, B2Session
from pyrestic.backend.base import Backend
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.metering import Ledger
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.errors import UsageError

KEY_ID_VARIABLE = "B2_ACCOUNT_ID"
KEY_VARIABLE = "B2_ACCOUNT_KEY"

_is_bucket_name = re.compile(r"[a-zA-Z0-9-]{6,50}").fullmatch
_is_endpoint = re.compile(r"https?://[^/?#@\\s]+/?").fullmatch


class BucketPath(NamedTuple):
    """A bucket, and the prefix of the repository's file names without slashes at its ends."""

    bucket: str
    prefix: str


def parse_b2(address: str) -> BucketPath:
    """Return bucket and prefix of `BUCKET[:PREFIX]`; raise UsageError."""
    bucket, _, prefix = address.partition(":")
    if not _is_bucket_name(bucket):
        raise UsageError(
            f"{bucket!r} is not the name of a B2 bucket: 6 to 50 letters, digits and dashes",
            hint="Write b2:BUCKET or b2:BUCKET:PREFIX.",
        )
    # As in restic: a/../b is b, and a single dot is empty.
    clean = posixpath.normpath(prefix).lstrip("/") if prefix else ""
    return BucketPath(bucket, "" if clean == "." else clean)


def open_b2(
    path: BucketPath,
    environment: Mapping[str, str],
    http: HttpSettings,
    *,
    endpoint: str,
    as_of: str,
    connections: int,
    upload: TokenBucket | None,
    download: TokenBucket | None,
) -> Backend:
    """Return the backend, not yet connected; raise UsageError if a setting is missing or invalid."""
    account_key = AccountKey(_take(environment, KEY_ID_VARIABLE), _take(environment, KEY_VARIABLE))
    if endpoint and not _is_endpoint(endpoint):
        raise UsageError(f"option b2.endpoint must be a URL such as {DEFAULT_ENDPOINT}, not {endpoint!r}")
    client = HttpClient(http, connections, upload=upload, download=download)
    session = B2Session(Caller(client, Ledger()), account_key, path.bucket, (endpoint or DEFAULT_ENDPOINT).rstrip("/"))
    backend = B2Backend(session, path.prefix, connections)
    if not as_of:
        return backend
    from pyrestic.backend.as_of_time import parse_as_of
    from pyrestic.backend.b2.as_of import AsOfBackend

    return AsOfBackend(backend, parse_as_of(as_of, "b2.as-of"))


def _take(environment: Mapping[str, str], variable: str) -> str:
    value = environment.get(variable, "")
    if not value:
        raise UsageError(f"the variable {variable} is empty", hint="It is needed for repositories at b2:.")
    return value
