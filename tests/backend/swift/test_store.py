"""Requests of Swift: containers, tokens, and whatever a service answers."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease, Leased
from pyrestic.backend.objects import ListedObject, ObjectBackend, ObjectPage
from pyrestic.backend.swift.auth import SwiftAccess
from pyrestic.backend.swift.store import SwiftStore
from pyrestic.errors import AccessError, BackendError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.clouds import make_cloud, open_cloud, open_shared_cloud, shared_cloud
from tests.support.scripted import ScriptedServer, answer, scripted
from tests.support.stores import check_that_nothing_is_absent
from tools.place_servers.swift import KEY, SwiftServer

DATA = b"content"
PACK = Handle(FileType.PACK, hash_id(DATA).hex())


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    with scripted(lambda method, path: answer(201, b"")) as server:
        yield server


@pytest.fixture
def store(service: ScriptedServer) -> Iterator[SwiftStore]:
    client = HttpClient(HttpSettings(stall_seconds=5), 1)
    access = SwiftAccess("t0ken", f"http://{service.address}/v1/a")
    yield SwiftStore(client, Leased(lambda: Lease(access)), "a container")
    client.close()


@pytest.mark.process
def test_a_container_is_made_with_its_policy_by_init_alone() -> None:
    server = shared_cloud("swift")
    environment = {**server.environment, "SWIFT_DEFAULT_CONTAINER_POLICY": "silver"}
    backend = open_cloud(server, "made/p", environment=environment)
    with pytest.raises(NotFoundError, match="no container made"):
        backend.load(PACK)
    with pytest.raises(NotFoundError, match="no container made"):
        backend.save(PACK, DATA)
    with pytest.raises(NotFoundError, match="no container made"):
        list(backend.list(FileType.PACK))
    backend.create()
    store = backend.store
    assert isinstance(store, SwiftStore)
    with pytest.raises(NotFoundError, match="it does not exist"):
        backend.load(PACK)
    assert store._send("HEAD", "", "looking").headers["x-storage-policy"] == "silver"
    backend.close()


@pytest.mark.process
def test_a_policy_that_does_not_exist_ends_at_once() -> None:
    server = shared_cloud("swift")
    environment = {**server.environment, "SWIFT_DEFAULT_CONTAINER_POLICY": "none"}
    backend = open_cloud(server, "other/p", environment=environment)
    with pytest.raises(BackendError, match="creating the container other failed: Swift says 400"):
        backend.create()
    backend.close()


@pytest.mark.process
def test_a_user_without_rights_is_refused_with_a_sentence() -> None:
    server = shared_cloud("swift")
    open_cloud(server, "owned/p").create()
    backend = open_cloud(server, "owned/p", environment={**server.environment, "ST_USER": "test:guest"})
    with pytest.raises(AccessError, match="Swift says 403"):
        backend.load(PACK)
    backend.close()


@pytest.mark.process
def test_a_token_that_expires_is_renewed(tmp_path: Path) -> None:
    server = make_cloud("swift", tmp_path / "swift")
    assert isinstance(server, SwiftServer)
    server.start()
    try:
        backend = open_cloud(server, "c/p")
        backend.create()
        backend.save(PACK, DATA)
        # Its tokens are in memory.
        server.kill()
        server.start()
        assert backend.load(PACK) == DATA
        backend.close()
    finally:
        server.close()


@pytest.mark.process
def test_a_listing_goes_on_by_marker() -> None:
    backend = open_shared_cloud("swift")
    backend.create()
    names = {hash_id(b"%d" % number).hex() for number in range(25)}
    for name in names:
        backend.save(Handle(FileType.KEY, name), DATA)
    assert {info.name for info in backend.list(FileType.KEY)} == names
    backend.close()


@pytest.mark.parametrize("count", [1, 1000])
def test_a_page_with_names_is_not_the_last(service: ScriptedServer, store: SwiftStore, count: int) -> None:
    entries = [{"name": f"p/{number:04}", "bytes": 5} for number in range(count)]
    service.reply = lambda method, path: answer(200, json.dumps(entries).encode())
    page = store.list_page("p/", "p/a b")
    assert page.next_marker == f"p/{count - 1:04}"
    assert page.objects[0] == ListedObject("p/0000", 5)
    assert service.requests[0][1] == "/v1/a/a%20container?format=json&prefix=p%2F&marker=p%2Fa%20b"
    entries.clear()
    assert store.list_page("p/", "") == ObjectPage([], "")


def test_a_server_that_lists_few_names_at_a_time_hides_none(service: ScriptedServer, store: SwiftStore) -> None:
    names = [f"keys/{hash_id(b'%d' % number).hex()}" for number in range(25)]
    pages = [names[start : start + 10] for start in range(0, 30, 10)]
    replies = iter([*pages, []])
    service.reply = lambda method, path: answer(
        200, json.dumps([{"name": name, "bytes": 5} for name in next(replies)]).encode()
    )
    assert len(list(ObjectBackend(store, "").list(FileType.KEY))) == 25
    assert len(service.requests) == 4


@pytest.mark.parametrize("last", [{"bytes": 5}, {"name": "", "bytes": 5}, {"subdir": "p/"}, {"name": "p/b"}])
def test_an_entry_that_is_no_object_is_an_error(
    service: ScriptedServer, store: SwiftStore, last: dict[str, object]
) -> None:
    service.reply = lambda method, path: answer(200, json.dumps([{"name": "p/a", "bytes": 5}, last]).encode())
    with pytest.raises(TransientError, match="did not come from Swift"):
        store.list_page("p/", "")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessError),
        (403, AccessError),
        (413, AccessError),
        (404, NotFoundError),
        (422, TransientError),
        (498, TransientError),
        (503, TransientError),
        (302, TransientError),
        (412, BackendError),
        (501, BackendError),
    ],
)
def test_a_failure_is_named(service: ScriptedServer, store: SwiftStore, status: int, kind: type[BackendError]) -> None:
    service.reply = lambda method, path: answer(status, b"<html>", "X-Trans-Id: tx1")
    with pytest.raises(kind) as caught:
        store.put("a", memoryview(DATA), archivable=True)
    assert isinstance(caught.value, TransientError) == (kind is TransientError)
    assert "t0ken" not in repr(caught.value)


@pytest.mark.parametrize("call", ["prepare", "put", "get", "find_length", "list_page", "delete"])
def test_a_404_that_did_not_come_from_swift_means_nothing(
    service: ScriptedServer, store: SwiftStore, call: str
) -> None:
    service.reply = lambda method, path: answer(404, b"404 page not found")
    check_that_nothing_is_absent(store, call)


def test_another_hash_than_that_of_the_upload_is_no_success(service: ScriptedServer, store: SwiftStore) -> None:
    for etag, said in (("", "did not come from Swift"), ("Etag: abc", "stored something else")):
        service.reply = lambda method, path, etag=etag: answer(201, b"", *([etag] if etag else []))  # type: ignore[misc]
        with pytest.raises(TransientError, match=said):
            store.put("a", memoryview(DATA), archivable=True)
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    service.reply = lambda method, path: answer(201, b"", f"Etag: {md5}")
    store.put("a", memoryview(DATA), archivable=True)


def test_pages_that_do_not_end_are_given_up(service: ScriptedServer, store: SwiftStore) -> None:
    entries = [{"name": "data/00", "bytes": 5}] * 1000
    service.reply = lambda method, path: answer(200, json.dumps(entries).encode())
    with pytest.raises(BackendError, match="do not end"):
        list(ObjectBackend(store, "").list(FileType.PACK))


@given(
    st.binary(max_size=200)
    | st.lists(
        st.fixed_dictionaries({}, optional={"name": st.text() | st.none(), "bytes": st.integers() | st.text()})
    ).map(lambda entries: json.dumps(entries).encode())
)
def test_any_body_is_a_page_or_refused(body: bytes) -> None:
    with scripted(lambda method, path: answer(200, body)) as service:
        client = HttpClient(HttpSettings(stall_seconds=5), 1)
        access = SwiftAccess("t0ken", f"http://{service.address}")
        store = SwiftStore(client, Leased(lambda: Lease(access)), "c")
        try:
            page = store.list_page("", "")
        except TransientError:
            return
        finally:
            client.close()
        assert all(listed.key and 0 <= listed.length < 1 << 53 for listed in page.objects)


@pytest.mark.process
def test_the_key_is_in_no_message() -> None:
    server = shared_cloud("swift")
    backend = open_cloud(server, "c/p", environment={**server.environment, "ST_USER": "test:nobody"})
    with pytest.raises(AccessError) as caught:
        backend.load(PACK)
    assert KEY not in repr(caught.value)
    backend.close()
