"""`rest:URL` as an address for requests, and its settings as a backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pyrestic.backend.transport import socket_host
from pyrestic.errors import UsageError

USER_VARIABLE = "RESTIC_REST_USERNAME"
PASSWORD_VARIABLE = "RESTIC_REST_PASSWORD"  # noqa: S105 - the name of a variable
_UNIX = "http+unix"


@dataclass(frozen=True, slots=True)
class RestUrl:
    """The URL of the repository on a REST server: `address` ends with a slash, without user and password."""

    address: str
    user: str
    password: str = field(repr=False)


def parse_rest(text: str, environment: Mapping[str, str]) -> RestUrl:
    """Return the address of `http://[user:password@]host[:port]/path/` or of a Unix socket; raise UsageError.

    A socket is written as `http+unix:///path/of/socket:/path/`. User and password of the environment are used if the
    URL names none.
    """
    try:
        parts = urlsplit(text)
        user, password, host, port = parts.username, parts.password, parts.hostname, parts.port
    except ValueError:
        raise UsageError("the URL of the REST server is invalid") from None
    if parts.scheme not in ("http", "https", _UNIX) or parts.query or parts.fragment:
        raise UsageError("the URL of a REST server must start with http://, https:// or http+unix://")
    if parts.scheme == _UNIX:
        socket_path, _, path = parts.path.partition(":")
        if not socket_path.strip("/") or host:
            raise UsageError("the address of a Unix socket is written as http+unix:///path/of/socket:/path/")
        address = f"{_UNIX}://{socket_host(socket_path)}/{path.lstrip('/')}"
    else:
        if not host:
            raise UsageError("the URL of the REST server names no host")
        shown = f"[{host}]" if ":" in host else host
        address = f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{parts.path}"
    if not address.endswith("/"):
        address += "/"
    if user is None and password is None:
        return RestUrl(address, environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, ""))
    return RestUrl(address, unquote(user or ""), unquote(password or ""))
