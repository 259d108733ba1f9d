"""The layer below requests: connections that a watchdog can close, certificates, proxies, Unix sockets."""

import contextlib
import http.client
import io
import ipaddress
import os
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.watchdog import WatchedRequest
from pyrestic.errors import AccessError, UsageError

CONNECT_SECONDS = 30.0
UNIX_SCHEME = "http+unix"
MAX_LINES_BYTES = 1 << 20
"""Limit of the line-based part of a response: its headers with all that precedes them, and its trailer."""


_current = threading.local()


@contextlib.contextmanager
def guarded(guard: WatchedRequest) -> Any:  # noqa: ANN401 - a context manager of nothing
    """Let guard watch the connections that this thread uses in the block."""
    _current.guard = guard
    try:
        yield
    finally:
        _current.guard = None


class _Watched:
    """Connection mixin: keeps a second descriptor of its socket, so that the watchdog can shut it down.

    The first descriptor does not work: TLS takes it over while connecting.
    """

    _line: socket.socket | None = None

    def keep_line(self, sock: socket.socket) -> None:
        """Register a new socket."""
        self.drop_line()
        self._line = sock.dup()
        self.attach()

    def attach(self) -> None:
        """Watch this thread's request on this connection."""
        guard = getattr(_current, "guard", None)
        if guard is not None and self._line is not None:
            guard.attach(self._line)

    def take_time(self, sock: socket.socket | None) -> None:
        """Leave timeouts to the watchdog: urllib3 would apply the connect timeout to request bodies."""
        if sock is not None:
            sock.settimeout(None)

    def drop_line(self) -> None:
        """Close the second descriptor."""
        if self._line is not None:
            self._line.close()
            self._line = None


class _Lines(io.BufferedReader):
    """Limits a server's output: Python reads interim responses and trailers without end."""

    _line_bytes = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line; raise HTTPException after too many of them in a row."""
        line = super().readline(size)
        self._line_bytes += len(line)
        if self._line_bytes > MAX_LINES_BYTES:
            raise http.client.HTTPException("the lines of an answer do not end")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; raise HTTPException for a chunk with a negative length."""
        if size is None or size < 0:
            raise http.client.HTTPException("a chunk has a negative length")
        self._line_bytes = 0
        return super().read(size)


class _Response(http.client.HTTPResponse):
    """A response with limited headers and trailer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self.fp = _Lines(self.fp.detach())


class _PlainConnection(_Watched, HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self.keep_line(sock)
        return sock

    def connect(self) -> None:
        super().connect()
        self.take_time(self.sock)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        self.attach()
        self.take_time(self.sock)
        super().putrequest(*args, **kwargs)

    def close(self) -> None:
        self.drop_line()
        super().close()


class _TlsConnection(_Watched, HTTPSConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self.keep_line(sock)
        return sock

    def connect(self) -> None:
        super().connect()
        self.take_time(self.sock)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        self.attach()
        self.take_time(self.sock)
        super().putrequest(*args, **kwargs)

    def close(self) -> None:
        self.drop_line()
        super().close()


class _UnixConnection(_PlainConnection):
    """A connection to a socket in the file system; see `socket_host`."""

    def _new_conn(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(_socket_path(self.host))
        except BaseException:
            sock.close()
            raise
        self.keep_line(sock)
        return sock


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _UnixPool(HTTPConnectionPool):
    ConnectionCls = _UnixConnection


_POOLS = {"http": _PlainPool, "https": _TlsPool}
_SOCKET_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]


class Adapter(HTTPAdapter):
    """The transport of a session: our connections, one shared TLS context, no retries of its own."""

    def __init__(self, settings: HttpSettings, connections: int) -> None:
        self._tls = make_tls_context(settings)
        self._verify = not settings.insecure_tls
        super().__init__(pool_connections=4, pool_maxsize=connections + 2, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        """Create the connection manager."""
        super().init_poolmanager(*args, ssl_context=self._tls, socket_options=_SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - as in requests
        """Return the manager of proxy connections."""
        manager = super().proxy_manager_for(
            proxy, ssl_context=self._tls, proxy_ssl_context=self._tls, socket_options=_SOCKET_OPTIONS, **kwargs
        )
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401, ARG002 - as in requests
        """Leave this to the TLS context: requests would load its own root certificates for each connection."""
        conn.ca_certs = conn.ca_cert_dir = None
        conn.cert_reqs = "CERT_REQUIRED" if self._verify else "CERT_NONE"


class UnixAdapter(HTTPAdapter):
    """The transport for URLs of Unix sockets, `http+unix://HOST/path` (see `socket_host`); one socket for each."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._pool: _UnixPool | None = None
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, ARG002
        """Return the pool of connections to the socket."""
        if self._pool is None:
            self._pool = _UnixPool(urlsplit(request.url).netloc, maxsize=self._connections + 2)
        return self._pool

    def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.close()
        super().close()


