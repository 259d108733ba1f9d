"""Access control: the names of the server, the single-use link, and the cookie for it."""

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


class ServerSecrets:
    """The secrets of one run of the server. Thread-safe.

    `names` are accepted host names besides addresses and localhost, with any port: a reverse proxy may use another one.
    """

    def __init__(self, port: int, names: Iterable[str] = ()) -> None:
        self._port = port
        self._names = {name.lower().rstrip(".") for name in names}
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(_SECRET_BYTES)
        self._cookie = secrets.token_urlsafe(_SECRET_BYTES)
        self.password = secrets.token_urlsafe(_PASSWORD_BYTES)
        """For programs that cannot follow the link: a password for HTTP Basic with any user name."""

    @property
    def token(self) -> str:
        """The secret of the single-use link; "" after its use."""
        return self._token

    @property
    def cookie_name(self) -> str:
        """Cookies do not depend on the port, so two servers on one machine need two names."""
        return f"pyrestic-{self._port}"

    def trade(self, token: str) -> str | None:
        """Return the value of the cookie for the secret of the link, which expires; None for a wrong one."""
        with self._lock:
            if not self._token or not _equal(token, self._token):
                return None
            self._token = ""
            return self._cookie

    def admits_cookies(self, header: str) -> bool:
        """Tell whether a Cookie header has our cookie."""
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
        """Tell whether a Host header is valid: addresses, localhost and the given names.

        An attacker could point any other name to this machine, so that a browser takes this server for part of the
        attacker's site.
        """
        name, port = split_host(host)
        if name in self._names:
            return True
        if port != str(self._port):
            return False
        return name == "localhost" or _is_address(name)


def split_host(host: str) -> tuple[str, str]:
    """Return name and port of a Host header; the default port is "80"."""
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
