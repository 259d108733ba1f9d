"""Identities of Microsoft Entra ID for Azure, in the order of the vendor's default chain.

A client secret or certificate, a federated token (workload identity), the managed identity of an app or a virtual
machine, `az` and `azd` are one request or one program each. Other kinds need the vendor's library of the extra
cloud-auth.
"""

import base64
import binascii
import datetime as dt
import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

import msgspec

from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.identity.machine import find_program, make_metadata_client, read_dmi, run_program
from pyrestic.backend.identity.oauth import (
    MAX_TOKEN_BYTES,
    base64url,
    check_token_url,
    decode,
    make_lease,
    request_token,
    sign_assertion,
    token_of,
)
from pyrestic.backend.leases import Lease, Leased
from pyrestic.errors import AccessError, UnsupportedError, UsageError

RESOURCE = "https://storage.azure.com"
AUTHORITY = "https://login.microsoftonline.com"
METADATA_HOST = "http://169.254.169.254"

_DOING = "signing in to Azure"
_HINT = (
    "Set AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS; or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; "
    "or run `az login`."
)
_ASSERTION_SECONDS = 600
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MANAGED_PATH = "metadata/identity/oauth2/token"
_certificate = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL).search
_Fetch = Callable[[], Lease[str]]


def find_identity(environment: Mapping[str, str], client: HttpClient, settings: HttpSettings) -> Leased[str]:
    """Return the source of tokens that the environment or the machine offers; raise UsageError if there is none."""
    if environment.get("AZURE_FORCE_CLI_CREDENTIAL", "") in ("1", "t", "T", "TRUE", "true", "True"):
        found = _by_az(environment)
        if found is None:
            raise UsageError("AZURE_FORCE_CLI_CREDENTIAL is set, and the program az is not on the PATH")
        return Leased(found)
    sources = (_by_application, _by_library, _by_managed_identity)
    for source in sources:
        if found := source(environment, client, settings):
            return Leased(found)
    for program in (_by_az, _by_azd):
        if found := program(environment):
            return Leased(found)
    raise UsageError("no credentials for Azure were found", hint=_HINT)