class _Session(requests.Session):
    """A session that ignores redirects: requests would read their body, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - as in requests
        """Return no target."""
        return


def make_session(settings: HttpSettings, connections: int) -> requests.Session:
    """Return a session for this number of concurrent threads; raise UsageError for an invalid certificate file.

    It ignores the environment: a password from .netrc would silently replace ours.
    """
    session = _Session()
    session.trust_env = False
    session.verify = not settings.insecure_tls
    session.headers.clear()
    adapter = Adapter(settings, connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.mount(f"{UNIX_SCHEME}://", UnixAdapter(connections))
    return session


def make_tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """Return the context for all connections; raise UsageError for an invalid certificate file."""
    context = (ssl.SSLContext if settings.ca_files else _SystemRootsContext)(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for name in settings.ca_files:
        try:
            context.load_verify_locations(name)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"unable to load root certificates from {name}: {_reason(error)}") from error
    if settings.client_certificate:
        try:
            context.load_cert_chain(settings.client_certificate)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"unable to load the client certificate and its key from {settings.client_certificate}: "
                f"{_reason(error)}"
            ) from error
    return context


class _SystemRootsContext(ssl.SSLContext):
    """Trusts the system's root certificates, and loads them for the first connection: that takes 30 ms of CPU time."""

    def __init__(self, protocol: int) -> None:  # noqa: ARG002 - __new__ takes it
        self._loading = threading.Lock()
        self._loaded = False

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:  # noqa: ANN401 - passed on
        """Start TLS on a socket."""
        self._load_roots()
        return super().wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:  # noqa: ANN401 - passed on
        """Start TLS within TLS."""
        self._load_roots()
        return super().wrap_bio(*args, **kwargs)

    def _load_roots(self) -> None:
        with self._loading:
            if self._loaded:
                return
            self.load_default_certs()
            paths = ssl.get_default_verify_paths()
            in_folder = bool(paths.capath) and os.path.isdir(paths.capath) and bool(os.listdir(paths.capath))
            if not self.cert_store_stats()["x509_ca"] and not in_folder:
                # A Python without access to the system's certificates.
                self.load_verify_locations(certifi.where())
            self._loaded = True


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds no certificate in PEM form"
    return error.strerror or str(error)


def find_proxies(settings: HttpSettings, url: str) -> dict[str, str]:
    """Return the proxy for a URL in the form of requests, nothing for local addresses and hosts without a proxy."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = settings.proxies.get(parts.scheme, "")
    if not proxy or is_loopback(host) or _goes_without(host, parts.port, settings.proxies.get("no", "")):
        return {}
    return {parts.scheme: proxy if "://" in proxy else f"http://{proxy}"}


def socket_host(path: str) -> str:
    """Return the path of a Unix socket as the host of a URL: in hex, because hosts are converted to lower case."""
    return os.fsencode(path).hex()


def _socket_path(host: str) -> bytes:
    return bytes.fromhex(host)


def show_host(url: str) -> str:
    """Return host and port of a URL, or the path of its socket, for display; raise AccessError if it has none."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return os.fsdecode(_socket_path(host)) if parts.scheme == UNIX_SCHEME else host
    except ValueError:
        raise AccessError("an address is invalid") from None


def is_loopback(host: str) -> bool:
    """Tell whether the host of a URL is this machine."""
    if host in ("localhost", "::1"):
        return True
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _goes_without(host: str, port: int | None, names: str) -> bool:
    for name in (name.strip().lower() for name in names.split(",")):
        if name == "*":
            return True
        bare, colon, wanted_port = name.rpartition(":")
        if colon and wanted_port.isdigit() and "]" not in wanted_port:
            if str(port) != wanted_port:
                continue
            name = bare
        name = name.lstrip(".").removeprefix("*.")
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False
