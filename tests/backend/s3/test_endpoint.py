"""Locations at s3:, and the hosts that their requests go to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.s3.endpoint import S3Address, S3Location, parse_s3
from pyrestic.errors import UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host/bucket/prefix", ("https", "host", "bucket", "prefix")),
        ("//host/bucket/prefix", ("https", "host", "bucket", "prefix")),
        ("s3.amazonaws.com/bucket", ("https", "s3.amazonaws.com", "bucket", "")),
        ("http://host:9000/bucket/a/b/", ("http", "host:9000", "bucket", "a/b")),
        ("https://host:443/bucket/", ("https", "host", "bucket", "")),
        ("http://[::1]:9000/bucket", ("http", "[::1]:9000", "bucket", "")),
        ("host/bucket/a//b/../c/.", ("https", "host", "bucket", "a/c")),
        ("host/bucket/.", ("https", "host", "bucket", "")),
        ("host/bucket//a", ("https", "host", "bucket", "/a")),
        ("http://host/bucket/a%20b", ("http", "host", "bucket", "a b")),
        ("host/bucket/a%20b", ("https", "host", "bucket", "a%20b")),
        ("http://user:secret@host/bucket/x", ("http", "host", "bucket", "x")),
    ],
)
def test_locations_are_read_as_restic_reads_them(text: str, parts: tuple[str, ...]) -> None:
    assert parse_s3(text) == S3Location(*parts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host/",
        "//",
        "/bucket",
        "http://",
        "http:///bucket",
        "httpx://host/bucket",
        "ho st/bucket",
        "host\n/bucket",
        "host/b\nucket",
        "http://[/bucket",
        "host/../x",
        "host/bucket/../x",
        "host/bucket/a/../../x",
        "host/bu?cket/x",
        "h@x/bucket",
    ],
)
def test_a_location_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_s3(text)


@given(st.text() | st.text("htp:/s.#?@%-[]a0 "))
def test_any_text_is_a_location_or_a_usage_error(text: str) -> None:
    try:
        location = parse_s3(text)
    except UsageError:
        return
    url = S3Address(location, region="", lookup="auto").make_url("", "")
    assert url.startswith(f"{location.scheme}://")
    assert url.isascii()
    assert url.isprintable()


def address(text: str, region: str = "", lookup: str = "auto") -> S3Address:
    return S3Address(parse_s3(text), region=region, lookup=lookup)


def test_a_second_slash_is_refused_where_it_would_not_be_sent() -> None:
    with pytest.raises(UsageError, match="second slash"):
        address("s3.amazonaws.com/bucket//a")
    path = address("s3.amazonaws.com/bucket//a", lookup="path").make_url("/a/config", "")
    assert path == "https://s3.dualstack.us-east-1.amazonaws.com/bucket//a/config"


@pytest.mark.parametrize(
    ("text", "region", "lookup", "url"),
    [
        ("http://host:9000/bucket", "", "auto", "http://host:9000/bucket/key?q=1"),
        ("host/bucket", "", "dns", "https://bucket.host/key?q=1"),
        ("s3.amazonaws.com/bucket", "", "auto", "https://bucket.s3.dualstack.us-east-1.amazonaws.com/key?q=1"),
        ("s3.amazonaws.com/bucket", "eu-west-1", "auto", "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/key?q=1"),
        ("s3.amazonaws.com/bucket", "", "path", "https://s3.dualstack.us-east-1.amazonaws.com/bucket/key?q=1"),
        ("s3.amazonaws.com/a.b", "", "auto", "https://s3.dualstack.us-east-1.amazonaws.com/a.b/key?q=1"),
        ("s3-eu-west-1.amazonaws.com/x", "", "auto", "https://x.s3.dualstack.eu-west-1.amazonaws.com/key?q=1"),
        ("s3.cn-north-1.amazonaws.com.cn/x", "", "auto", "https://x.s3.dualstack.cn-north-1.amazonaws.com.cn/key?q=1"),
        ("s3-fips.us-west-2.amazonaws.com/x", "", "auto", "https://s3-fips.us-west-2.amazonaws.com/x/key?q=1"),
        ("storage.googleapis.com/x", "", "auto", "https://x.storage.googleapis.com/key?q=1"),
    ],
)
def test_requests_go_to_the_host_of_the_bucket(text: str, region: str, lookup: str, url: str) -> None:
    assert address(text, region, lookup).make_url("key", "q=1") == url


def test_a_bucket_has_a_url_of_its_own() -> None:
    assert address("host/bucket").make_url("", "") == "https://host/bucket"
    assert address("s3.amazonaws.com/b").make_url("", "x=") == "https://b.s3.dualstack.us-east-1.amazonaws.com/?x="


def test_another_region_is_used_if_it_can_be_one() -> None:
    known = address("s3.amazonaws.com/bucket")
    for name in ("us-east-1", "", "evil.example/", "x", "eu-west-1.evil", "eu west 1"):
        assert not known.learn_region(name)
    assert known.learn_region("eu-central-1")
    assert known.make_url("", "").startswith("https://bucket.s3.dualstack.eu-central-1.amazonaws.com/")
    assert address("host/bucket").learn_region("fr-par")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/bucket",
        "https://bucket.s3.evil.amazonaws.com/",
        "https://s3-x.us-east-1.elb.amazonaws.com/",
        "https://ec2-1-2-3-4.compute-1.amazonaws.com/",
        "http://bucket.s3.eu-west-1.amazonaws.com/",
        "https://user@bucket.s3.eu-west-1.amazonaws.com/",
        "https://bucket.s3.eu-west-1.amazonaws.com.evil.example/",
        "https://other.s3.eu-west-1.amazonaws.com/",
        "//x",
        "https://[",
        "",
    ],
)
def test_a_redirect_to_another_service_is_not_followed(url: str) -> None:
    known = address("s3.amazonaws.com/bucket")
    before = known.make_url("k", "")
    assert not known.learn_host(url)
    assert known.make_url("k", "") == before


def test_a_redirect_within_the_service_is_followed() -> None:
    known = address("s3.amazonaws.com/bucket")
    assert known.learn_host("https://bucket.s3-us-west-2.amazonaws.com/x?y")
    assert known.make_url("k", "") == "https://bucket.s3-us-west-2.amazonaws.com/k"
    other = address("http://host.example:9000/bucket")
    assert other.learn_host("http://eu.host.example:9000/bucket/k")
    assert other.make_url("k", "") == "http://eu.host.example:9000/bucket/k"
    assert not other.learn_host("https://host.example:9000/bucket/k")
    assert not other.learn_host("http://host.example:9001/bucket/k")
