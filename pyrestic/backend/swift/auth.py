"""Signing in to OpenStack Swift: version 1 (tempauth), Keystone 2 and 3, or a token that the user has.

The version is found in the text of the auth URL, as in restic. The variables are those of OpenStack's own clients;
those of version 1 fill what the others leave empty.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from pyrestic.backend.http import Answer, HttpClient
from pyrestic.backend.identity.oauth import MAX_TOKEN_BYTES, decode, make_lease, refusal_of
from pyrestic.backend.leases import Lease
from pyrestic.backend.named_url import check_named_url, split_server_url
from pyrestic.errors import AccessError, UsageError

_DOING = "signing in to Swift"
_STORE = "object-store"
_DEFAULT_DOMAIN = {"name": "Default"}
_HOST_HINT = "If that is right, set OS_STORAGE_URL to the address of the storage."
_RACKSPACE_KEY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class SwiftLogin:
    """What the environment says; every field may be ""."""

    auth_url: str
    user: str
    user_id: str
    key: str = field(repr=False)
    domain: str
    domain_id: str
    region: str
    project: str
    project_id: str
    project_domain: str
    project_domain_id: str
    trust_id: str
    application_id: str
    application_name: str
    application_secret: str = field(repr=False)
    storage_url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SwiftAccess:
    """A token, and the URL of the account that it is for."""

    token: str = field(repr=False)
    storage_url: str


class _Grant(NamedTuple):
    """What a service issues: the token, the seconds for which it is valid, the account's URL."""

    token: str
    seconds: float | None
    url: str


_VARIABLES: dict[str, tuple[str, ...]] = {
    "auth_url": ("OS_AUTH_URL", "ST_AUTH"),
    "user": ("OS_USERNAME", "ST_USER"),
    "user_id": ("OS_USER_ID",),
    "key": ("OS_PASSWORD", "ST_KEY"),
    "domain": ("OS_USER_DOMAIN_NAME",),
    "domain_id": ("OS_USER_DOMAIN_ID",),
    "region": ("OS_REGION_NAME",),
    "project": ("OS_PROJECT_NAME", "OS_TENANT_NAME"),
    "project_id": ("OS_TENANT_ID",),
    "project_domain": ("OS_PROJECT_DOMAIN_NAME",),
    "project_domain_id": ("OS_PROJECT_DOMAIN_ID",),
    "trust_id": ("OS_TRUST_ID",),
    "application_id": ("OS_APPLICATION_CREDENTIAL_ID",),
    "application_name": ("OS_APPLICATION_CREDENTIAL_NAME",),
    "application_secret": ("OS_APPLICATION_CREDENTIAL_SECRET",),
    "storage_url": ("OS_STORAGE_URL",),
    "token": ("OS_AUTH_TOKEN",),
}


def read_login(environment: Mapping[str, str]) -> SwiftLogin:
    """Return what the environment says; raise UsageError if that is not enough to sign in."""
    found = {
        name: next((value for variable in variables if (value := environment.get(variable, ""))), "")
        for name, variables in _VARIABLES.items()
    }
    login = SwiftLogin(**found)
    for variable, url in (("OS_STORAGE_URL", login.storage_url), ("OS_AUTH_URL or ST_AUTH", login.auth_url)):
        if url and split_server_url(url) is None:
            raise UsageError(f"the variable {variable} must be a URL")
    if has_token(login):
        return login
    if not login.auth_url:
        raise UsageError(
            "the variable OS_AUTH_URL is empty",
            hint="It is needed for repositories at swift:, or ST_AUTH, or OS_STORAGE_URL and OS_AUTH_TOKEN.",
        )
    version = version_of(login.auth_url)
    if version == 3 and (login.application_id or login.application_name) and login.application_secret:
        if not login.application_id and not login.user_id and not (login.user and (login.domain or login.domain_id)):
            raise UsageError(
                "OS_APPLICATION_CREDENTIAL_NAME needs its user as well",
                hint="Set OS_USER_ID, or OS_USERNAME with its domain, or OS_APPLICATION_CREDENTIAL_ID.",
            )
        return login
    if not login.key or not (login.user or login.user_id or version == 3):
        raise UsageError(
            f"the variable {'OS_PASSWORD' if not login.key else 'OS_USERNAME'} is empty",
            hint="It is needed for repositories at swift:, or ST_USER and ST_KEY for version 1.",
        )
    return login