def _by_application(environment: Mapping[str, str], client: HttpClient, settings: HttpSettings) -> _Fetch | None:
    """Return the source for an application with a secret, a certificate or a federated token."""
    tenant, application = environment.get("AZURE_TENANT_ID", ""), environment.get("AZURE_CLIENT_ID", "")
    if not tenant or not application:
        return None
    authority = check_token_url(environment.get("AZURE_AUTHORITY_HOST", "") or AUTHORITY, "AZURE_AUTHORITY_HOST")
    url = f"{authority.rstrip('/')}/{quote(tenant, safe='')}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "client_id": application, "scope": f"{RESOURCE}/.default"}
    if secret := environment.get("AZURE_CLIENT_SECRET", ""):
        return lambda: request_token(client, url, {**form, "client_secret": secret}, _DOING)
    if path := environment.get("AZURE_CLIENT_CERTIFICATE_PATH", ""):
        pem = _read(path)
        if _certificate(pem) is None:
            return _library(environment, settings, f"the certificate in {path} is not in PEM form")
        passphrase = environment.get("AZURE_CLIENT_CERTIFICATE_PASSWORD", "")
        certified = {**form, "client_assertion_type": _ASSERTION_TYPE}
        return lambda: request_token(
            client, url, {**certified, "client_assertion": _assertion(pem, passphrase, application, url)}, _DOING
        )
    if path := environment.get("AZURE_FEDERATED_TOKEN_FILE", ""):
        # The file is replaced while the program runs.
        return lambda: request_token(
            client,
            url,
            {**form, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": _read(path).strip()},
            _DOING,
        )
    return None


def _by_library(environment: Mapping[str, str], client: HttpClient, settings: HttpSettings) -> _Fetch | None:  # noqa: ARG001
    """Return the source for managed identities that need the vendor's library."""
    rare = {
        "Azure Arc": ("IDENTITY_ENDPOINT", "IMDS_ENDPOINT"),
        "Service Fabric": ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"),
        "the Cloud Shell": ("MSI_ENDPOINT",),
    }
    for name, variables in rare.items():
        if all(environment.get(variable, "") for variable in variables):
            return _library(environment, settings, f"the managed identity of {name} was found")
    return None


def _by_managed_identity(environment: Mapping[str, str], client: HttpClient, settings: HttpSettings) -> _Fetch | None:  # noqa: ARG001
    """Return the source for the managed identity of an app or a virtual machine."""
    query = {"resource": RESOURCE}
    if application := environment.get("AZURE_CLIENT_ID", ""):
        query["client_id"] = application
    endpoint, secret = environment.get("IDENTITY_ENDPOINT", ""), environment.get("IDENTITY_HEADER", "")
    if endpoint and secret:
        url = f"{endpoint}?{urlencode({'api-version': '2019-08-01', **query})}"
        return lambda: _request_managed(url, {"X-IDENTITY-HEADER": secret}, settings)
    host = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", "")
    if not host and read_dmi("sys_vendor") == "Microsoft Corporation":
        host = METADATA_HOST
    if not host:
        return None
    url = f"{host.rstrip('/')}/{_MANAGED_PATH}?{urlencode({'api-version': '2018-02-01', **query})}"
    program = _by_az(environment)

    def fetch() -> Lease[str]:
        try:
            return _request_managed(url, {"Metadata": "true"}, settings)
        except AccessError:
            if program is None:
                raise
        # The machine has no identity: the next one of the chain is the user's own.
        return program()

    return fetch


def _request_managed(url: str, headers: Mapping[str, str], settings: HttpSettings) -> Lease[str]:
    client = make_metadata_client(settings)
    try:
        answer = client.send("GET", url, headers=headers, max_length=MAX_TOKEN_BYTES)
    finally:
        client.close()
    return token_of(answer, "requesting a token of the managed identity")


class _AzToken(msgspec.Struct, rename="camel"):
    """The output of az: `expires_on` in seconds since 1970; `expiresOn`, in local time, is not used."""

    access_token: str
    expires_on: int | None = msgspec.field(name="expires_on", default=None)


class _AzdToken(msgspec.Struct, rename="camel"):
    token: str
    expires_on: dt.datetime | None = None


def _by_az(environment: Mapping[str, str]) -> _Fetch | None:
    program = find_program("az", environment)
    if not program:
        return None
    words = [program, "account", "get-access-token", "--output", "json", "--resource", RESOURCE]

    def fetch() -> Lease[str]:
        output = run_program(words, environment, _DOING, "Run `az login` first.")
        token = decode(output, _AzToken, _DOING)
        return make_lease(token.access_token, _seconds_until(token.expires_on), _DOING)

    return fetch


def _by_azd(environment: Mapping[str, str]) -> _Fetch | None:
    program = find_program("azd", environment)
    if not program:
        return None
    words = [program, "auth", "token", "--output", "json", "--no-prompt", "--scope", f"{RESOURCE}/.default"]

    def fetch() -> Lease[str]:
        output = run_program(words, environment, _DOING, "Run `azd auth login` first.")
        token = decode(output, _AzdToken, _DOING)
        return make_lease(
            token.token, _seconds_until(None if token.expires_on is None else token.expires_on.timestamp()), _DOING
        )

    return fetch


def _seconds_until(moment: float | None) -> float | None:
    return None if moment is None else moment - time.time()


def _assertion(pem: str, passphrase: str, application: str, url: str) -> str:
    """Return the proof that the application has the key of its certificate."""
    found = _certificate(pem)
    try:
        der = base64.b64decode(re.sub(r"\s", "", found[1]) if found else "", validate=True)
    except binascii.Error:
        raise UsageError("AZURE_CLIENT_CERTIFICATE_PATH leads to an invalid certificate") from None
    now = int(time.time())
    claims = {
        "aud": url,
        "iss": application,
        "sub": application,
        "jti": str(uuid.uuid4()),
        "iat": now,
        "nbf": now - 60,
        "exp": now + _ASSERTION_SECONDS,
    }
    header = {"x5t": base64url(hashlib.sha1(der, usedforsecurity=False).digest())}
    return sign_assertion(_private_key(pem), header, claims, passphrase=passphrase)


def _private_key(pem: str) -> str:
    found = re.search(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", pem, re.DOTALL)
    return found[0] if found else ""


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_TOKEN_BYTES).decode("latin-1")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"the credentials in {path} cannot be read: {reason}") from error


def _library(environment: Mapping[str, str], settings: HttpSettings, found: str) -> _Fetch:
    """Return a source that uses the vendor's library; raise UnsupportedError if that is not installed."""
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import CertificateCredential, ManagedIdentityCredential
    except ImportError:
        raise UnsupportedError(
            f"{found}, which needs the extra cloud-auth", hint="Install pyrestic[cloud-auth]."
        ) from None

    def fetch() -> Lease[str]:
        application = environment.get("AZURE_CLIENT_ID", "") or None
        verify = settings.ca_files[0] if settings.ca_files else not settings.insecure_tls
        try:
            if path := environment.get("AZURE_CLIENT_CERTIFICATE_PATH", ""):
                credential: CertificateCredential | ManagedIdentityCredential = CertificateCredential(
                    environment["AZURE_TENANT_ID"],
                    environment["AZURE_CLIENT_ID"],
                    path,
                    password=environment.get("AZURE_CLIENT_CERTIFICATE_PASSWORD", "") or None,
                    connection_verify=verify,
                )
            else:
                credential = ManagedIdentityCredential(client_id=application, connection_verify=verify)
            token = credential.get_token(f"{RESOURCE}/.default")
        except (AzureError, ValueError) as error:
            raise AccessError(f"{_DOING} failed: {found} ({type(error).__name__})", hint=_HINT) from error
        return make_lease(token.token, _seconds_until(token.expires_on), _DOING)

    return fetch
