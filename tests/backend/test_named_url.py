"""A URL in a response is used only if it leads to the service that was asked, over a line as safe as before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.named_url import check_named_url, is_related
from pyrestic.errors import AccessError

ASKED = "https://auth.cloud.example.net/v3"


def check(url: str, endpoint: str = ASKED) -> str:
    return check_named_url(url, endpoint, "the storage", "a hint")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://auth.cloud.example.net/v1/a", ASKED),
        ("https://storage.gra.cloud.example.net:8080/v1/AUTH_a", ASKED),
        ("https://example.net/", ASKED),
        ("http://10.0.0.5:8080/v1", "http://10.0.0.5:5000/v3"),
        ("https://10.0.0.5:8080/v1", "http://10.0.0.5:5000/v3"),
        ("http://127.0.0.1:8080/v1/AUTH_test", "http://localhost:5000/v3"),
        ("https://[2001:db8::1]/v1", "https://[2001:db8::1]:5000/v3"),
        ("https://store.example.co.uk/", "https://auth.example.co.uk/v3"),
        ("https://store/", "https://store/v3"),
    ],
)
def test_a_url_of_the_same_service_is_used(url: str, endpoint: str) -> None:
    assert check(url, endpoint) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://storage.example.org/v1", ASKED),
        ("https://example.net.evil.org/", ASKED),
        ("https://evilexample.net/", ASKED),
        ("http://auth.cloud.example.net/v1", ASKED),
        ("https://127.0.0.1/v1", ASKED),
        ("http://localhost:8080/v1", "http://10.0.0.5:5000/v3"),
        ("http://10.0.0.5/", "http://127.0.0.1:5000/v3"),
        ("http://10.0.0.6:8080/v1", "http://10.0.0.5:5000/v3"),
        ("https://evil.co.uk/", "https://auth.example.co.uk/v3"),
        ("https://evil.com.au/", "https://auth.example.com.au/v3"),
        ("https://[2001:db8::2]/v1", "https://[2001:db8::1]:5000/v3"),
        ("https://user:pass@auth.cloud.example.net/", ASKED),
        ("https://auth.cloud.example.net\\@evil.org/", ASKED),
        ("https://auth.cloud.example.net:0/", ASKED),
        ("https://auth.cloud.example.net:port/", ASKED),
        ("ftp://auth.cloud.example.net/", ASKED),
        ("//auth.cloud.example.net/", ASKED),
        ("https://auth.cloud.example.net/ x", ASKED),
        ("https://auth.cloud.example.net/\r\nHost: evil", ASKED),
        ("", ASKED),
        ("net", ASKED),
    ],
)
def test_any_other_url_is_refused(url: str, endpoint: str) -> None:
    with pytest.raises(AccessError):
        check(url, endpoint)


LABEL = st.text("abcdefghij", min_size=4, max_size=8)


@given(st.lists(LABEL, min_size=2, max_size=4), st.lists(LABEL, max_size=3), st.lists(LABEL, max_size=3))
def test_hosts_of_one_domain_are_related_either_way(domain: list[str], one: list[str], other: list[str]) -> None:
    first, second = ".".join([*one, *domain]), ".".join([*other, *domain])
    assert is_related(first, second)
    assert is_related(second, first)
    assert not is_related(first, f"{second}x")
