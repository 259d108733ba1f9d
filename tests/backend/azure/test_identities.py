"""Identities of Entra ID: which one is found, what it sends, and how it fails."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.auth import jwt

from pyrestic.backend.azure.identities import RESOURCE, find_identity
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.errors import AccessError, PyresticError, UnsupportedError, UsageError
from tests.support.rsa_key import certificate_pem, private_pem
from tests.support.scripted import ScriptedServer, answer, scripted

SETTINGS = HttpSettings(stall_seconds=5)
TOKEN = json.dumps({"access_token": "t0ken", "expires_in": "3599", "token_type": "Bearer"}).encode()
APPLICATION = {"AZURE_TENANT_ID": "a-tenant", "AZURE_CLIENT_ID": "an-application"}


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    with scripted(lambda method, path: answer(200, TOKEN, "Content-Type: application/json")) as server:
        yield server


def token_of(environment: dict[str, str]) -> str:
    client = HttpClient(SETTINGS, 1)
    try:
        return find_identity(environment, client, SETTINGS).get()
    finally:
        client.close()


def form_of(service: ScriptedServer) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(service.bodies[-1].decode()).items()}


def test_a_client_secret(service: ScriptedServer) -> None:
    environment = {**APPLICATION, "AZURE_CLIENT_SECRET": "a&b", "AZURE_AUTHORITY_HOST": f"http://{service.address}/"}
    assert token_of(environment) == "t0ken"
    assert service.requests[0][:2] == ("POST", "/a-tenant/oauth2/v2.0/token")
    assert form_of(service) == {
        "grant_type": "client_credentials",
        "client_id": "an-application",
        "client_secret": "a&b",
        "scope": f"{RESOURCE}/.default",
    }


@pytest.mark.parametrize("passphrase", ["", "a passphrase"])
def test_a_certificate_is_proven_by_its_key(service: ScriptedServer, tmp_path: Path, passphrase: str) -> None:
    path = tmp_path / "certificate.pem"
    path.write_text(private_pem(passphrase) + certificate_pem())
    environment = {
        **APPLICATION,
        "AZURE_CLIENT_CERTIFICATE_PATH": str(path),
        "AZURE_CLIENT_CERTIFICATE_PASSWORD": passphrase,
        "AZURE_AUTHORITY_HOST": f"http://{service.address}",
    }
    assert token_of(environment) == "t0ken"
    form = form_of(service)
    url = f"http://{service.address}/a-tenant/oauth2/v2.0/token"
    claims: dict[str, Any] = dict(jwt.decode(form["client_assertion"], certs=certificate_pem().encode(), audience=url))
    assert claims["iss"] == claims["sub"] == "an-application"
    assert form["client_assertion_type"].endswith("jwt-bearer")


@pytest.mark.process  # Importing the library starts uname.
def test_the_certificate_is_named_as_by_the_vendors_library(service: ScriptedServer, tmp_path: Path) -> None:
    from azure.identity._credentials.certificate import get_client_credential

    path = tmp_path / "certificate.pem"
    path.write_text(private_pem() + certificate_pem())
    theirs = get_client_credential(str(path), None, None)["thumbprint"].upper()
    environment = {"AZURE_CLIENT_CERTIFICATE_PATH": str(path), "AZURE_AUTHORITY_HOST": f"http://{service.address}"}
    token_of({**APPLICATION, **environment})
    header = jwt.decode_header(form_of(service)["client_assertion"])
    from google.auth._helpers import padded_urlsafe_b64decode

    assert padded_urlsafe_b64decode(header["x5t"]).hex().upper() == theirs


def test_a_federated_token_is_read_anew_each_time(service: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("the first\n")
    environment = {"AZURE_FEDERATED_TOKEN_FILE": str(path), "AZURE_AUTHORITY_HOST": f"http://{service.address}"}
    client = HttpClient(SETTINGS, 1)
    identity = find_identity({**APPLICATION, **environment}, client, SETTINGS)
    identity.get()
    assert form_of(service)["client_assertion"] == "the first"
    path.write_text("the second")
    identity._lease = None
    identity.get()
    assert form_of(service)["client_assertion"] == "the second"
    client.close()


def test_the_managed_identity_of_an_app(service: ScriptedServer) -> None:
    environment = {"IDENTITY_ENDPOINT": f"http://{service.address}/msi/token", "IDENTITY_HEADER": "a-secret"}
    assert token_of(environment) == "t0ken"
    ((method, path, headers),) = service.requests
    assert method == "GET"
    assert parse_qs(urlsplit(path).query) == {"api-version": ["2019-08-01"], "resource": [RESOURCE]}
    assert "X-IDENTITY-HEADER: a-secret" in headers


def test_the_managed_identity_of_a_virtual_machine(service: ScriptedServer) -> None:
    url = f"http://{service.address}"
    environment = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url, "AZURE_CLIENT_ID": "one of several"}
    assert token_of(environment) == "t0ken"
    ((_, path, headers),) = service.requests
    assert urlsplit(path).path == "/metadata/identity/oauth2/token"
    assert parse_qs(urlsplit(path).query)["client_id"] == ["one of several"]
    assert "Metadata: true" in headers


def program(folder: Path, name: str, output: str, code: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho \"$@\" > '{folder}/arguments'\ncat <<'END'\n{output}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return folder


@pytest.mark.process
def test_az_is_asked(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "az", '{"accessToken": "t0ken", "expires_on": 4000000000, "tenant": "x"}')
    assert token_of({"PATH": f"{folder}:/bin:/usr/bin"}) == "t0ken"
    assert (folder / "arguments").read_text() == f"account get-access-token --output json --resource {RESOURCE}\n"
    forced = {"AZURE_FORCE_CLI_CREDENTIAL": "true", **APPLICATION, "AZURE_CLIENT_SECRET": "unused"}
    assert token_of({**forced, "PATH": f"{folder}:/bin:/usr/bin"}) == "t0ken"


@pytest.mark.process
def test_azd_is_asked_after_az(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "azd", '{"token": "t0ken", "expiresOn": "2096-10-02T07:06:40Z"}')
    assert token_of({"PATH": f"{folder}:/bin:/usr/bin"}) == "t0ken"


@pytest.mark.process
@pytest.mark.parametrize(("output", "code"), [("a secret", 0), ('{"accessToken": 5}', 0), ("a secret", 1)])
def test_az_that_fails_is_named_without_its_output(tmp_path: Path, output: str, code: int) -> None:
    folder = program(tmp_path / "bin", "az", output, code)
    with pytest.raises(PyresticError) as caught:
        token_of({"PATH": f"{folder}:/bin:/usr/bin"})
    assert "secret" not in repr(caught.value)


@pytest.mark.process
def test_a_virtual_machine_without_an_identity_uses_that_of_az(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "az", '{"accessToken": "from-az"}')
    refusal = answer(400, b'{"error": "invalid_request", "error_description": "Identity not found"}')
    with scripted(lambda method, path: refusal) as service:
        environment = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://{service.address}"}
        with pytest.raises(AccessError, match="Identity not found"):
            token_of(environment)
        assert token_of({**environment, "PATH": f"{folder}:/bin:/usr/bin"}) == "from-az"


def test_without_any_identity_a_sentence_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrestic.backend.identity.machine._DMI", str(tmp_path))
    monkeypatch.chdir(program(tmp_path / "bin", "az", ""))
    for environment in ({}, {"PATH": "bin:."}, APPLICATION):
        with pytest.raises(UsageError, match="no credentials for Azure were found") as caught:
            token_of({"PATH": "", **environment})
        assert "az login" in caught.value.hint
    with pytest.raises(UsageError, match="the program az is not on the PATH"):
        token_of({"AZURE_FORCE_CLI_CREDENTIAL": "1"})


def test_a_wrong_secret_ends_at_once(tmp_path: Path) -> None:
    said = b'{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}'
    with scripted(lambda method, path: answer(401, said)) as service:
        environment = {"AZURE_CLIENT_SECRET": "hidden", "AZURE_AUTHORITY_HOST": f"http://{service.address}"}
        with pytest.raises(AccessError, match="AADSTS7000215: Invalid client secret provided") as caught:
            token_of({**APPLICATION, **environment})
        assert "hidden" not in repr(caught.value)
        assert len(service.requests) == 1


def test_an_authority_without_encryption_gets_no_secret() -> None:
    with pytest.raises(UsageError, match="AZURE_AUTHORITY_HOST must be a URL with https"):
        token_of({**APPLICATION, "AZURE_CLIENT_SECRET": "x", "AZURE_AUTHORITY_HOST": "http://login.example.com"})


RARE = {
    "Azure Arc": {"IDENTITY_ENDPOINT": "http://localhost:40342", "IMDS_ENDPOINT": "http://localhost:40342"},
    "the Cloud Shell": {"MSI_ENDPOINT": "http://localhost:50342/oauth2/token"},
}


@pytest.mark.parametrize("kind", RARE)
def test_a_rare_identity_names_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(UnsupportedError, match=kind) as caught:
        token_of(RARE[kind])
    assert "pyrestic[cloud-auth]" in caught.value.hint


@pytest.mark.process  # As above.
def test_a_rare_identity_is_that_of_the_vendors_library(
    service: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MSI_ENDPOINT", f"http://{service.address}/oauth2/token")
    reply = json.dumps({"access_token": "t0ken", "expires_in": "3599", "expires_on": "4000000000", "resource": "x"})
    service.reply = lambda method, path: answer(200, reply.encode(), "Content-Type: application/json")
    assert token_of({"MSI_ENDPOINT": f"http://{service.address}/oauth2/token"}) == "t0ken"
