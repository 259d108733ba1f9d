"""Whether this machine has a way to other networks, and how long it has slept, as the kernel reports it."""

import time

ROUTES = "/proc/net/route"
ROUTES_6 = "/proc/net/ipv6_route"
_IS_UP = 0x1
_REJECTS = 0x200
_LOOPBACK = "lo"


def has_default_route(routes: str = ROUTES, routes_6: str = ROUTES_6) -> bool:
    """Tell whether there is a default route; True if the kernel does not say."""
    lines, lines_6 = _read(routes), _read(routes_6)
    if lines is None and lines_6 is None:
        return True
    return any(map(_is_default, (lines or [])[1:])) or any(map(_is_default_6, lines_6 or []))


def _read(path: str) -> list[list[str]] | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return [line.split() for line in file]
    except OSError:
        return None


def _is_default(words: list[str]) -> bool:
    """Tell whether a line of /proc/net/route is a default route: interface, destination, gateway, flags, …, mask."""
    if len(words) < 8 or words[0] == _LOOPBACK:
        return False
    return words[1] == words[7] == "00000000" and _is_usable(words[3])


def _is_default_6(words: list[str]) -> bool:
    """Tell whether a line of /proc/net/ipv6_route is one: destination, its prefix length, …, flags, interface."""
    if len(words) < 10 or words[9] == _LOOPBACK:
        return False
    return words[0] == "0" * 32 and words[1] == "00" and _is_usable(words[8])


def _is_usable(flags: str) -> bool:
    try:
        number = int(flags, 16)
    except ValueError:
        return False
    return bool(number & _IS_UP) and not number & _REJECTS


def read_sleep_seconds() -> float:
    """Return how long this machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
