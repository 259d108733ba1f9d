"""A proxy on loopback in front of any HTTP place, which delays, cuts, corrupts, refuses or stays silent on demand.

A client uses the address of the proxy. The request arrives at the place as the client signed it, Host included.
"""

import contextlib
import fnmatch
import http.client
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = (
    "status",  # answer `status` with `headers` and `body` in place of the place
    "cut upload",  # reset the connection when half of the request's body was read
    "cut download",  # reset the connection when half of the answer's body was sent
    "flip upload",  # flip a bit of the request's body
    "flip download",  # flip a bit of the answer's body
    "lose answer",  # do what was asked, then reset the connection
    "silence",  # read the request, and never answer
    "latency",  # wait `seconds` before the answer
)
PAGE = b"<!DOCTYPE html><html><body>Please sign in to the network.</body></html>"
_HOP = {"connection", "keep-alive", "transfer-encoding"}
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Fault:
    """A fault of a kind, for requests whose method and path match a pattern such as "PUT /*", with a chance."""

    kind: str
    requests: str = "*"
    chance: float = 1.0
    times: int | None = None
    passed: int = 0
    """How many matching requests pass first."""
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of fault: {', '.join(KINDS)}")


class FaultyProxy:
    """The proxy; `address` is where clients go, and `seen` and `hit` are the requests and the faults so far."""

    def __init__(
        self,
        target: str,
        *,
        seed: int = 1,
        server_tls: ssl.SSLContext | None = None,
        target_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.seen: list[str] = []
        self.hit: list[str] = []
        self._target = target
        self._target_tls = target_tls
        self._faults: list[Fault] = []
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))
        self._server.daemon_threads = True
        if server_tls is not None:
            self._server.socket = server_tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def add(self, kind: str, requests: str = "*", **details: object) -> None:
        """Add a fault; see Fault."""
        self._faults.append(Fault(kind, requests, **details))  # type: ignore[arg-type]

    def clear(self) -> None:
        """Let everything pass again."""
        self._faults.clear()

    def close(self) -> None:
        """End it, and all connections that it keeps waiting."""
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def choose(self, request: str) -> Fault | None:
        """Return the fault of a request such as "PUT /bucket/key", None if it passes."""
        with self._lock:
            self.seen.append(request)
            for fault in self._faults:
                if not fnmatch.fnmatch(request, fault.requests) or fault.times == 0:
                    continue
                if fault.passed > 0:
                    fault.passed -= 1
                elif self._dice.random() < fault.chance:
                    fault.times = None if fault.times is None else fault.times - 1
                    self.hit.append(fault.kind)
                    return fault
        return None

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the place."""
        if self._target_tls is not None:
            return http.client.HTTPSConnection(self._target, context=self._target_tls, timeout=60)
        return http.client.HTTPConnection(self._target, timeout=60)


def _make_handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            # A client may go at any time.
            with contextlib.suppress(OSError, ValueError):
                super().handle()

        def _pass(self) -> None:
            fault = proxy.choose(f"{self.command} {self.path}")
            kind = "" if fault is None else fault.kind
            length = int(self.headers.get("Content-Length", "0"))
            if kind == "cut upload":
                self.rfile.read(length // 2)
                self._reset()
                return
            body = bytearray(self.rfile.read(length))
            if kind == "silence":
                proxy.ended.wait()
                self.close_connection = True
                return
            if fault is not None and kind == "latency":
                time.sleep(fault.seconds)
            if fault is not None and kind == "status":
                self._answer(fault.status, fault.headers, fault.body)
                return
            if kind == "flip upload":
                _flip(body)
            try:
                status, headers, content = self._ask(bytes(body))
            except (OSError, http.client.HTTPException):
                self._reset()
                return
            if kind == "lose answer":
                self._reset()
                return
            if kind == "flip download" and status in (200, 206):
                _flip(content)
            self._answer(status, headers, bytes(content), cut=kind == "cut download")

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - named by the library

        def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytearray]:
            with contextlib.closing(proxy.connect()) as upstream:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in _HOP:
                        upstream.putheader(name, value)
                upstream.endheaders(body or None)
                response = upstream.getresponse()
                content = bytearray(response.read())
                headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP}
                return response.status, headers, content

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            if status != 204:
                self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self._reset()

        def _reset(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connection.close()

    return Handler


def _flip(data: bytearray) -> None:
    if data:
        data[len(data) // 2] ^= 1


@contextlib.contextmanager
def faulty_proxy(target: str, **settings: object) -> Iterator[FaultyProxy]:
    """Run a proxy for a with block."""
    proxy = FaultyProxy(target, **settings)  # type: ignore[arg-type]
    try:
        yield proxy
    finally:
        proxy.close()


def add_common_faults(proxy: FaultyProxy, rate: float, statuses: Mapping[int, bytes]) -> None:
    """Let about this share of all requests fail, in every way that a network and a busy place have.

    `statuses` are the failures of the place, with the bodies that it sends with them.
    """
    quick = [("latency", "*"), ("cut upload", "P*"), ("cut download", "GET *"), ("flip upload", "PUT *")]
    quick += [("flip download", "GET */data/*"), ("lose answer", "*")]
    share = rate / (len(quick) + len(statuses)) * 2
    for kind, requests in quick:
        proxy.add(kind, requests, chance=share)
    for status, body in statuses.items():
        proxy.add("status", chance=share, status=status, body=body)
