"""Settings for reaching HTTP servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_STALL_SECONDS = 120.0
"""Two such waits end an operation, so a server that accepts and never responds ends a command within five minutes."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How to reach HTTP servers, from the global flags and the environment. `proxies` may contain passwords."""

    ca_files: tuple[str, ...] = ()
    """PEM files with the only trusted root certificates; none selects those of the system."""
    client_certificate: str = ""
    """PEM file with a client certificate and its key."""
    insecure_tls: bool = False
    user_agent: str = ""
    stall_seconds: float = DEFAULT_STALL_SECONDS
    """The stall limit of a request."""
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Proxy of each scheme, "http" or "https"; "no" lists the hosts without a proxy, as in no_proxy."""


def read_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies from variables such as https_proxy or NO_PROXY, in the form of `HttpSettings.proxies`."""
    found = {
        scheme: environment.get(f"{scheme}_proxy", "") or environment.get(f"{scheme}_proxy".upper(), "")
        for scheme in ("http", "https", "no")
    }
    return {scheme: proxy for scheme, proxy in found.items() if proxy}
