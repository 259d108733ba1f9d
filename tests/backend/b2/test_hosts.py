"""Hosts that a service may name in its answers."""

import pytest

from pyrestic.backend.b2.hosts import check_url
from pyrestic.errors import AccessError

VENDOR = "https://api.backblazeb2.com"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (VENDOR, "https://api004.backblazeb2.com"),
        (VENDOR, "https://f004.backblazeb2.com/"),
        (VENDOR, "https://pod-040-1005-03.backblaze.com/b2api/v4/b2_upload_file?cvt=c004&bucket=b"),
        (VENDOR, "http://127.0.0.1:8080"),
        (VENDOR, "http://localhost:8080"),
        (VENDOR, "http://[::1]:8080"),
        ("https://b2.example", "https://b2.example:8443"),
        ("https://b2.example", "https://up.b2.example"),
        ("http://b2.example", "http://b2.example"),
        ("http://b2.example", "https://b2.example"),
        ("http://127.0.0.1:1", "http://127.0.0.1:2/x"),
    ],
)
def test_the_services_own_hosts_and_this_machine_may_be_named(endpoint: str, url: str) -> None:
    assert check_url(url, endpoint, "uploads") == url.rstrip("/")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (VENDOR, "http://api004.backblazeb2.com"),
        (VENDOR, "https://backblazeb2.com.evil.example"),
        (VENDOR, "https://evilbackblazeb2.com"),
        (VENDOR, "https://10.0.0.1"),
        (VENDOR, "https://127.0.0.1.evil.example"),
        (VENDOR, "https://api.backblazeb2.com@evil.example"),
        (VENDOR, "https://evil.example#.backblazeb2.com"),
        (VENDOR, "https://evil.example?.backblazeb2.com"),
        (VENDOR, "https://evil.example\\.backblazeb2.com"),
        (VENDOR, "https://evil.example\t.backblazeb2.com"),
        (VENDOR, "gopher://api.backblazeb2.com"),
        ("https://b2.example", "https://example"),
        ("https://b2.example", "https://other.example"),
        ("https://b2.example", "http://b2.example"),
        ("https://b2.example", "https://api.backblazeb2.com"),
    ],
)
def test_no_other_host_and_nothing_unencrypted_after_https_may_be_named(endpoint: str, url: str) -> None:
    with pytest.raises(AccessError, match="nothing is sent there"):
        check_url(url, endpoint, "uploads")
