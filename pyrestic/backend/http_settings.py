"""How HTTP servers are to be reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_STALL_SECONDS = 120.0
"""Two such waits end an operation, so a server that accepts and never answers ends a command within five minutes."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How to reach HTTP servers, as the global flags and the environment say. `proxies` may hold passwords."""

    ca_files: tuple[str, ...] = ()
    """Files with the only root certificates to trust, in PEM; none means those of the system."""
    client_certificate: str = ""
    """File with a client certificate and its key in PEM."""
    insecure_tls: bool = False
    user_agent: str = ""
    stall_seconds: float = DEFAULT_STALL_SECONDS
    """How long a request may go without progress."""
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Proxy of each scheme, "http" or "https"; "no" lists the hosts that go without, as in no_proxy."""


def read_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies that variables such as https_proxy or NO_PROXY name, as `HttpSettings.proxies` has them."""
    found = {
        scheme: environment.get(f"{scheme}_proxy", "") or environment.get(f"{scheme}_proxy".upper(), "")
        for scheme in ("http", "https", "no")
    }
    return {scheme: proxy for scheme, proxy in found.items() if proxy}
