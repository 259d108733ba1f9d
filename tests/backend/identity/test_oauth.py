"""Requests for tokens: what is sent, and whatever comes back."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import pytest
from google.auth import jwt
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.http import Answer, HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.identity.oauth import (
    check_token_url,
    read_credentials,
    request_token,
    sign_assertion,
    token_of,
)
from pyrestic.errors import AccessError, BackendError, TransientError, UsageError
from tests.support.rsa_key import certificate_pem, private_pem, public_pem
from tests.support.scripted import ScriptedServer, answer, scripted


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    reply = json.dumps({"access_token": "t0ken", "expires_in": 3599, "token_type": "Bearer"}).encode()
    with scripted(lambda method, path: answer(200, reply, "Content-Type: application/json")) as server:
        yield server


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(HttpSettings(stall_seconds=5), 1)
    yield client
    client.close()


def test_a_token_is_requested_by_a_form(client: HttpClient, service: ScriptedServer) -> None:
    lease = request_token(client, f"http://{service.address}/token", {"secret": "a&b=c", "x": "ü"}, "signing in")
    assert lease.value == "t0ken"
    assert lease.ends is not None
    ((method, path, headers),) = service.requests
    assert (method, path) == ("POST", "/token")
    assert "application/x-www-form-urlencoded" in headers
    assert parse_qs(service.bodies[0].decode()) == {"secret": ["a&b=c"], "x": ["ü"]}


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_final_and_says_why(status: int) -> None:
    body = b'{"error": "invalid_grant", "error_description": "Invalid JWT:\\n Token must\\u0000 be short-lived"}'
    with pytest.raises(AccessError, match=r"says 4.. invalid_grant .Invalid JWT: Token must be short-lived") as caught:
        token_of(Answer(status, {}, body), "signing in")
    assert not isinstance(caught.value, TransientError)
    assert "clock" in caught.value.hint


def test_a_busy_service_is_asked_again() -> None:
    for status in (429, 500, 503):
        with pytest.raises(TransientError):
            token_of(Answer(status, {"retry-after": "7"}, b"<html>"), "signing in")
    with pytest.raises(BackendError) as caught:
        token_of(Answer(302, {}, b""), "signing in")
    assert not isinstance(caught.value, TransientError)


@given(
    st.binary(max_size=200)
    | st.builds(
        msgspec.json.encode,
        st.dictionaries(
            st.sampled_from(["access_token", "expires_in", "error"]),
            st.none() | st.integers() | st.text() | st.floats(),
        ),
    )
)
def test_whatever_comes_is_a_token_or_an_error(body: bytes) -> None:
    try:
        lease = token_of(Answer(200, {}, body), "signing in")
    except BackendError:
        return
    assert lease.value.isascii()
    assert lease.value.isprintable()
    assert " " not in lease.value


@given(st.binary(max_size=300))
def test_whatever_refuses_fits_on_a_line(body: bytes) -> None:
    with pytest.raises(AccessError) as caught:
        token_of(Answer(403, {}, body), "signing in")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_the_vendors_library_verifies_an_assertion() -> None:
    now = int(time.time())
    claims = {"iss": "me", "aud": "you", "iat": now, "exp": now + 60}
    text = sign_assertion(private_pem(), {"kid": "a"}, claims)
    assert jwt.decode_header(text) == {"alg": "RS256", "typ": "JWT", "kid": "a"}
    assert jwt.decode(text, certs={"a": certificate_pem().encode()}, audience="you") == claims
    forged = sign_assertion(private_pem(), {"kid": "a"}, {**claims, "iss": "you"}).split(".")
    with pytest.raises(ValueError, match="signature"):
        jwt.decode(".".join([*text.split(".")[:1], forged[1], text.split(".")[2]]), certs=certificate_pem().encode())


@pytest.mark.parametrize("key", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_key_that_is_none_is_named_without_its_text(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        sign_assertion(key, {}, {})
    assert "AAAA" not in str(caught.value)


def test_a_public_key_and_a_wrong_passphrase_sign_nothing() -> None:
    locked = private_pem("right")
    for key, passphrase in ((public_pem(), ""), (locked, "wrong"), (locked, "")):
        with pytest.raises(UsageError):
            sign_assertion(key, {}, {}, passphrase=passphrase)
    assert sign_assertion(locked, {}, {"a": 1}, passphrase="right").count(".") == 2


@pytest.mark.parametrize("url", ["https://login.example.com", "http://127.0.0.1:8080/token", "http://localhost/x"])
def test_a_token_service_is_asked_over_tls_or_on_this_machine(url: str) -> None:
    assert check_token_url(url, "X") == url


@pytest.mark.parametrize("url", ["http://login.example.com", "file:///etc/passwd", "", "https://", "http://[x"])
def test_no_other_is_asked(url: str) -> None:
    with pytest.raises(UsageError, match="X must be a URL with https"):
        check_token_url(url, "X")


class Key(msgspec.Struct):
    secret: str


def test_a_file_that_holds_no_credentials_is_named_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    for content in (b"hidden", b'{"secret": 5, "x": "hidden"}', b"[" * 5000 + b"hidden", b"\xff hidden", b""):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not valid JSON, or incomplete") as caught:
            read_credentials(str(path), Key)
        assert "hidden" not in repr(caught.value)
    with pytest.raises(UsageError, match="No such file"):
        read_credentials(str(tmp_path / "none"), Key)
    with pytest.raises(UsageError):
        read_credentials("nul\0", Key)
    os.mkdir(tmp_path / "folder")
    with pytest.raises(UsageError):
        read_credentials(str(tmp_path / "folder"), Key)
