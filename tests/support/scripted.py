"""A server on loopback that answers each request with the very bytes that a function gives for it."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

_TLS = b"\x16"
Reply = Callable[[str, str], bytes]
"""What method and path of a request are answered with; nothing closes the connection without an answer."""


class ScriptedServer:
    """Answers one request on each connection; `requests` are those that came: method, path, headers in one text.

    `bodies` are what they contained.

    With a `greeting` it sends that instead, reads nothing and so resets the connection.
    """

    def __init__(self, reply: Reply, greeting: bytes = b"") -> None:
        self.reply = reply
        self._greeting = greeting
        self.requests: list[tuple[str, str, str]] = []
        self.bodies: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(10)
            if self._greeting:
                select.select([connection], [], [], 10)
                connection.sendall(self._greeting)
                return
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head, _, body = _read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
        line, _, headers = head.decode("latin-1").partition("\r\n")
        method, _, path = line.partition(" HTTP/")[0].partition(" ")
        length = next(
            (int(header[15:]) for header in headers.split("\r\n") if header.lower().startswith("content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append((method, path, headers))
        self.bodies.append(body)
        connection.sendall(self.reply(method, path))


def _read_until(connection: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data and not data.startswith(_TLS):
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return data


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer with its length, after which the connection is closed."""
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@contextlib.contextmanager
def scripted(reply: Reply, greeting: bytes = b"") -> Iterator[ScriptedServer]:
    """Serve for the time of a with block."""
    server = ScriptedServer(reply, greeting)
    try:
        yield server
    finally:
        server.close()
