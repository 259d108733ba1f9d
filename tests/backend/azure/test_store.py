"""Requests of Azure Blob Storage: tiers, blocks, and whatever a service answers."""

import email.utils
import json
import time
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.azure.identities import RESOURCE
from pyrestic.backend.azure.signer import make_shared_key
from pyrestic.backend.azure.store import AzureStore, read_page
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.identity.oauth import sign_assertion
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.objects import ListedObject, ObjectBackend, ObjectPage
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, BackendError, NotFoundError, TransientError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.clouds import new_path, open_cloud, open_shared_cloud, shared_cloud
from tests.support.rsa_key import private_pem
from tests.support.scripted import ScriptedServer, answer, scripted
from tests.support.stores import check_that_nothing_is_absent
from tools.place_servers.azure import AzureServer, make_account_sas

ID = "x-ms-request-id: 5"
DATA = b"content"
PACK = Handle(FileType.PACK, hash_id(DATA).hex())


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    with scripted(lambda method, path: answer(201, b"", ID)) as server:
        yield server


@pytest.fixture
def open_store(service: ScriptedServer) -> Iterator[Callable[[str], AzureStore]]:
    client = HttpClient(HttpSettings(stall_seconds=5), 1)

    def make(tier: str = "") -> AzureStore:
        return AzureStore(client, make_shared_key("acct", "YQ=="), f"http://{service.address}/c", tier)

    yield make
    client.close()


@pytest.mark.parametrize("tier", ["", "Hot", "Cold", "Archive"])
def test_packs_of_file_content_alone_go_to_the_archive(
    service: ScriptedServer, open_store: Callable[[str], AzureStore], tier: str
) -> None:
    for archivable in (True, False):
        open_store(tier).put("a", memoryview(DATA), archivable=archivable)
        sent = service.requests[-1][2]
        expected = tier if archivable or tier != "Archive" else ""
        assert (f"x-ms-access-tier: {expected}" in sent) if expected else ("x-ms-access-tier" not in sent)


@pytest.mark.parametrize(("text", "tier"), [("cOOl", "Cool"), ("archive", "Archive"), ("", ""), ("unknown", "")])
def test_a_tier_is_found_in_any_case_and_another_is_the_accounts(text: str, tier: str) -> None:
    environment = {"AZURE_ACCOUNT_NAME": "acct", "AZURE_ACCOUNT_KEY": "YQ=="}
    options = {"azure.access-tier": text} if text else {}
    backend = open_backend(parse_location("azure:c:/p"), options, Access(environment))
    assert isinstance(backend, ObjectBackend)
    assert getattr(backend.store, "_tier", None) == tier
    backend.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "AZURE_ACCOUNT_NAME is empty"),
        ({"AZURE_ACCOUNT_NAME": "evil.example.com/"}, "contains no name of a storage account"),
        ({"AZURE_ACCOUNT_NAME": "acct", "AZURE_ENDPOINT_SUFFIX": "a/b"}, "contains no domain"),
    ],
)
def test_what_is_missing_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_backend(parse_location("azure:c:/p"), {}, Access(environment))


@pytest.mark.process
def test_a_long_file_is_stored_in_blocks() -> None:
    backend = open_shared_cloud("azure")
    backend.create()
    store = backend.store
    assert isinstance(store, AzureStore)
    store.single_bytes, store.block_bytes = 1000, 300
    # Equal blocks have the same name.
    data = b"a" * 900 + b"b" * 150
    backend.save(PACK, data)
    assert backend.load(PACK) == data
    assert backend.load(PACK, 890, 30) == data[890:920]
    backend.save(PACK, data[::-1])
    assert backend.load(PACK) == data[::-1]
    backend.close()


@pytest.mark.process
@pytest.mark.parametrize("types", ["co", "o"])
def test_a_signature_may_be_limited_to_objects(types: str) -> None:
    server = shared_cloud("azure")
    assert isinstance(server, AzureServer)
    path = new_path()
    open_cloud(server, path).create()
    backend = open_cloud(server, path, environment={**server.way, "AZURE_ACCOUNT_SAS": make_account_sas(types=types)})
    backend.create()
    backend.save(PACK, DATA)
    assert backend.load(PACK) == DATA
    backend.close()


@pytest.mark.process
@pytest.mark.parametrize(
    "credentials",
    [{"AZURE_ACCOUNT_KEY": "YQ=="}, {"AZURE_ACCOUNT_SAS": make_account_sas(hours=-1)}, {"AZURE_ACCOUNT_SAS": "sig=x"}],
)
def test_wrong_credentials_end_at_once(credentials: dict[str, str]) -> None:
    server = shared_cloud("azure")
    assert isinstance(server, AzureServer)
    backend = open_cloud(server, new_path(), environment={**server.way, **credentials})
    with pytest.raises(AccessError, match=r"rejects the key or signature|AuthorizationFailure") as caught:
        RetryBackend(backend, on_retry=pytest.fail).load(PACK)
    assert "sig=" not in str(caught.value)
    backend.close()


