"""Ports on loopback for servers that cannot choose their own."""

import random
import socket


def find_ports(count: int, *, also: int = 0) -> list[int]:
    """Return ports that nobody listens on; `also` is added to each for a second one that must be free as well.

    Most are below those that the system gives to clients, so that none is taken meanwhile.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 22_000)
        if port not in found and _is_free(port) and (not also or _is_free(port + also)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
