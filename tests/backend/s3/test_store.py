"""Pages of a listing, as any service may write them."""

from collections.abc import Iterator
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease, Leased
from pyrestic.backend.objects import ListedObject
from pyrestic.backend.s3.caller import S3Caller
from pyrestic.backend.s3.endpoint import S3Address, parse_s3
from pyrestic.backend.s3.signer import S3Key
from pyrestic.backend.s3.store import S3Store, read_page
from pyrestic.errors import NotFoundError, TransientError
from tests.support.scripted import ScriptedServer, answer, scripted
from tests.support.stores import check_that_nothing_is_absent

_keys = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), min_size=1
)
_objects = st.lists(st.builds(ListedObject, _keys, st.integers(0, 1 << 50)), max_size=20)


def write_page(objects: list[ListedObject], *, url: bool, tail: str = "") -> bytes:
    encode = (lambda key: quote_plus(key, safe="/")) if url else escape
    listed = "".join(f"<Contents><Key>{encode(key)}</Key><Size>{size}</Size></Contents>" for key, size in objects)
    kind = "<EncodingType>url</EncodingType>" if url else ""
    return f'<ListBucketResult xmlns="http://s3/">{kind}{listed}{tail}</ListBucketResult>'.encode()


@given(_objects, st.booleans())
def test_the_objects_of_a_page_are_read(objects: list[ListedObject], url: bool) -> None:
    page = read_page(write_page(objects, url=url, tail="<IsTruncated>false</IsTruncated>"), "listing")
    assert page == (objects, "")


@pytest.mark.parametrize(
    ("tail", "marker"),
    [
        ("<IsTruncated>true</IsTruncated><NextContinuationToken>a+b%2F</NextContinuationToken>", "a+b%2F"),
        ("<IsTruncated>true</IsTruncated><NextMarker>a%2Bb</NextMarker>", "a+b"),
        ("<IsTruncated>true</IsTruncated>", "last key"),
        ("<NextMarker>a</NextMarker>", ""),
        ("<IsTruncated> True\n</IsTruncated><NextContinuationToken>a</NextContinuationToken>", "a"),
        ("<IsTruncated>1</IsTruncated><NextContinuationToken>a</NextContinuationToken>", "a"),
        ("<IsTruncated>T</IsTruncated>", "last key"),
        ("<NextContinuationToken>a</NextContinuationToken>", "a"),
        ("<IsTruncated>false</IsTruncated><NextContinuationToken>a</NextContinuationToken>", "a"),
        ("<IsTruncated>False</IsTruncated>", ""),
        ("<IsTruncated>0</IsTruncated>", ""),
    ],
)
def test_the_next_page_begins_where_the_service_says(tail: str, marker: str) -> None:
    assert read_page(write_page([ListedObject("last key", 1)], url=True, tail=tail), "listing").next_marker == marker


@given(st.binary(max_size=200) | st.text("<>/?!&;LisBucktRe =\"'[]-").map(str.encode))
def test_any_bytes_are_a_page_or_a_failure(data: bytes) -> None:
    try:
        read_page(data, "listing")
    except TransientError as error:
        assert "did not come from" in str(error)  # noqa: PT017 - most succeed


@pytest.mark.parametrize(
    "body",
    [
        b"<html/>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>yes</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>１</Size></Contents></ListBucketResult>".encode(),
    ],
)
def test_a_page_that_makes_no_sense_is_retried_a_few_times(body: bytes) -> None:
    with pytest.raises(TransientError) as caught:
        read_page(body, "listing")
    assert caught.value.attempts


@pytest.fixture
def service() -> Iterator[ScriptedServer]:
    with scripted(lambda method, path: answer(404, b"404 page not found")) as server:
        yield server


@pytest.fixture
def store(service: ScriptedServer) -> Iterator[S3Store]:
    client = HttpClient(HttpSettings(stall_seconds=5), 1)
    address = S3Address(parse_s3(f"http://{service.address}/b"), region="us-east-1", lookup="path")
    yield S3Store(S3Caller(client, Leased(lambda: Lease(S3Key("a", "b"))), address))
    client.close()


@pytest.mark.parametrize("call", ["prepare", "put", "get", "find_length", "list_page", "delete"])
def test_a_404_that_did_not_come_from_the_service_means_nothing(store: S3Store, call: str) -> None:
    check_that_nothing_is_absent(store, call)


def test_removing_succeeds_only_if_the_service_says_so(service: ScriptedServer, store: S3Store) -> None:
    for code in ("NoSuchKey", "NoSuchBucket"):
        body = f"<Error><Code>{code}</Code></Error>".encode()
        service.reply = lambda method, path, body=body: answer(404, body)  # type: ignore[misc]
        if code == "NoSuchKey":
            store.delete("a")
        else:
            with pytest.raises(NotFoundError):
                store.delete("a")
    service.reply = lambda method, path: answer(200, b"<html/>")
    with pytest.raises(TransientError):
        store.delete("a")