def has_token(login: SwiftLogin) -> bool:
    """Tell whether the user has signed in elsewhere."""
    return bool(login.storage_url and login.token)


def version_of(url: str) -> int:
    """Return the version of the protocol at an auth URL; raise UsageError if its text does not say it."""
    for version in (3, 2, 1):
        if f"v{version}" in url:
            return version
    raise UsageError("the auth URL of Swift must contain its version: v1, v2.0 or v3")


def sign_in(client: HttpClient, login: SwiftLogin) -> Lease[SwiftAccess]:
    """Return a new token and the account's URL; raise AccessError if the service refuses, BackendError."""
    if has_token(login):
        return Lease(SwiftAccess(login.token, login.storage_url.rstrip("/")))
    version = version_of(login.auth_url)
    token, seconds, url = {1: _sign_in_1, 2: _sign_in_2, 3: _sign_in_3}[version](client, login)
    lease = make_lease(token, seconds, _DOING)
    if login.storage_url:
        url = login.storage_url.rstrip("/")
    else:
        url = check_named_url(url, login.auth_url, "the storage", _HOST_HINT)
    return Lease(SwiftAccess(lease.value, url), lease.ends)


def _sign_in_1(client: HttpClient, login: SwiftLogin) -> _Grant:
    headers = {"X-Auth-User": _as_header(login.user), "X-Auth-Key": _as_header(login.key)}
    answer = client.send("GET", login.auth_url, headers=headers, max_length=MAX_TOKEN_BYTES)
    if answer.status not in (200, 204):
        raise refusal_of(answer, _DOING)
    token = answer.headers.get("x-auth-token", "") or answer.headers.get("x-storage-token", "")
    seconds = answer.headers.get("x-auth-token-expires", "")
    left = float(seconds) if seconds.isascii() and seconds.isdigit() else None
    return _Grant(token, left, answer.headers.get("x-storage-url", ""))


