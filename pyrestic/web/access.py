"""Who may come in: names under which the page answers, the link of one use, the cookie it is traded for."""

import base64
import binascii
import hmac
import ipaddress
import secrets
import threading
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

_SECRET_BYTES = 32
_PASSWORD_BYTES = 16


class Access:
    """The secrets of one run of the server. Methods may be called by several threads.

    `names` are host names beside addresses and localhost under which the page may be asked for, whatever the port:
    something in front of it may have another one.
    """

    def __init__(self, port: int, names: Iterable[str] = ()) -> None:
        self._port = port
        self._names = {name.lower().rstrip(".") for name in names}
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(_SECRET_BYTES)
        self._cookie = secrets.token_urlsafe(_SECRET_BYTES)
        self.password = secrets.token_urlsafe(_PASSWORD_BYTES)
        """For programs that cannot follow the link, as a password of HTTP Basic with any user name."""

    @property
    def token(self) -> str:
        """The secret of the link that can be used once; "" once it was used."""
        return self._token

    @property
    def cookie_name(self) -> str:
        """Cookies do not know of ports, so two servers on one machine need two names."""
        return f"pyrestic-{self._port}"

    def trade(self, token: str) -> str | None:
        """Return the value of the cookie for the secret of the link, which is used up by that; None for a wrong one."""
        with self._lock:
            if not self._token or not _equal(token, self._token):
                return None
            self._token = ""
            return self._cookie

    def admits_cookies(self, header: str) -> bool:
        """Tell whether a Cookie header has ours."""
        try:
            found = SimpleCookie(header).get(self.cookie_name)
        except CookieError:
            return False
        return found is not None and _equal(found.value, self._cookie)

    def admits_password(self, header: str) -> bool:
        """Tell whether an Authorization header has our password."""
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return False
        return _equal(given.partition(":")[2], self.password)

    def knows_host(self, host: str) -> bool:
        """Tell whether a Host header is one of ours: addresses, localhost and the given names.

        Any other name may be one that an attacker lets point to this machine, to make a browser believe that we and the
        attacker's page are the same.
        """
        name, port = split_host(host)
        if name in self._names:
            return True
        if port != str(self._port):
            return False
        return name == "localhost" or _is_address(name)


def split_host(host: str) -> tuple[str, str]:
    """Return name and port of a Host header; the port is "80" where none is given."""
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        name, port = host, "80"
    return name.lower().rstrip(".").removeprefix("[").removesuffix("]"), port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
