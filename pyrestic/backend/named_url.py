"""URLs that a response names: requests carry credentials, so they only go to hosts of the service that was asked."""

from urllib.parse import SplitResult, urlsplit

from pyrestic.backend.transport import is_loopback
from pyrestic.errors import AccessError


def split_server_url(url: str) -> SplitResult | None:
    """Return the parts of a server URL, None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    plain = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and port != 0
    # Another parser could see a different host in these.
    return parts if plain and url.isascii() and url.isprintable() and "\\" not in url and " " not in url else None


def is_in_domain(host: str, domain: str) -> bool:
    """Tell whether a host is a domain or in it."""
    return host == domain or host.endswith(f".{domain}")


def check_named_url(url: str, endpoint: str, what: str, hint: str) -> str:
    """Return a URL from a response of endpoint, without a trailing slash; raise AccessError if no request may go there.

    After https it must be https. Its host must be endpoint's, or both must be in one domain of two labels or more. Only
    a service on this machine may name others on it. `what` describes the purpose of the URL.
    """
    named, own = split_server_url(url), urlsplit(endpoint)
    if named is None:
        raise AccessError(f"the service names an address for {what} that is invalid; nothing is sent there")
    host, asked = named.hostname or "", own.hostname or ""
    if is_loopback(asked) != is_loopback(host) or not (is_loopback(host) or is_related(host, asked)):
        raise AccessError(f"the service names {host} for {what}, which is in another domain", hint=hint)
    if named.scheme != "https" and own.scheme == "https":
        raise AccessError(f"the service names an address for {what} that is not encrypted; nothing is sent there")
    return url.rstrip("/")


def is_related(host: str, other: str) -> bool:
    """Tell whether two hosts are the same or have a parent domain of two labels or more in common.

    Addresses have no domain. A shared suffix such as co.uk counts only with one more label.
    """
    if host == other:
        return True
    if ":" in host + other or host.replace(".", "").isdigit() or other.replace(".", "").isdigit():
        return False
    shared = 0
    mine, its = host.split(".")[::-1], other.split(".")[::-1]
    for one, another in zip(mine, its, strict=False):
        if one != another:
            break
        shared += 1
    # Names such as co.uk or com.au are no one's: their second label is short.
    needed = 3 if len(mine[0]) == 2 and len(mine) > 1 and len(mine[1]) <= 3 else 2
    return shared >= needed
