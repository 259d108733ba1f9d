"""Requests of Google Cloud Storage: buckets, tokens, and whatever a service answers."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.gs.store import GoogleBucket, GoogleStore
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease, Leased
from pyrestic.backend.objects import ListedObject, ObjectPage, list_objects
from pyrestic.errors import AccessError, BackendError, NotFoundError, TransientError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.clouds import open_cloud, shared_cloud
from tests.support.rsa_key import private_pem
from tests.support.scripted import ScriptedServer, answer, scripted
from tests.support.stores import check_that_nothing_is_absent
from tools.place_servers.gs import GoogleServer

DATA = b"content"
MD5 = base64.b64encode(hashlib.md5(DATA, usedforsecurity=False).digest()).decode()
PACK = Handle(FileType.PACK, hash_id(DATA).hex())


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    reply = json.dumps({"name": "a", "size": str(len(DATA)), "md5Hash": MD5}).encode()
    with scripted(lambda method, path: answer(200, reply)) as server:
        yield server


@pytest.fixture
def store(service: ScriptedServer) -> Iterator[GoogleStore]:
    client = HttpClient(HttpSettings(stall_seconds=5), 1)
    bucket = GoogleBucket("a-bucket", "a-project", "eu")
    yield GoogleStore(client, Leased(lambda: Lease("t0ken")), f"http://{service.address}", bucket)
    client.close()


def test_an_upload_is_one_request_with_its_hash(service: ScriptedServer, store: GoogleStore) -> None:
    store.put("p/a b", memoryview(DATA), archivable=True)
    ((method, path, headers),) = service.requests
    assert method == "POST"
    assert path.startswith("/upload/storage/v1/b/a-bucket/o?uploadType=multipart&name=p%2Fa+b")
    boundary = headers.partition("boundary=")[2].partition("\r\n")[0]
    _, described, content, end = service.bodies[0].split(f"--{boundary}".encode())
    assert json.loads(described.partition(b"\r\n\r\n")[2])["md5Hash"] == MD5
    assert content.partition(b"\r\n\r\n")[2] == DATA + b"\r\n"
    assert end == b"--\r\n"
    assert "Authorization: Bearer t0ken" in headers


@pytest.mark.parametrize(
    "reply",
    [{"name": "a", "size": "7", "md5Hash": "YQ=="}, {"name": "a", "size": "8", "md5Hash": MD5}, {}, 5, "<html>"],
)
def test_another_object_than_that_of_the_upload_is_no_success(
    service: ScriptedServer, store: GoogleStore, reply: object
) -> None:
    service.reply = lambda method, path: answer(200, json.dumps(reply).encode())
    with pytest.raises(TransientError, match=r"stored something else|did not come from"):
        store.put("a", memoryview(DATA), archivable=True)


def test_a_bucket_is_made_where_the_user_says(service: ScriptedServer, store: GoogleStore) -> None:
    replies = [answer(200, b'{"name": "a-bucket"}'), answer(404, b'{"error": {"code": 404}}')]
    service.reply = lambda method, path: replies.pop()
    store.prepare()
    assert service.requests[1][:2] == ("POST", "/storage/v1/b?project=a-project&fields=name")
    assert json.loads(service.bodies[1]) == {"name": "a-bucket", "location": "eu"}


def test_a_bucket_that_credentials_may_not_look_at_is_used(service: ScriptedServer, store: GoogleStore) -> None:
    service.reply = lambda method, path: answer(403, b"{}")
    store.prepare()
    assert len(service.requests) == 1


@pytest.mark.process
def test_a_missing_bucket_is_named() -> None:
    server = shared_cloud("gs")
    environment = {name: value for name, value in server.environment.items() if name != "GOOGLE_PROJECT_ID"}
    backend = open_cloud(server, "missing-bucket/p", environment=environment)
    with pytest.raises(AccessError, match="no bucket missing-bucket, and the variable GOOGLE_PROJECT_ID is empty"):
        backend.create()
    with pytest.raises(NotFoundError):
        backend.load(PACK)
    with pytest.raises(NotFoundError, match="no bucket missing-bucket"):
        list(backend.list(FileType.PACK))
    with pytest.raises(NotFoundError, match="no bucket missing-bucket"):
        backend.save(PACK, DATA)
    backend.close()


@pytest.mark.process
def test_a_service_account_works_and_its_token_is_renewed_once_it_is_rejected(tmp_path: Path) -> None:
    server = shared_cloud("gs")
    assert isinstance(server, GoogleServer)
    issued: list[str] = []

    def issue(method: str, path: str) -> bytes:
        issued.append(f"token-{len(issued)}")
        server.gate.tokens.add(issued[-1])
        return answer(200, json.dumps({"access_token": issued[-1], "expires_in": 3600}).encode())

    with scripted(issue) as service:
        account = {
            "type": "service_account",
            "client_email": "me@example.com",
            "private_key": private_pem(),
            "token_uri": f"http://{service.address}/token",
        }
        path = tmp_path / "key.json"
        path.write_text(json.dumps(account))
        environment = {**server.environment, "GOOGLE_ACCESS_TOKEN": "", "GOOGLE_APPLICATION_CREDENTIALS": str(path)}
        backend = open_cloud(server, "accounts/p", environment=environment)
        backend.create()
        backend.save(PACK, DATA)
        server.gate.tokens.discard("token-0")
        assert backend.load(PACK) == DATA
        assert issued == ["token-0", "token-1"]
        backend.close()


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "authError", AccessError),
        (403, "forbidden", AccessError),
        (403, "rateLimitExceeded", TransientError),
        (403, "retentionPolicyNotMet", AccessError),
        (404, "notFound", NotFoundError),
        (429, "rateLimitExceeded", TransientError),
        (503, "backendError", TransientError),
        (412, "conditionNotMet", BackendError),
        (302, "", TransientError),
    ],
)
def test_a_failure_is_named(
    service: ScriptedServer, store: GoogleStore, status: int, reason: str, kind: type[BackendError]
) -> None:
    body = json.dumps({"error": {"code": status, "message": "words", "errors": [{"reason": reason}]}}).encode()
    service.reply = lambda method, path: answer(status, body)
    with pytest.raises(kind) as caught:
        store.put("a", memoryview(DATA), archivable=True)
    assert isinstance(caught.value, TransientError) == (kind is TransientError)
    assert "t0ken" not in repr(caught.value)


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"items": 5}', b'{"items": [{"size": "-1"}]}', b"<x/>"])
def test_a_listing_that_is_none_is_refused(service: ScriptedServer, store: GoogleStore, body: bytes) -> None:
    service.reply = lambda method, path: answer(200, body)
    with pytest.raises(TransientError, match="did not come from Google Cloud Storage"):
        store.list_page("p/", "")
    if b"items" not in body:
        with pytest.raises(TransientError, match="did not come from Google Cloud Storage"):
            store.find_length("p/a")


def test_a_listing_of_nothing_has_a_kind(service: ScriptedServer, store: GoogleStore) -> None:
    service.reply = lambda method, path: answer(200, b'{"kind": "storage#objects"}')
    assert store.list_page("p/", "") == ObjectPage([], "")


@pytest.mark.parametrize("call", ["prepare", "put", "get", "find_length", "list_page", "delete"])
def test_a_404_that_did_not_come_from_google_means_nothing(
    service: ScriptedServer, store: GoogleStore, call: str
) -> None:
    service.reply = lambda method, path: answer(404, b"404 page not found")
    check_that_nothing_is_absent(store, call)


def test_pages_go_on_by_token(service: ScriptedServer, store: GoogleStore) -> None:
    page = {"kind": "storage#objects", "items": [{"name": "p/a", "size": "5"}], "nextPageToken": "n/ x"}
    service.reply = lambda method, path: answer(200, json.dumps(page).encode())
    assert store.list_page("p/", "a=b") == ObjectPage([ListedObject("p/a", 5)], "n/ x")
    assert "pageToken=a%3Db" in service.requests[0][1]
    with pytest.raises(BackendError, match="do not end"):
        list(list_objects(store, "p/"))


@given(st.binary(max_size=300))
def test_any_error_body_fits_on_a_line(body: bytes) -> None:
    from pyrestic.backend.gs.errors import google_error
    from pyrestic.backend.http import Answer

    for status in (200, 400, 403, 404, 500):
        assert str(google_error(Answer(status, {}, body), "listing")).isprintable()


def test_an_emulator_is_a_host_or_a_url() -> None:
    from pyrestic.backend.location import Access, open_backend, parse_location

    for text in ("ftp://host", "http://a b", "http://user@host"):
        environment = {"STORAGE_EMULATOR_HOST": text, "GOOGLE_ACCESS_TOKEN": "x"}
        with pytest.raises(UsageError, match="STORAGE_EMULATOR_HOST"):
            open_backend(parse_location("gs:bucket:/"), {}, Access(environment))
