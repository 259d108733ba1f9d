"""Whatever a server does, a request ends: with an answer or with an error that says what was wrong."""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.transport import find_proxies, make_tls_context
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.errors import AccessError, NoAnswerError, TransientError, UsageError
from tests.support.scripted import answer, scripted
from tests.support.tls import Authority

STALL = 0.4
Behave = Callable[[socket.socket], None]


class ScriptedServer:
    """A server on loopback that does with each connection what a function says."""

    def __init__(self, behave: Behave) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.ended = threading.Event()
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._behave(connection)

    def close(self) -> None:
        self.ended.set()
        self._listener.close()


@contextlib.contextmanager
def serving(behave: Behave, stall_seconds: float = STALL) -> Iterator[tuple[HttpClient, str]]:
    server = ScriptedServer(behave)
    client = HttpClient(HttpSettings(stall_seconds=stall_seconds), 2)
    try:
        yield client, server.url
    finally:
        client.close()
        server.close()


def read_request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return
        data += piece


def saying(*pieces: bytes, pause: float = 0.0, then: Behave = lambda connection: None) -> Behave:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        then(connection)

    return behave


def hold(connection: socket.socket) -> None:
    """Keep the connection open and say no more."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def drip(data: bytes) -> Behave:
    """One byte at a time, each well before any time-out of a socket."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(STALL / 8)

    return behave


def never_reading(connection: socket.socket) -> None:
    time.sleep(30)


def reading_slowly(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while connection.recv(1):
        time.sleep(STALL / 8)


ENDLESS = b"X-More: " + b"y" * 1000 + b"\r\n"


def endless_headers(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(ENDLESS)


def endless_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(bytes(65536))


def endless(head: bytes, line: bytes) -> Behave:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(line * 1000)

    return behave


HOSTILE: dict[str, Behave] = {
    "closes at once": lambda connection: None,
    "closes after the request": saying(),
    "says nothing": hold,
    "drips the headers": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + ENDLESS * 10),
    "drips the body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)),
    "stops in the headers": saying(b"HTTP/1.1 200 OK\r\nContent-", then=hold),
    "ends in the headers": saying(b"HTTP/1.1 200 OK\r\nContent-"),
    "stops in the body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", bytes(999), then=hold),
    "ends in the body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", bytes(999)),
    "says more than it may": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", bytes(1001)),
    "says far more than it may": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", then=hold),
    "an endless body": endless_body,
    "endless headers": endless_headers,
    "a negative length": saying(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", bytes(2000)),
    "an endless chunk": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", bytes(2000)),
    "a chunk that is none": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\nyou\r\n"),
    "no HTTP at all": saying(b"220 mail.example ESMTP\r\n"),
    "binary rubbish": saying(bytes(range(256)) * 8),
    "a status that is none": saying(b"HTTP/1.1 9999999 OK\r\n\r\n"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_request_to_a_hostile_server_ends_with_an_error(name: str) -> None:
    with serving(HOSTILE[name]) as (client, url), pytest.raises(TransientError) as caught:
        client.send("GET", url, headers={}, max_length=1000)
    assert "127.0.0.1" in str(caught.value)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "behave",
    [
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        endless(CHUNKED + b"1\r\na\r\n0\r\n", b"X-More: y\r\n"),
        endless(CHUNKED + b"1;", b"y"),
        endless(CHUNKED + b"-1\r\n", b"y"),
    ],
    ids=["interim answers", "a trailer", "the head of a chunk", "a chunk of length -1"],
)
def test_what_comes_around_a_body_without_end_is_not_read_without_end(behave: Behave) -> None:
    with serving(behave, stall_seconds=60) as (client, url), pytest.raises(NoAnswerError, match="does not speak HTTP"):
        client.send("GET", url, headers={}, max_length=1000)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("behave", [never_reading, reading_slowly])
def test_an_upload_that_nobody_takes_ends(behave: Behave) -> None:
    with serving(behave) as (client, url), pytest.raises(NoAnswerError, match="almost no data was transferred"):
        client.send("POST", url, headers={}, body=bytes(30 << 20), max_length=1000)


@pytest.mark.timeout(30)
def test_slow_but_steady_transfers_are_no_stalls() -> None:
    """Ten times as long as the time allowed without progress, each way."""
    piece, count = 64 * 1024, 40

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, piece)
        taken = 0
        while taken < piece * (count - 2):
            time.sleep(STALL / 8)
            taken += len(connection.recv(piece))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (piece * count))
        for _ in range(count):
            time.sleep(STALL / 8)
            connection.sendall(bytes(piece))
        hold(connection)

    with serving(behave) as (client, url):
        started = time.monotonic()
        answer = client.send("POST", url, headers={}, body=bytes(piece * count), max_length=piece * count)
        assert time.monotonic() - started > 4 * STALL
    assert len(answer.body) == piece * count


