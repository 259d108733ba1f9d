"""Our signatures are those of the vendor's library."""

import base64

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.azure.signer import Bearer, SharedKey, make_sas, make_shared_key
from pyrestic.backend.http import Answer
from pyrestic.backend.leases import Lease, Leased
from pyrestic.errors import AccessError, UsageError

ACCOUNT = "acct"
KEY = base64.b64encode(b"a key of 32 bytes, or nearly so.").decode()
URL = f"https://{ACCOUNT}.blob.core.windows.net/container"
OK = Answer(200, {}, b"")


def sent_by_us(method: str, url: str, headers: dict[str, str], length: int) -> str:
    sent: list[str] = []

    def send(url: str, headers: object) -> Answer:
        assert isinstance(headers, dict)
        sent.append(headers["Authorization"])
        return OK

    make_shared_key(ACCOUNT, KEY).send(method, url, headers, length, send)
    return sent[0]


def sent_by_the_vendor(method: str, url: str, headers: dict[str, str], length: int) -> str:
    full = {**headers, **({"Content-Length": str(length)} if length else {})}
    request = HttpRequest(method, url, headers=full)
    # The library takes the path and the query from what it will send.
    pipeline = PipelineRequest(request, PipelineContext(None))
    policy = SharedKeyCredentialPolicy(ACCOUNT, KEY)
    policy.on_request(pipeline)
    return str(request.headers["Authorization"])


REQUESTS = [
    ("GET", URL + "?restype=container", {}, 0),
    ("PUT", URL + "?restype=container", {}, 0),
    ("GET", URL + "?restype=container&comp=list&prefix=a%2Fdata%2F&maxresults=5000&marker=2%21a%3D%3D", {}, 0),
    ("PUT", URL + "/a/data/ab/abcd", {"Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww==", "x-ms-blob-type": "BlockBlob"}, 1234),
    ("PUT", URL + "/a?comp=block&blockid=XrY7u%2BAe7tCTyyK7j1rNww%3D%3D", {"Content-MD5": "a=="}, 5),
    ("GET", URL + "/with%20space/%C3%BC", {"x-ms-range": "bytes=5-9"}, 0),
    ("HEAD", URL + "/a", {"If-Match": "x", "Content-Type": "text/plain"}, 0),
    ("DELETE", URL + "/a/b", {}, 0),
]


@pytest.mark.parametrize(("method", "url", "headers", "length"), REQUESTS)
def test_a_request_is_signed_as_by_the_vendor(method: str, url: str, headers: dict[str, str], length: int) -> None:
    full = {"x-ms-version": "2021-12-02", "x-ms-date": "Mon, 30 Nov 2026 12:00:00 GMT", **headers}
    assert sent_by_us(method, url, full, length) == sent_by_the_vendor(method, url, full, length)


TEXT = st.text("abcXYZ019-_.~", min_size=1, max_size=8)


@given(
    st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]),
    st.lists(TEXT.filter(lambda text: text.strip(".") != ""), max_size=3),
    st.dictionaries(st.text("abxyz", min_size=1), TEXT, max_size=3),
    st.dictionaries(st.text("abxyz", min_size=1).map(lambda text: f"x-ms-{text}"), TEXT, max_size=3),
    st.integers(0, 1 << 40),
)
def test_any_request_is_signed_as_by_the_vendor(
    method: str, path: list[str], query: dict[str, str], headers: dict[str, str], length: int
) -> None:
    url = "/".join([URL, *path]) + ("?" if query else "") + "&".join(f"{name}={query[name]}" for name in query)
    full = {"x-ms-date": "Mon, 30 Nov 2026 12:00:00 GMT", **headers}
    assert sent_by_us(method, url, full, length) == sent_by_the_vendor(method, url, full, length)


def test_a_sas_is_added_to_the_query() -> None:
    urls: list[str] = []

    def send(url: str, headers: object) -> Answer:
        urls.append(url)
        return OK

    for text in ("sv=1&sig=a%2B", "?sv=1&sig=a%2B"):
        make_sas(text).send("GET", "https://host/c", {}, 0, send)
        make_sas(text).send("GET", "https://host/c?comp=list", {}, 0, send)
    assert urls == ["https://host/c?sv=1&sig=a%2B", "https://host/c?comp=list&sv=1&sig=a%2B"] * 2


@pytest.mark.parametrize("text", ["?", "sv=1", "sig=a b", "sig=a\r\nX: y", "sig=ü", "sig=a#b"])
def test_what_is_no_sas_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_sas(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("key", ["not base64!", "YQ", "ü"])
def test_what_is_no_key_is_refused_without_its_text(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_shared_key(ACCOUNT, key)
    assert key not in str(caught.value)


def test_no_secret_is_shown() -> None:
    shown = repr([SharedKey(ACCOUNT, b"hidden"), make_sas("sig=hidden"), Bearer(Leased(lambda: Lease("hidden")))])
    assert "hidden" not in shown


def test_a_token_is_renewed_once_if_it_is_rejected() -> None:
    tokens = iter(["first", "second", "third"])
    sent: list[str] = []

    def send(url: str, headers: object) -> Answer:
        assert isinstance(headers, dict)
        sent.append(headers["Authorization"])
        return Answer(200 if sent[-1] == "Bearer second" else 401, {}, b"")

    bearer = Bearer(Leased(lambda: Lease(next(tokens))))
    assert bearer.send("GET", URL, {}, 0, send).status == 200
    assert sent == ["Bearer first", "Bearer second"]
    sent.clear()
    stale = Bearer(Leased(lambda: Lease("stale")))
    with pytest.raises(AccessError, match="rejects the access token"):
        stale.send("GET", URL, {}, 0, send)
    assert sent == ["Bearer stale"] * 2
