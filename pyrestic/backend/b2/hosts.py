"""The hosts that a B2 response may name: only B2's own. Tokens and files go to no other host."""

from urllib.parse import urlsplit

from pyrestic.backend.named_url import is_in_domain, split_server_url
from pyrestic.backend.transport import is_loopback
from pyrestic.errors import AccessError

_VENDOR = ("backblazeb2.com", "backblaze.com")
"""The vendor's domains: the first serves the API and downloads, the second uploads."""


def check_url(url: str, endpoint: str, what: str) -> str:
    """Return a URL from a response without a trailing slash; raise AccessError if no request may go there.

    After https it must be https, and its host must be in the endpoint's domain. This machine may be named in any way,
    for services that are tested on it. `what` describes the purpose of the URL.
    """
    named = split_server_url(url)
    if named is None:
        raise AccessError(f"B2 names an address for {what} that is invalid; nothing is sent there")
    host, own = named.hostname or "", urlsplit(endpoint).hostname or ""
    if is_loopback(host):
        return url.rstrip("/")
    if not _is_related(host, own):
        raise AccessError(f"B2 names {host} for {what}, which is not one of its own hosts; nothing is sent there")
    if named.scheme != "https" and urlsplit(endpoint).scheme == "https":
        raise AccessError(f"B2 names an address for {what} that is not encrypted; nothing is sent there")
    return url.rstrip("/")


def _is_related(host: str, own: str) -> bool:
    domains = _VENDOR if any(is_in_domain(own, domain) for domain in _VENDOR) else (own,)
    return any(is_in_domain(host, domain) for domain in domains)