@pytest.mark.process
def test_an_identity_works() -> None:
    server = shared_cloud("azure")
    assert isinstance(server, AzureServer)
    now = int(time.time())
    claims = {"aud": RESOURCE, "iss": "https://sts.windows.net/a-tenant/", "iat": now, "nbf": now, "exp": now + 600}
    token = sign_assertion(private_pem(), {}, claims)
    reply = json.dumps({"access_token": token, "expires_in": 600}).encode()
    with scripted(lambda method, path: answer(200, reply)) as authority:
        identity = {
            "AZURE_TENANT_ID": "a-tenant",
            "AZURE_CLIENT_ID": "an-application",
            "AZURE_CLIENT_SECRET": "a-secret",
            "AZURE_AUTHORITY_HOST": f"http://{authority.address}",
        }
        backend = open_cloud(server, new_path(), environment={**server.way, **identity})
        backend.create()
        backend.save(PACK, DATA)
        assert backend.load(PACK) == DATA
        assert len(authority.requests) == 1
        backend.close()


def test_a_wrong_clock_is_named(service: ScriptedServer, open_store: Callable[[], AzureStore]) -> None:
    date = email.utils.formatdate(time.time() - 3600, usegmt=True)
    service.reply = lambda method, path: answer(403, b"", "x-ms-error-code: AuthenticationFailed", f"Date: {date}")
    with pytest.raises(AccessError, match=r"it is (59|60|61) minutes ahead of Azure's"):
        open_store().find_length("a")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "BlobNotFound", NotFoundError),
        (404, "ContainerNotFound", NotFoundError),
        (409, "ContainerBeingDeleted", TransientError),
        (409, "BlobArchived", AccessError),
        (403, "AuthorizationFailure", AccessError),
        (400, "Md5Mismatch", TransientError),
        (503, "ServerBusy", TransientError),
        (500, "OperationTimedOut", TransientError),
        (400, "InvalidHeaderValue", BackendError),
        (302, "", TransientError),
        (200, "", TransientError),
    ],
)
def test_a_failure_is_named(
    service: ScriptedServer, open_store: Callable[[], AzureStore], status: int, code: str, kind: type[BackendError]
) -> None:
    body = f"<Error><Code>{code}</Code><Message>words\nRequestId:5</Message></Error>".encode()
    service.reply = lambda method, path: answer(status, body, f"x-ms-error-code: {code}")
    with pytest.raises(kind) as caught:
        open_store().put("a", memoryview(DATA), archivable=False)
    assert isinstance(caught.value, TransientError) == (kind is TransientError)
    assert "RequestId" not in str(caught.value)


@pytest.mark.parametrize("call", ["prepare", "put", "get", "find_length", "list_page", "delete"])
def test_a_404_that_did_not_come_from_azure_means_nothing(
    service: ScriptedServer, open_store: Callable[[], AzureStore], call: str
) -> None:
    service.reply = lambda method, path: answer(404, b"404 page not found")
    check_that_nothing_is_absent(open_store(), call)


def page(*names: str, marker: str = "") -> bytes:
    blobs = "".join(
        f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>5</Content-Length></Properties></Blob>"
        for name in names
    )
    return (
        f"\ufeff<?xml version='1.0'?><EnumerationResults><Blobs>{blobs}</Blobs>"
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
    ).encode()


def test_a_page_is_read() -> None:
    assert read_page(page("a", "b&c", marker="2!x"), "listing") == ObjectPage(
        [ListedObject("a", 5), ListedObject("b&c", 5)], "2!x"
    )
    assert read_page(b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>", "listing") == ObjectPage([], "")


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<EnumerationResults><NextMarker>&b;</NextMarker></EnumerationResults>"""
OUTSIDE = b"""<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<EnumerationResults><NextMarker>&a;</NextMarker></EnumerationResults>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        LAUGHS,
        OUTSIDE,
        page("a").replace(b">5<", b">-5<"),
        page("a").replace(b">5<", b">1e5<"),
        page("a").replace(b">5<", b">" + b"9" * 20 + b"<"),
        page("a").replace(b">5<", "\u0665".encode().join([b">", b"<"])),
        b"<EnumerationResults>" + b"<a>" * 5000,
        page("a")[:-5],
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(TransientError, match="did not come from Azure"):
        read_page(body, "listing")


@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda junk: page("a", "b")[:80] + junk + page("a")[80:]))
def test_any_body_is_a_page_or_refused(body: bytes) -> None:
    try:
        found = read_page(body, "listing")
    except TransientError:
        return
    assert all(0 <= listed.length < 10**16 for listed in found.objects)


def test_pages_that_do_not_end_are_given_up(service: ScriptedServer, open_store: Callable[[], AzureStore]) -> None:
    service.reply = lambda method, path: answer(200, page(marker=f"m{len(service.requests)}"))
    with pytest.raises(BackendError, match="do not end"):
        list(ObjectBackend(open_store(), "p").list(FileType.PACK))


def test_another_hash_than_that_of_the_upload_is_no_success(
    service: ScriptedServer, open_store: Callable[[], AzureStore]
) -> None:
    service.reply = lambda method, path: answer(201, b"", ID, "Content-MD5: YQ==")
    with pytest.raises(TransientError, match="stored something else"):
        open_store().put("a", memoryview(DATA), archivable=False)