def test_a_kept_connection_that_was_closed_is_worth_another_attempt_at_once() -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        read_request(connection)

    with serving(behave) as (client, url):
        assert client.send("GET", url, headers={}, max_length=10).body == b"ok"
        with pytest.raises(NoAnswerError, match="was lost") as caught:
            client.send("GET", url, headers={}, max_length=10)
        assert caught.value.retry_after_seconds == 0.0
        assert client.send("GET", url, headers={}, max_length=10).body == b"ok"


def test_answers_of_any_status_are_returned_with_what_they_say() -> None:
    with serving(saying(b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 4\r\n\r\nbusy")) as (client, url):
        answer = client.send("GET", url, headers={}, max_length=1)
    assert (answer.status, answer.body, answer.retry_after_seconds) == (503, b"busy", 17.0)


def test_redirections_are_not_followed() -> None:
    with serving(saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as pair:
        assert pair[0].send("GET", pair[1], headers={}, max_length=1).status == 302


def test_a_connection_is_kept_for_the_next_request() -> None:
    def behave(connection: socket.socket) -> None:
        for _ in range(3):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))

    server = ScriptedServer(behave)
    client = HttpClient(HttpSettings(), 2)
    for _ in range(3):
        assert len(client.send("GET", server.url, headers={}, max_length=100_000).body) == 100_000
    assert server.connections == 1
    client.close()
    server.close()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_limits_hold_within_ten_percent(direction: str) -> None:
    rate, length = 400_000, 1_000_000

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        if direction == "up":
            taken = 0
            while taken < length - 70_000 and (data := connection.recv(1 << 20)):
                taken += len(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        connection.sendall(bytes(length))
        hold(connection)

    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    limit = TokenBucket(rate, clock=lambda: now[0], sleep=sleep)
    server = ScriptedServer(behave)
    client = HttpClient(HttpSettings(), 2, **{"upload" if direction == "up" else "download": limit})
    body = bytes(length) if direction == "up" else b""
    client.send("POST", server.url, headers={}, body=body, max_length=length)
    client.close()
    server.close()
    assert length / now[0] == pytest.approx(rate, rel=0.1)


def test_where_nobody_listens_the_error_says_so() -> None:
    client = HttpClient(HttpSettings(), 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoAnswerError, match="refuses connections"):
        client.send("GET", f"http://127.0.0.1:{port}/", headers={"Authorization": "secret"}, max_length=1)
    with pytest.raises(AccessError, match="an address is invalid"):
        client.send("GET", "http://[::1/", headers={}, max_length=1)
    client.close()


def count_roots(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_certificate_files_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    for settings in (
        HttpSettings(ca_files=(str(empty),)),
        HttpSettings(ca_files=(str(tmp_path / "absent"),)),
        HttpSettings(client_certificate=str(empty)),
        HttpSettings(client_certificate=str(tmp_path)),
    ):
        with pytest.raises(UsageError, match=str(tmp_path)):
            make_tls_context(settings)
    authority = Authority(tmp_path / "authority")
    assert count_roots(make_tls_context(HttpSettings(ca_files=(str(authority.file),)))) == 1


def test_root_certificates_of_the_system_are_loaded_for_the_first_tls_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "absent"))
    context = make_tls_context(HttpSettings())
    assert count_roots(context) == 0
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert count_roots(context) == 1
    context = make_tls_context(HttpSettings())
    context.wrap_socket(socket.socket(), server_hostname="localhost").close()
    assert count_roots(context) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent"))
    context = make_tls_context(HttpSettings())
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    # Those of certifi.
    assert count_roots(context) > 50


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://api.example.com/", True),
        ("http://api.example.com/", False),
        ("https://localhost/", False),
        ("https://127.0.0.2:99/", False),
        ("https://[::1]/", False),
        ("https://inside.example.org/", False),
        ("https://example.org/", False),
        ("https://notexample.org/", True),
        ("https://port.example.net:8443/", False),
        ("https://port.example.net/", True),
    ],
)
def test_proxies_are_for_other_hosts_but_those_named(url: str, *, through: bool) -> None:
    settings = HttpSettings(proxies={"https": "proxy:3128", "no": ".example.org, port.example.net:8443"})
    assert find_proxies(settings, url) == ({"https": "http://proxy:3128"} if through else {})
    assert find_proxies(HttpSettings(proxies={"https": "http://p:1", "no": "*"}), url) == {}


def test_a_body_may_consist_of_several_buffers() -> None:
    large = bytes(range(256)) * 4000
    with scripted(lambda method, path: answer(200, b"")) as server:
        client = HttpClient(HttpSettings(), 1)
        for body in ((b"start", memoryview(large), b"end"), (b"", b"x"), ()):
            client.send("POST", f"http://{server.address}/", headers={}, body=body, max_length=10)
        client.close()
        assert server.bodies == [b"start" + large + b"end", b"x", b""]
        lengths = [re.findall(r"Content-Length: (\d+)", headers) for _, _, headers in server.requests]
    assert lengths == [[str(len(large) + 8)], ["1"], ["0"]]
