"""Signing in to Swift: what is sent, which storage is used, and how it fails."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease
from pyrestic.backend.swift.auth import SwiftAccess, password_request_2, read_login, request_3, sign_in
from pyrestic.errors import AccessError, BackendError, TransientError, UsageError
from tests.backend.swift.keystone_requests import FILE, USER
from tests.support.scripted import ScriptedServer, answer, scripted

SETTINGS = HttpSettings(stall_seconds=5)
URL_3 = "https://keystone.example.net/v3"


def signed_in(environment: dict[str, str]) -> Lease[SwiftAccess]:
    client = HttpClient(SETTINGS, 1)
    try:
        return sign_in(client, read_login(environment))
    finally:
        client.close()


# Version 1


def test_version_1(tmp_path: object) -> None:
    headers = ("X-Storage-Url: http://127.0.0.1:80/v1/AUTH_a/", "X-Auth-Token: t0ken", "X-Auth-Token-Expires: 3600")
    with scripted(lambda method, path: answer(200, b"", *headers)) as service:
        environment = {"ST_AUTH": f"http://{service.address}/auth/v1.0", "ST_USER": "test:me", "ST_KEY": "a-key"}
        lease = signed_in(environment)
        assert lease.value == SwiftAccess("t0ken", "http://127.0.0.1:80/v1/AUTH_a")
        assert lease.ends is not None
        ((method, path, sent),) = service.requests
        assert (method, path) == ("GET", "/auth/v1.0")
        assert "X-Auth-User: test:me" in sent
        assert "X-Auth-Key: a-key" in sent


@pytest.mark.parametrize("key", ["pässword", "pass€word", "\udcff"])
def test_a_key_is_sent_as_utf_8(key: str) -> None:
    headers = ("X-Storage-Url: http://127.0.0.1:80/v1/AUTH_a/", "X-Auth-Token: t0ken")
    with scripted(lambda method, path: answer(200, b"", *headers)) as service:
        signed_in({"ST_AUTH": f"http://{service.address}/auth/v1.0", "ST_USER": "me", "ST_KEY": key})
        ((_, _, sent),) = service.requests
        (line,) = [line for line in sent.splitlines() if line.startswith("X-Auth-Key: ")]
        assert line.removeprefix("X-Auth-Key: ").encode("latin-1") == key.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_ends_at_once_without_being_shown(status: int) -> None:
    with scripted(lambda method, path: answer(status, b"<html>a-key</html>")) as service:
        environment = {"ST_AUTH": f"http://{service.address}/auth/v1.0", "ST_USER": "me", "ST_KEY": "a-key"}
        with pytest.raises(AccessError) as caught:
            signed_in(environment)
        assert "a-key" not in repr(caught.value)
        assert len(service.requests) == 1


# Versions 3 and 2


REQUESTS = json.loads(FILE.read_text())


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_is_that_of_keystones_client(case: str) -> None:
    version = case[0]
    login = read_login({"OS_AUTH_URL": f"https://keystone.example.net/v{version}", **REQUESTS[case]["variables"]})
    ours = request_3(login) if version == "3" else password_request_2(login)
    assert ours == REQUESTS[case]["request"]


def catalog_3(*endpoints: dict[str, str], service: str = "object-store") -> bytes:
    services = [{"type": "compute", "endpoints": [{"interface": "public", "url": "http://127.0.0.1/no"}]}]
    services.append({"type": service, "endpoints": list(endpoints)})
    return json.dumps({"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": services}}).encode()


@pytest.fixture
def keystone() -> Iterator[ScriptedServer]:
    endpoints = [
        {"interface": "internal", "region": "one", "url": "http://127.0.0.1/internal"},
        {"interface": "public", "region": "one", "region_id": "one", "url": "http://127.0.0.1/one"},
        {"interface": "public", "region": "two", "region_id": "two", "url": "http://127.0.0.1/two"},
    ]
    with scripted(lambda method, path: answer(201, catalog_3(*endpoints), "X-Subject-Token: t0ken")) as server:
        yield server


@pytest.mark.parametrize(("region", "found"), [("", "one"), ("one", "one"), ("two", "two")])
def test_the_storage_of_the_region_is_used(keystone: ScriptedServer, region: str, found: str) -> None:
    environment = {**USER, "OS_AUTH_URL": f"http://{keystone.address}/v3/", "OS_REGION_NAME": region}
    lease = signed_in(environment)
    assert lease.value == SwiftAccess("t0ken", f"http://127.0.0.1/{found}")
    assert lease.ends == pytest.approx(4070908800, abs=5)
    assert keystone.requests[0][:2] == ("POST", "/v3/auth/tokens")


def test_a_region_without_storage_is_named(keystone: ScriptedServer) -> None:
    environment = {**USER, "OS_AUTH_URL": f"http://{keystone.address}/v3", "OS_REGION_NAME": "three"}
    with pytest.raises(AccessError, match="no object store in the region three"):
        signed_in(environment)


def test_storage_in_another_domain_gets_no_token_unless_it_is_named(keystone: ScriptedServer) -> None:
    reply = catalog_3({"interface": "public", "url": "https://storage.example.org/v1/a"})
    keystone.reply = lambda method, path: answer(201, reply, "X-Subject-Token: t0ken")
    environment = {**USER, "OS_AUTH_URL": f"http://{keystone.address}/v3"}
    with pytest.raises(AccessError, match=r"names storage\.example\.org for the storage") as caught:
        signed_in(environment)
    assert "OS_STORAGE_URL" in caught.value.hint
    lease = signed_in({**environment, "OS_STORAGE_URL": "https://storage.example.org/v1/a/"})
    assert lease.value == SwiftAccess("t0ken", "https://storage.example.org/v1/a")


def test_a_catalog_may_be_long(keystone: ScriptedServer) -> None:
    many = [
        {"interface": "public", "region": f"r{number}", "url": "http://127.0.0.1/" + "x" * 900} for number in range(99)
    ]
    reply = catalog_3(*many, {"interface": "public", "region": "last", "url": "http://127.0.0.1/last"})
    assert len(reply) > 64 * 1024
    keystone.reply = lambda method, path: answer(201, reply, "X-Subject-Token: t0ken")
    environment = {**USER, "OS_AUTH_URL": f"http://{keystone.address}/v3", "OS_REGION_NAME": "last"}
    assert signed_in(environment).value.storage_url == "http://127.0.0.1/last"


# Version 2


def catalog_2() -> bytes:
    endpoints = [{"region": name, "publicURL": f"http://127.0.0.1/{name}"} for name in ("one", "two")]
    services = [{"type": "object-store", "endpoints": endpoints}]
    token = {"id": "t0ken", "expires": "2099-01-01T00:00:00Z"}
    return json.dumps({"access": {"token": token, "serviceCatalog": services}}).encode()


def test_version_2() -> None:
    with scripted(lambda method, path: answer(200, catalog_2())) as service:
        environment = {**USER, "OS_AUTH_URL": f"http://{service.address}/v2.0", "OS_REGION_NAME": "two"}
        assert signed_in({**environment, "OS_TENANT_NAME": "t"}).value == SwiftAccess("t0ken", "http://127.0.0.1/two")
        assert service.requests[0][:2] == ("POST", "/v2.0/tokens")


def test_a_long_key_is_tried_as_an_api_key_first() -> None:
    replies = [answer(200, catalog_2()), answer(401, b"{}")]
    with scripted(lambda method, path: replies.pop()) as service:
        environment = {"OS_AUTH_URL": f"http://{service.address}/v2.0", "OS_USERNAME": "me", "OS_PASSWORD": "k" * 32}
        signed_in(environment)
        first, second = (json.loads(body)["auth"] for body in service.bodies)
        assert first == {"RAX-KSKEY:apiKeyCredentials": {"username": "me", "apiKey": "k" * 32}}
        assert second == {"passwordCredentials": {"username": "me", "password": "k" * 32}}


# The environment


def test_a_ready_token_needs_no_sign_in() -> None:
    environment = {"OS_STORAGE_URL": "https://storage.example.org/v1/a/", "OS_AUTH_TOKEN": "ready"}
    assert signed_in(environment) == Lease(SwiftAccess("ready", "https://storage.example.org/v1/a"))


def test_the_variables_of_version_1_fill_what_is_empty() -> None:
    login = read_login({"ST_AUTH": "https://a/v1.0", "OS_USERNAME": "me", "ST_USER": "you", "ST_KEY": "key"})
    assert (login.auth_url, login.user, login.key) == ("https://a/v1.0", "me", "key")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "OS_AUTH_URL is empty"),
        ({"OS_AUTH_URL": "keystone"}, "OS_AUTH_URL or ST_AUTH must be a URL"),
        ({"OS_AUTH_URL": "https://a/", **USER}, "must contain its version"),
        ({"OS_AUTH_URL": "https://a/v3"}, "OS_PASSWORD is empty"),
        ({"OS_AUTH_URL": "https://a/v2.0", "OS_PASSWORD": "x"}, "OS_USERNAME is empty"),
        ({"ST_AUTH": "https://a/v1.0", "ST_USER": "x"}, "OS_PASSWORD is empty"),
        (
            {
                "OS_AUTH_URL": "https://a/v3",
                "OS_APPLICATION_CREDENTIAL_NAME": "n",
                "OS_APPLICATION_CREDENTIAL_SECRET": "s",
            },
            "needs its user as well",
        ),
    ],
)
def test_what_is_missing_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_login(environment)


def test_no_secret_is_shown() -> None:
    login = read_login(
        {
            "OS_AUTH_URL": URL_3,
            "OS_PASSWORD": "hidden",
            "OS_APPLICATION_CREDENTIAL_ID": "x",
            "OS_APPLICATION_CREDENTIAL_SECRET": "hidden",
            "OS_AUTH_TOKEN": "hidden",
        }
    )
    assert "hidden" not in repr([login, SwiftAccess("hidden", "url")])


# Hostile replies


@pytest.mark.parametrize("version", ["v1.0", "v2.0", "v3"])
@pytest.mark.parametrize(
    "reply",
    [
        answer(200, b""),
        answer(200, b"<html>"),
        answer(201, b'{"token": {"catalog": 5}}', "X-Subject-Token: x"),
        answer(201, b"[" * 100_000),
        answer(200, b"", "X-Storage-Url: http://127.0.0.1/", "X-Auth-Token: a b"),
        answer(200, b"", "X-Storage-Url: http://evil.example.org/", "X-Auth-Token: ab"),
        answer(200, b"", "X-Storage-Url: file:///etc/passwd", "X-Auth-Token: ab"),
        answer(302, b"", "Location: https://evil.example.org/"),
        answer(200, b'{"access": {"token": {"id": "a\\r\\nb"}, "serviceCatalog": []}}'),
    ],
)
def test_a_reply_that_is_none_ends_with_a_sentence(version: str, reply: bytes) -> None:
    with scripted(lambda method, path: reply) as service:
        with pytest.raises(BackendError) as caught:
            signed_in({**USER, "OS_AUTH_URL": f"http://{service.address}/{version}"})
        assert str(caught.value).isprintable()


@given(st.binary(max_size=200))
def test_any_body_is_a_login_or_an_error(body: bytes) -> None:
    from pyrestic.backend.identity.oauth import decode
    from pyrestic.backend.swift.auth import _Reply2, _Reply3

    for kind in (_Reply2, _Reply3):
        with pytest.raises(TransientError):
            decode(body, kind, "signing in")
