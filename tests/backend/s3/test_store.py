"""Pages of a listing, as any service may write them."""

from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.objects import ListedObject
from pyrestic.backend.s3.store import read_page
from pyrestic.errors import TransientError

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
