"""Credentials by Google's library google-auth, of the extra cloud-auth: federated and impersonated identities."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from google.auth import aws, external_account_authorized_user, identity_pool, impersonated_credentials, pluggable
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request

from pyrestic.backend.gs.scope import SCOPE
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.identity.oauth import make_lease, read_credentials
from pyrestic.backend.leases import Lease
from pyrestic.backend.transport import make_session
from pyrestic.errors import AccessError, TransientError, UsageError

_AWS = "urn:ietf:params:aws:token-type:aws4_request"
_DOING = "signing in to Google Cloud"


def load_credentials(path: str, kind: str, settings: HttpSettings) -> Callable[[], Lease[str]]:
    """Return the source of tokens for the credentials in a file; raise UsageError."""
    information: dict[str, Any] = read_credentials(path, dict[str, Any])
    try:
        credentials = _make(kind, information)
    except (GoogleAuthError, KeyError, ValueError, TypeError, AttributeError):
        # The reason could quote the file.
        raise UsageError(f"the credentials in {path} are incomplete or invalid") from None

    def fetch() -> Lease[str]:
        with make_session(settings, 1) as session:
            session.proxies.update({name: proxy for name, proxy in settings.proxies.items() if name != "no"})
            try:
                credentials.refresh(Request(session))
            except TransportError as error:
                raise TransientError(f"{_DOING} failed: the service cannot be reached") from error
            except (GoogleAuthError, ValueError, OSError) as error:
                raise AccessError(f"{_DOING} failed: {path} is refused ({type(error).__name__})") from error
        expiry: dt.datetime | None = credentials.expiry
        left = None if expiry is None else (expiry.replace(tzinfo=dt.UTC) - dt.datetime.now(dt.UTC)).total_seconds()
        return make_lease(str(credentials.token), left, _DOING)

    return fetch


def _make(kind: str, information: dict[str, Any]) -> Any:  # noqa: ANN401 - the classes have no common type
    """Return the credentials of a kind. They are not loaded by the library, which would look up the project as well."""
    if kind == "external_account":
        if information.get("subject_token_type") == _AWS:
            return aws.Credentials.from_info(information, scopes=[SCOPE])
        if information["credential_source"].get("executable") is not None:
            return pluggable.Credentials.from_info(information, scopes=[SCOPE])
        return identity_pool.Credentials.from_info(information, scopes=[SCOPE])
    if kind == "external_account_authorized_user":
        return external_account_authorized_user.Credentials.from_info(information)
    if kind == "impersonated_service_account":
        make: Any = impersonated_credentials.Credentials.from_impersonated_service_account_info
        return make(information, scopes=[SCOPE])
    raise ValueError(kind)
