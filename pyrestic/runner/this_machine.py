"""What the runner asks of this machine; the places where the answers are found are parameters.

An answer that cannot be had counts as one that lets a task go.
"""

import os
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from pyrestic.backend.location import LOCAL, Location
from pyrestic.desktop.network import NetworkFacts, ask_network
from pyrestic.localfs.online import ROUTES, ROUTES_6, has_default_route
from pyrestic.localfs.power import POWER_FOLDER, Power, read_power
from pyrestic.runner.apart import run_apart
from pyrestic.runner.ending import EndRequest

_NEAR: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LOOKUP_SECONDS: Final = 60.0
_B2_HOST: Final = "api.backblazeb2.com"
"""That of the backend, whose import is slow."""


def resolves(host: str) -> bool:
    """Tell whether the name of a host has an address."""
    # Only repositories elsewhere need it.
    import socket

    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False
    except UnicodeError:
        # An invalid name is an error of the profile, not of the network.
        return True


def resolves_apart(host: str, ending: EndRequest) -> bool:
    """Tell the same, and do not wait for the answer once the runner has to end: no signal ends a lookup."""
    return run_apart(lambda: resolves(host), _LOOKUP_SECONDS, ending) is not False


class ThisMachine(msgspec.Struct, frozen=True):
    """This machine's power, network and folders."""

    system_bus: str = ""
    power_folder: str = POWER_FOLDER
    routes: str = ROUTES
    routes_6: str = ROUTES_6
    resolve: Callable[[str], bool] = resolves

    def read_power(self) -> Power:
        """Return the power."""
        return read_power(self.power_folder)

    def is_online(self, host: str = "") -> bool:
        """Tell whether there is a way to other networks, and an address for the name of a host if one is given."""
        return has_default_route(self.routes, self.routes_6) and (not host or self.resolve(host))

    def ask_network(self) -> NetworkFacts:
        """Return what is known of the connection."""
        return ask_network(self.system_bus)


def find_host(location: Location, options: Iterable[str]) -> str | None:
    """Return the host that a repository needs, "" if it is not known, None if it needs no network.

    `options` are the extended options, such as b2.endpoint=URL.
    """
    if location.scheme == LOCAL or location.address.startswith("http+unix:"):
        return None
    # Only repositories elsewhere need it.
    from urllib.parse import urlsplit

    url = location.address if location.scheme == "rest" else ""
    if location.scheme == "b2":
        url = next(
            (text.partition("=")[2] for text in options if text.startswith("b2.endpoint=")), f"https://{_B2_HOST}"
        )
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return None if host in _NEAR else host


def find_missing_folder(location: Location) -> str:
    """Return the folder of a local repository if it is not there, "" if it is."""
    if location.scheme != LOCAL or os.path.exists(os.path.join(location.address, "config")):
        return ""
    return location.address