def _as_header(text: str) -> str:
    """Return a text whose Latin-1 bytes, which a header gets, are its UTF-8 ones, as in Go."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


class _Endpoint2(msgspec.Struct):
    public_url: str = msgspec.field(name="publicURL", default="")
    region: str | None = None


class _Service2(msgspec.Struct):
    type: str = ""
    endpoints: list[_Endpoint2] = []


class _Token2(msgspec.Struct):
    id: str
    expires: str = ""


class _Access2(msgspec.Struct):
    token: _Token2
    services: list[_Service2] = msgspec.field(name="serviceCatalog", default_factory=list)


class _Reply2(msgspec.Struct):
    access: _Access2


def _sign_in_2(client: HttpClient, login: SwiftLogin) -> _Grant:
    """Sign in with a password; with an API key as at Rackspace, if that is what the password looks like."""
    tries = [password_request_2(login)]
    if len(login.key) >= _RACKSPACE_KEY_LENGTH:
        tries.insert(0, api_key_request_2(login))
    for number, request in enumerate(tries, 1):
        answer = _post(client, f"{login.auth_url.rstrip('/')}/tokens", request)
        if number == len(tries) or answer.status not in (400, 401):
            break
    if answer.status not in (200, 203):
        raise refusal_of(answer, _DOING)
    access = decode(answer.body, _Reply2, _DOING).access
    urls = [
        endpoint.public_url
        for service in access.services
        if service.type == _STORE
        for endpoint in service.endpoints
        if login.region in ("", endpoint.region)
    ]
    return _Grant(access.token.id, _seconds_until(access.token.expires), _first(urls, login))


class _Endpoint3(msgspec.Struct):
    url: str = ""
    interface: str = ""
    region: str | None = None
    region_id: str | None = None


class _Service3(msgspec.Struct):
    type: str = ""
    endpoints: list[_Endpoint3] = []


class _Token3(msgspec.Struct):
    expires_at: str = ""
    catalog: list[_Service3] = []


class _Reply3(msgspec.Struct):
    token: _Token3


def _sign_in_3(client: HttpClient, login: SwiftLogin) -> _Grant:
    answer = _post(client, f"{login.auth_url.rstrip('/')}/auth/tokens", request_3(login))
    if answer.status not in (200, 201):
        raise refusal_of(answer, _DOING)
    reply = decode(answer.body, _Reply3, _DOING).token
    urls = [
        endpoint.url
        for service in reply.catalog
        if service.type == _STORE
        for endpoint in service.endpoints
        if endpoint.interface == "public" and login.region in ("", endpoint.region, endpoint.region_id)
    ]
    token = answer.headers.get("x-subject-token", "")
    return _Grant(token, _seconds_until(reply.expires_at), _first(urls, login))


def password_request_2(login: SwiftLogin) -> dict[str, Any]:
    """Return the request for a token with a password, version 2."""
    return {"auth": {"passwordCredentials": {"username": login.user, "password": login.key}, **_tenant(login)}}


def api_key_request_2(login: SwiftLogin) -> dict[str, Any]:
    """Return the request for a token with an API key, as Rackspace has added it to version 2."""
    return {"auth": {"RAX-KSKEY:apiKeyCredentials": {"username": login.user, "apiKey": login.key}, **_tenant(login)}}


def request_3(login: SwiftLogin) -> dict[str, Any]:
    """Return the request for a token, version 3."""
    if (login.application_id or login.application_name) and login.application_secret:
        # An application credential has its scope.
        return {"auth": {"identity": {"methods": ["application_credential"], **_application(login)}}}
    if not login.user and not login.user_id:
        identity: dict[str, Any] = {"methods": ["token"], "token": {"id": login.key}}
    else:
        user = {"id": login.user_id} if login.user_id else {"name": login.user, "domain": _domain(login)}
        identity = {"methods": ["password"], "password": {"user": {**user, "password": login.key}}}
    scope = _scope(login)
    return {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}


def _application(login: SwiftLogin) -> dict[str, Any]:
    secret = {"secret": login.application_secret}
    if login.application_id:
        return {"application_credential": {"id": login.application_id, **secret}}
    user = {"id": login.user_id} if login.user_id else {"name": login.user, "domain": _domain(login)}
    return {"application_credential": {"name": login.application_name, "user": user, **secret}}


def _scope(login: SwiftLogin) -> dict[str, Any]:
    if login.trust_id:
        return {"OS-TRUST:trust": {"id": login.trust_id}}
    if login.project_id:
        return {"project": {"id": login.project_id}}
    if not login.project:
        return {}
    if login.project_domain:
        domain = {"name": login.project_domain}
    elif login.project_domain_id:
        domain = {"id": login.project_domain_id}
    else:
        domain = _domain(login)
    return {"project": {"name": login.project, "domain": domain}}


def _domain(login: SwiftLogin) -> dict[str, str]:
    if login.domain:
        return {"name": login.domain}
    return {"id": login.domain_id} if login.domain_id else _DEFAULT_DOMAIN


def _tenant(login: SwiftLogin) -> dict[str, str]:
    if login.project_id:
        return {"tenantId": login.project_id}
    return {"tenantName": login.project} if login.project else {}


def _post(client: HttpClient, url: str, request: dict[str, Any]) -> Answer:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return client.send("POST", url, headers=headers, body=msgspec.json.encode(request), max_length=MAX_TOKEN_BYTES)


def _seconds_until(text: str) -> float | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or dt.UTC) - dt.datetime.now(dt.UTC)).total_seconds()


def _first(urls: list[str], login: SwiftLogin) -> str:
    if urls or login.storage_url:
        return urls[0] if urls else ""
    where = f" in the region {login.region}" if login.region else ""
    raise AccessError(
        f"{_DOING} failed: the service catalog contains no object store{where}",
        hint="Check OS_REGION_NAME and the project.",
    )
