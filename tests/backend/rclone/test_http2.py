"""HTTP/2 over one socket, against a peer that may do anything: each request ends with its response or an error.

The peer is h2 as a server, steered by the test; tests/backend/rclone/test_rclone.py has the real rclone.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.rclone.http2 import Http2Client
from pyrestic.errors import BackendError, NoAnswerError, SilentError, TransientError

STALL_SECONDS = 0.4
Headers = list[tuple[str, str]]


class Peer:
    """An HTTP/2 server in a thread; `answer` is called when a request is complete, and returns whether to go on."""

    def __init__(self, line: socket.socket, answer: Callable[["Peer", int, Headers, bytes], bool]) -> None:
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._line = line
        self._answer = answer
        self._headers: dict[int, Headers] = {}
        self._bodies: dict[int, bytes] = {}

    def respond(self, number: int, status: int, body: bytes = b"", **headers: str) -> None:
        fields = [(":status", str(status)), *((name.replace("_", "-"), value) for name, value in headers.items())]
        self.http.send_headers(number, fields, end_stream=not body)
        while body:
            room = min(self.http.local_flow_control_window(number), self.http.max_outbound_frame_size, len(body))
            assert room, "the windows of the client are larger than all that a test sends"
            self.http.send_data(number, body[:room], end_stream=room == len(body))
            body = body[room:]

    def serve(self) -> None:
        try:
            with self._line:
                self.http.initiate_connection()
                while True:
                    self._line.sendall(self.http.data_to_send())
                    data = self._line.recv(1 << 20)
                    going = [self._take(event) for event in self.http.receive_data(data)] if data else [False]
                    if not all(going):
                        self._line.sendall(self.http.data_to_send())
                        return
        except (OSError, h2.exceptions.ProtocolError):
            return

    def send_raw(self, data: bytes) -> None:
        self._line.sendall(data)

    def _take(self, event: h2.events.Event) -> bool:
        if isinstance(event, h2.events.RequestReceived):
            self._headers[event.stream_id] = [(str(name), str(value)) for name, value in event.headers]
            self._bodies[event.stream_id] = b""
        if isinstance(event, h2.events.DataReceived):
            self._bodies[event.stream_id] += event.data
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if isinstance(event, h2.events.StreamEnded):
            number = event.stream_id
            return self._answer(self, number, self._headers[number], self._bodies[number])
        return True


@contextmanager
def connected(
    answer: Callable[[Peer, int, Headers, bytes], bool], stall_seconds: float = STALL_SECONDS
) -> Iterator[Http2Client]:
    ours, its = socket.socketpair()
    thread = threading.Thread(target=Peer(its, answer).serve)
    thread.start()
    client = Http2Client(ours, stall_seconds)
    try:
        yield client
    finally:
        client.close()
        thread.join()


def echo(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
    fields = dict(headers)
    peer.respond(number, 200, body, path=fields[":path"], length=fields.get("content-length", "none"))
    return True


@given(st.binary(max_size=200_000), st.text("abc/?=", max_size=20))
def test_a_request_and_its_response_come_through(body: bytes, path: str) -> None:
    with connected(echo, 30) as client:
        answer = client.send("POST", f"http://localhost/{path}", headers={"X": "y"}, body=body, max_length=1 << 20)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["length"] == str(len(body))


def test_many_threads_send_bodies_that_are_longer_than_the_windows() -> None:
    bodies = [bytes([number]) * 3_000_000 for number in range(6)]
    with connected(echo, 30) as client, ThreadPoolExecutor(6) as pool:
        sent = pool.map(lambda body: client.send("POST", "/x", headers={}, body=body, max_length=4_000_000), bodies)
        assert [answer.body for answer in sent] == bodies


def reset(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
    peer.http.reset_stream(number, h2.errors.ErrorCodes.INTERNAL_ERROR)
    return True


def say_goodbye(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
    peer.http.close_connection()
    return True


def send_text(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
    peer.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return True


def say_less(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
    peer.http.send_headers(number, [(":status", "200"), ("content-length", "10")])
    peer.http.send_data(number, b"short", end_stream=True)
    return True


def say_other_bytes(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
    peer.http.send_headers(number, [(b":status", b"200"), (b"x", b"\xff")], end_stream=True)
    return True


HOSTILE: dict[str, tuple[Callable[[Peer, int, Headers, bytes], bool], type[BackendError]]] = {
    "a reset": (reset, NoAnswerError),
    "a goodbye": (say_goodbye, NoAnswerError),
    "another protocol": (send_text, NoAnswerError),
    "less than it said": (say_less, NoAnswerError),
    "a header that is no UTF-8": (say_other_bytes, NoAnswerError),
    "the end": (lambda *_: False, NoAnswerError),
    "silence": (lambda *_: True, SilentError),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("body", [None, b"x" * 100_000])
def test_what_is_no_response_is_an_error(name: str, body: bytes | None) -> None:
    answer, kind = HOSTILE[name]
    with connected(answer) as client, pytest.raises(kind):
        client.send("POST" if body else "GET", "/x", headers={}, body=body, max_length=1 << 20)


@pytest.mark.parametrize("status", ["²", "9" * 5000])
def test_a_status_that_is_no_number_is_no_success(status: str) -> None:
    def answer(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
        peer.http.send_headers(number, [(":status", status)], end_stream=True)
        return True

    with connected(answer) as client:
        try:
            found = client.send("GET", "/x", headers={}, max_length=10).status
        except NoAnswerError:
            return
        assert found == 0


def test_a_body_that_is_too_long_is_refused_and_the_next_request_goes_on() -> None:
    def answer(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
        return echo(peer, number, headers, b"" if dict(headers)[":method"] == "HEAD" else bytes(50_000))

    with connected(answer, 30) as client:
        with pytest.raises(TransientError, match="exceeds the limit of 49999 bytes"):
            client.send("GET", "/x", headers={}, max_length=49_999)
        assert len(client.send("GET", "/x", headers={}, max_length=50_000).body) == 50_000
        assert client.send("HEAD", "/x", headers={}, max_length=0).body == b""


def test_a_peer_that_takes_no_body_is_given_up() -> None:
    ours, its = socket.socketpair()
    client = Http2Client(ours, STALL_SECONDS)
    with pytest.raises(SilentError):
        client.send("POST", "/x", headers={}, body=bytes(8 << 20), max_length=10)
    assert not client.is_alive()
    client.close()
    its.close()


def test_an_interrupt_ends_what_waits_and_lets_later_requests_through() -> None:
    asked = threading.Event()

    def answer(peer: Peer, number: int, headers: Headers, body: bytes) -> bool:
        if dict(headers)[":path"] == "/later":
            peer.respond(number, 200, b"later")
        asked.set()
        return True

    with connected(answer, 30) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.send, "GET", "/x", headers={}, max_length=10)
        asked.wait(30)
        client.interrupt()
        with pytest.raises(TransientError, match="interrupted"):
            waiting.result()
        assert client.send("GET", "/later", headers={}, max_length=10).body == b"later"


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_end_every_request(data: bytes) -> None:
    ours, its = socket.socketpair()
    its.sendall(data)
    client = Http2Client(ours, 0.05)
    with pytest.raises(BackendError):
        client.send("GET", "/x", headers={}, max_length=10)
    client.close()
    its.close()
