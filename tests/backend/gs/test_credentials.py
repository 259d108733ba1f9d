"""Credentials for Google Cloud Storage: which are found, what they send, and how they fail."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from google.auth import jwt
from google.oauth2 import service_account

from pyrestic.backend.gs.credentials import find_credentials
from pyrestic.backend.gs.scope import SCOPE
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.errors import AccessError, UnsupportedError, UsageError
from tests.support.rsa_key import certificate_pem, private_pem
from tests.support.scripted import ScriptedServer, answer, scripted

SETTINGS = HttpSettings(stall_seconds=5)
TOKEN = json.dumps({"access_token": "t0ken", "expires_in": 3599, "token_type": "Bearer"}).encode()
METADATA = "Metadata-Flavor: Google"


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    with scripted(lambda method, path: answer(200, TOKEN, "Content-Type: application/json", METADATA)) as server:
        yield server


@pytest.fixture(autouse=True)
def _another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrestic.backend.identity.machine._DMI", str(tmp_path))


def token_of(environment: dict[str, str]) -> str:
    client = HttpClient(SETTINGS, 1)
    try:
        return find_credentials(environment, client, SETTINGS).get()
    finally:
        client.close()


def form_of(service: ScriptedServer) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(service.bodies[-1].decode()).items()}


def account(service: ScriptedServer) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "a",
        "private_key": private_pem(),
        "client_email": "me@example.com",
        "client_id": "5",
        "token_uri": f"http://{service.address}/token",
    }


def write(path: Path, value: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


def test_a_ready_token_comes_first(tmp_path: Path) -> None:
    assert token_of({"GOOGLE_ACCESS_TOKEN": "ready", "GOOGLE_APPLICATION_CREDENTIALS": "/none"}) == "ready"
    with pytest.raises(UsageError) as caught:
        token_of({"GOOGLE_ACCESS_TOKEN": "a secret"})
    assert "secret" not in str(caught.value)


def test_a_service_account_signs_what_the_vendors_library_signs(service: ScriptedServer, tmp_path: Path) -> None:
    path = write(tmp_path / "key.json", account(service))
    assert token_of({"GOOGLE_APPLICATION_CREDENTIALS": path}) == "t0ken"
    form = form_of(service)
    ours = dict(jwt.decode(form["assertion"], certs={"a": certificate_pem().encode()}, audience=None))
    credentials = service_account.Credentials.from_service_account_file(path, scopes=[SCOPE])
    theirs = dict(jwt.decode(credentials._make_authorization_grant_assertion(), verify=False))
    for moment in ("iat", "exp"):
        assert abs(ours.pop(moment) - theirs.pop(moment)) < 60
    # The library names its own constant there.
    assert theirs.pop("aud").startswith("http")
    assert ours.pop("aud") == f"http://{service.address}/token"
    assert ours == theirs
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"


def test_a_users_refresh_token_is_found_in_the_folder_of_gcloud(service: ScriptedServer, tmp_path: Path) -> None:
    user = {
        "type": "authorized_user",
        "client_id": "an id",
        "client_secret": "a secret",
        "refresh_token": "refresh",
        "token_uri": f"http://{service.address}/token",
    }
    write(tmp_path / ".config" / "gcloud" / "application_default_credentials.json", user)
    assert token_of({"HOME": str(tmp_path)}) == "t0ken"
    assert form_of(service) == {
        "grant_type": "refresh_token",
        "client_id": "an id",
        "client_secret": "a secret",
        "refresh_token": "refresh",
    }


def test_the_metadata_service_of_a_machine(service: ScriptedServer) -> None:
    assert token_of({"GCE_METADATA_HOST": service.address}) == "t0ken"
    ((method, path, headers),) = service.requests
    assert method == "GET"
    assert path == f"/computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE}"
    assert "Metadata-Flavor: Google" in headers


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(404, b"", METADATA), "this machine has no service account"),
        (answer(200, TOKEN), "is not Google's metadata service"),
    ],
)
def test_another_metadata_service_is_refused(reply: bytes, said: str) -> None:
    with scripted(lambda method, path: reply) as service, pytest.raises(AccessError, match=said):
        token_of({"GCE_METADATA_HOST": service.address})


def test_without_credentials_a_sentence_says_what_to_set(tmp_path: Path) -> None:
    for environment in ({}, {"HOME": str(tmp_path)}):
        with pytest.raises(UsageError, match="no credentials for Google Cloud Storage were found") as caught:
            token_of(environment)
        assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint


@pytest.mark.parametrize("change", [{"private_key": "hidden"}, {"token_uri": "http://example.com/hidden"}])
def test_a_file_that_cannot_be_used_is_named_without_its_content(
    service: ScriptedServer, tmp_path: Path, change: dict[str, str]
) -> None:
    path = write(tmp_path / "key.json", account(service) | change)
    with pytest.raises(UsageError) as caught:
        token_of({"GOOGLE_APPLICATION_CREDENTIALS": path})
    assert "hidden" not in repr(caught.value)


def test_a_refused_account_ends_at_once(tmp_path: Path) -> None:
    said = b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
    with scripted(lambda method, path: answer(400, said)) as service:
        path = write(tmp_path / "key.json", account(service))
        with pytest.raises(AccessError, match="Invalid JWT Signature"):
            token_of({"GOOGLE_APPLICATION_CREDENTIALS": path})
        assert len(service.requests) == 1


def federated(service: ScriptedServer, token: Path) -> dict[str, object]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/5/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"http://{service.address}/v1/token",
        "credential_source": {"file": str(token)},
    }


def test_a_federated_identity_is_that_of_the_vendors_library(service: ScriptedServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a federated token")
    reply = {"access_token": "t0ken", "expires_in": 3599, "issued_token_type": "x", "token_type": "Bearer"}
    service.reply = lambda method, path: answer(200, json.dumps(reply).encode())
    path = write(tmp_path / "key.json", federated(service, token))
    assert token_of({"GOOGLE_APPLICATION_CREDENTIALS": path}) == "t0ken"
    assert form_of(service)["subject_token"] == "a federated token"


def test_a_federated_identity_without_the_library_names_the_extra(
    service: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyrestic.backend.gs.vendor_credentials", None)
    path = write(tmp_path / "key.json", federated(service, tmp_path / "token"))
    with pytest.raises(UnsupportedError, match="of the type 'external_account'") as caught:
        token_of({"GOOGLE_APPLICATION_CREDENTIALS": path})
    assert "pyrestic[cloud-auth]" in caught.value.hint


@pytest.mark.parametrize("change", [{"type": "unknown"}, {"credential_source": 5}])
def test_a_federated_identity_that_is_none_is_named_without_its_content(
    service: ScriptedServer, tmp_path: Path, change: dict[str, object]
) -> None:
    path = write(tmp_path / "key.json", {**federated(service, tmp_path / "token"), "x": "hidden", **change})
    with pytest.raises(UsageError, match="incomplete or invalid") as caught:
        token_of({"GOOGLE_APPLICATION_CREDENTIALS": path})
    assert "hidden" not in repr(caught.value)
