"""What NetworkManager knows of the network: whether it is metered, and which connections are active."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from pyrestic.desktop.bus import Bus, Service, open_bus
from pyrestic.errors import DesktopError

_NAME = "org.freedesktop.NetworkManager"
_MANAGER = Service(_NAME, "/org/freedesktop/NetworkManager", _NAME)
_METERED = {1: True, 2: False, 3: True, 4: False}
"""Yes, no, and what NetworkManager guesses from the kind of the connection; 0 is unknown."""


class NetworkFacts(NamedTuple):
    """What is known of the network; None where nothing is known."""

    is_metered: bool | None = None
    connections: frozenset[str] | None = None
    """The names of the active connections, as a person gave them or the name of a wireless network."""


def ask_network(system_bus: str) -> NetworkFacts:
    """Ask NetworkManager on the bus at this address; without one, or without an answer, nothing is known."""
    metered, names = None, None
    with contextlib.suppress(DesktopError), open_bus(system_bus) as bus:
        # An old NetworkManager lacks it.
        with contextlib.suppress(DesktopError):
            metered = _METERED.get(bus.read_property(_MANAGER, "Metered"))
        names = frozenset(_find_names(bus))
    return NetworkFacts(metered, names)


def _find_names(bus: Bus) -> Iterator[str]:
    for path in bus.read_property(_MANAGER, "ActiveConnections"):
        # It may have gone meanwhile.
        with contextlib.suppress(DesktopError):
            yield str(bus.read_property(Service(_NAME, path, f"{_NAME}.Connection.Active"), "Id"))
