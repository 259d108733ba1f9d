"""Credentials for Google Cloud Storage, in restic's order: a token, then application default credentials.

Service accounts, the refresh token of `gcloud auth application-default login` and the metadata service are one request
each. Other kinds of files, such as federated identities, need Google's library of the extra cloud-auth.
"""

import os
import time
from collections.abc import Callable, Mapping

import msgspec

from pyrestic.backend.gs.scope import SCOPE
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.identity.machine import make_metadata_client, read_dmi
from pyrestic.backend.identity.oauth import (
    MAX_TOKEN_BYTES,
    check_token_url,
    read_credentials,
    request_token,
    sign_assertion,
    token_of,
)
from pyrestic.backend.leases import Lease, Leased
from pyrestic.errors import AccessError, UnsupportedError, UsageError

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - no token
METADATA_HOST = "169.254.169.254"

_ASSERTION_SECONDS = 3600
_METADATA_PATH = "computeMetadata/v1/instance/service-accounts/default/token"
_DOING = "signing in to Google Cloud"
_HINT = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account, or run "
    "`gcloud auth application-default login`. On a machine of Google, GCE_METADATA_HOST may name its metadata service."
)


class _Kind(msgspec.Struct):
    type: str


class _ServiceAccount(msgspec.Struct):
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = TOKEN_URL


class _AuthorizedUser(msgspec.Struct):
    client_id: str
    client_secret: str
    refresh_token: str
    token_uri: str = TOKEN_URL


def find_credentials(environment: Mapping[str, str], client: HttpClient, settings: HttpSettings) -> Leased[str]:
    """Return the source of tokens that the environment or the machine offers; raise UsageError if there is none."""
    if token := environment.get("GOOGLE_ACCESS_TOKEN", ""):
        if not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError("the variable GOOGLE_ACCESS_TOKEN contains no token")
        return Leased(lambda: Lease(token))
    if path := environment.get("GOOGLE_APPLICATION_CREDENTIALS", ""):
        return Leased(_from_file(path, client, settings))
    known = os.path.join(environment.get("HOME", ""), ".config", "gcloud", "application_default_credentials.json")
    if environment.get("HOME", "") and os.path.exists(known):
        return Leased(_from_file(known, client, settings))
    host = environment.get("GCE_METADATA_HOST", "")
    if not host and read_dmi("product_name").startswith("Google"):
        host = METADATA_HOST
    if host:
        return Leased(lambda: request_from_metadata(host, settings))
    raise UsageError("no credentials for Google Cloud Storage were found", hint=_HINT)


def _from_file(path: str, client: HttpClient, settings: HttpSettings) -> Callable[[], Lease[str]]:
    kind = read_credentials(path, _Kind).type
    if kind == "service_account":
        account = read_credentials(path, _ServiceAccount)
        url = check_token_url(account.token_uri, f"token_uri in {path}")
        return lambda: request_token(client, url, _grant(account, url), _DOING)
    if kind == "authorized_user":
        user = read_credentials(path, _AuthorizedUser)
        form = {
            "grant_type": "refresh_token",
            "client_id": user.client_id,
            "client_secret": user.client_secret,
            "refresh_token": user.refresh_token,
        }
        address = check_token_url(user.token_uri, f"token_uri in {path}")
        return lambda: request_token(client, address, form, _DOING)
    return _by_library(path, kind, settings)


def _grant(account: _ServiceAccount, url: str) -> dict[str, str]:
    """Return the form with which a service account asks for a token (RFC 7523)."""
    now = int(time.time())
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": url,
        "iat": now,
        "exp": now + _ASSERTION_SECONDS,
    }
    header = {"kid": account.private_key_id} if account.private_key_id else {}
    assertion = sign_assertion(account.private_key, header, claims)
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


def request_from_metadata(host: str, settings: HttpSettings) -> Lease[str]:
    """Return a token of the machine's own service account; raise AccessError, BackendError."""
    client = make_metadata_client(settings)
    try:
        answer = client.send(
            "GET",
            f"http://{host}/{_METADATA_PATH}?scopes={SCOPE}",
            headers={"Metadata-Flavor": "Google"},
            max_length=MAX_TOKEN_BYTES,
        )
    finally:
        client.close()
    if answer.status == 404:
        raise AccessError(f"{_DOING} failed: this machine has no service account", hint=_HINT)
    if answer.headers.get("metadata-flavor", "") != "Google":
        raise AccessError(f"{_DOING} failed: {host} is not Google's metadata service", hint=_HINT)
    return token_of(answer, _DOING)


def _by_library(path: str, kind: str, settings: HttpSettings) -> Callable[[], Lease[str]]:
    """Return a source that uses Google's library; raise UnsupportedError if that is not installed."""
    try:
        from pyrestic.backend.gs.vendor_credentials import load_credentials
    except ImportError:
        raise UnsupportedError(
            f"{path} contains credentials of the type {kind[:60]!r}, which need the extra cloud-auth",
            hint="Install pyrestic[cloud-auth].",
        ) from None
    return load_credentials(path, kind, settings)
