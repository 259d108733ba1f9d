"""HTTP/1.1 for the service: one thread a connection, bodies streamed, faults where they are wanted."""

import contextlib
import json
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from tools.b2_service import calls, management
from tools.b2_service.calls import authorize
from tools.b2_service.counters import Counters
from tools.b2_service.failure import CallError, bad_request
from tools.b2_service.faults import Faults, Rule
from tools.b2_service.service import Service
from tools.b2_service.transfers import Download, open_download, receive_file, receive_part

CALLS = calls.CALLS | management.CALLS
_REASONS = {200: "OK", 206: "Partial Content", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
_is_call = re.compile(r"/b2api/v([1-4])/(b2_[a-z_]+)(?:/([0-9a-f]+))?").fullmatch
_MAX_JSON = 1 << 20


class BrokenError(Exception):
    """The connection ends here."""


@dataclass
class Request:
    """A request whose body is still to be read."""

    method: str
    target: str
    headers: dict[str, str]
    length: int
    reader: "Body"

    @property
    def token(self) -> str:
        """The Authorization header."""
        return self.headers.get("authorization", "")


@dataclass
class Reply:
    """An answer: JSON, or a download."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    download: Download | None = None


class Body:
    """The body of a request, read from the connection into the caller's buffer."""

    def __init__(self, file: BufferedIOBase, length: int, server: "Server") -> None:
        self._file = file
        self._server = server
        self.left = length
        self.reset_after: int | None = None
        self._read = 0

    def read_into(self, view: memoryview) -> int:
        """Fill view with the next bytes; return how many, 0 at the end."""
        line = self._server.faults.up
        wanted = min(len(view), self.left, line.piece)
        if self.reset_after is not None and self._read + wanted >= self.reset_after:
            raise BrokenError
        count: int = self._file.readinto(view[:wanted]) if wanted else 0
        if wanted and not count:
            raise BrokenError
        line.wait(count)
        self.left -= count
        self._read += count
        return count

    def read_all(self, most: int) -> bytes:
        """Return the whole body."""
        if self.left > most:
            raise bad_request("the request is too long")
        data = bytearray(self.left)
        done = 0
        while self.left:
            done += self.read_into(memoryview(data)[done:])
        return bytes(data)

    def drain(self) -> None:
        """Read what is left and drop it."""
        if self.left:
            scratch = memoryview(bytearray(min(self.left, 1 << 20)))
            while self.left:
                self.read_into(scratch)


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    server: "Server"
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024

    def handle(self) -> None:
        """Answer requests until the connection ends."""
        self.connection.settimeout(300)
        with contextlib.suppress(OSError, ssl.SSLError, ValueError):
            try:
                while self._handle_one():
                    pass
            except BrokenError:
                self._reset()

    def _handle_one(self) -> bool:
        """Answer one request; return whether another one may follow."""
        line = self.rfile.readline(65536)
        if not line.strip():
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(65536)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length", "0"))
        body = Body(self.rfile, length, self.server)
        request = Request(method, target, headers, length, body)
        if target.startswith("/_control/"):
            self._send(self.server.control(request), None, request)
            return True
        call = call_name(method, target)
        self.server.counters.call(call)
        rule = self.server.faults.pick(call)
        if self.server.faults.latency_seconds:
            time.sleep(self.server.faults.latency_seconds)
        if rule is not None and rule.kind == "latency":
            time.sleep(rule.seconds)
        if rule is not None and rule.kind == "reset upload":
            body.reset_after = rule.after_bytes
        reply = self._reply(call, request, rule)
        body.drain()
        if rule is not None and rule.kind == "lose answer":
            raise BrokenError
        self._send(reply, rule, request)
        return headers.get("connection", "").lower() != "close"

    def _reply(self, call: str, request: Request, rule: Rule | None) -> Reply:
        if rule is not None and rule.kind == "silence":
            request.reader.drain()
            self.server.stopped.wait(rule.seconds)
            raise BrokenError
        if rule is not None and rule.kind == "html":
            return Reply(rule.status, b"<html><body>Please sign in to this network.</body></html>")
        try:
            if rule is not None and rule.kind == "status":
                raise CallError(rule.status, rule.code, "a fault on demand", rule.retry_after)
            reply = self.server.perform(call, request)
            if rule is not None and rule.kind == "lie" and reply.download is None:
                answer = json.loads(reply.body)
                rule.change(answer)
                reply.body = json.dumps(answer).encode()
        except CallError as error:
            answer = {"status": error.status, "code": error.code, "message": error.message}
            headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            return Reply(error.status, json.dumps(answer).encode(), headers)
        return reply

    def _send(self, reply: Reply, rule: Rule | None, request: Request) -> None:
        download = reply.download
        length = len(reply.body) if download is None else download.length
        head = {"Content-Length": str(length), "Content-Type": "application/json;charset=utf-8", **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}"]
        lines.append(f"Date: {formatdate(usegmt=True)}")
        lines += [f"{name}: {value}" for name, value in head.items()]
        start = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
        kind = "" if rule is None else rule.kind
        if kind == "drip" and rule is not None:
            for byte in start + reply.body:
                self.connection.sendall(bytes([byte]))
                if self.server.stopped.wait(rule.seconds):
                    break
            raise BrokenError
        if request.method == "HEAD":
            self.connection.sendall(start)
            return
        if download is None:
            self.connection.sendall(start + (b"" if kind == "short body" else reply.body))
            if kind in ("short body", "reset download"):
                raise BrokenError
            if kind == "long body":
                self.connection.sendall(b"and more than was promised")
                raise BrokenError
            return
        self.connection.sendall(start)
        self._send_content(download, rule)
        if kind == "long body":
            self.connection.sendall(b"and more than was promised")
            raise BrokenError

    def _send_content(self, download: Download, rule: Rule | None) -> None:
        line = self.server.faults.down
        kind = "" if rule is None else rule.kind
        stop_after = rule.after_bytes if rule is not None and kind in ("short body", "reset download") else None
        plain = not isinstance(self.connection, ssl.SSLSocket)
        with download.open() as file:
            if plain and line.bytes_per_second is None and kind not in ("flip", "short body", "reset download"):
                self.connection.sendfile(file, download.offset, download.length)
            else:
                sent = 0
                while sent < download.length:
                    data = file.read(min(line.piece, download.length - sent))
                    if not data:
                        raise BrokenError
                    if stop_after is not None and sent + len(data) > stop_after:
                        self.connection.sendall(data[: stop_after - sent])
                        if kind == "short body":
                            self.connection.shutdown(socket.SHUT_WR)
                        raise BrokenError
                    if kind == "flip" and sent == 0:
                        data = bytes([data[0] ^ 1]) + data[1:]
                    line.wait(len(data))
                    self.connection.sendall(data)
                    sent += len(data)
        self.server.counters.moved(sent=download.length)

    def _reset(self) -> None:
        """End the connection the hard way."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def call_name(method: str, target: str) -> str:
    """Return the name of the call that a request makes."""
    path = urlsplit(target).path
    match = _is_call(path)
    if match:
        return match[2]
    if path.startswith("/file/"):
        return "head_file" if method == "HEAD" else "b2_download_file_by_name"
    return "unknown"


class Server(socketserver.ThreadingTCPServer):
    """The listening socket, and what all connections share."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, port: int, service: Service, *, with_control: bool) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.service = service
        self.faults: Faults = service.faults
        self.counters = Counters()
        self.stopped = threading.Event()
        self._with_control = with_control
        service.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that broke."""

    def perform(self, call: str, request: Request) -> Reply:
        """Do what a call asks for."""
        service = self.service
        self._check_caps(call)
        path = urlsplit(request.target)
        match = _is_call(path.path)
        if call == "b2_authorize_account" and match is not None:
            request.reader.read_all(_MAX_JSON)
            key, token = service.access.sign_in(request.token)
            return Reply(200, json.dumps(authorize(service, key, token, int(match[1]))).encode())
        if call in ("b2_upload_file", "b2_upload_part") and match is not None and match[3] is not None:
            if "content-length" not in request.headers:
                raise CallError(411, "length_required", "Content-Length is missing")
            place = service.access.occupy(match[3], request.token)
            try:
                receive = receive_file if call == "b2_upload_file" else receive_part
                answer = receive(service, place, request.headers, request.length, request.reader.read_into)
            finally:
                service.access.release(place)
            self.counters.moved(received=request.length)
            return Reply(200, json.dumps(answer).encode())
        if path.path.startswith("/file/"):
            bucket, _, name = path.path.removeprefix("/file/").partition("/")
            return self._download(open_download(service, request, bucket=bucket, name=unquote_plus(name)))
        if call == "b2_download_file_by_id":
            if request.method == "GET":
                file_id = parse_qs(path.query).get("fileId", [""])[0]
            else:
                file_id = str(self._json(request).get("fileId"))
            return self._download(open_download(service, request, file_id=file_id))
        if call not in CALLS:
            raise CallError(404, "not_found", f"no such call: {call}")
        if not request.token:
            raise CallError(401, "bad_auth_token", "the Authorization header is missing")
        key = service.access.key_of(request.token)
        if request.method == "GET":
            values: dict[str, Any] = {name: texts[0] for name, texts in parse_qs(path.query).items()}
        else:
            values = self._json(request)
        try:
            answer = CALLS[call](service, key, values)
        except (TypeError, ValueError, AttributeError) as error:
            raise bad_request(f"the request does not fit: {error}", "bad_json") from None
        if call in ("b2_list_file_names", "b2_list_file_versions"):
            self.counters.more_names(len(answer["files"]))
        return Reply(200, json.dumps(answer).encode())

    def control(self, request: Request) -> Reply:
        """Set faults and read counters from another process."""
        body = request.reader.read_all(_MAX_JSON)
        if not self._with_control:
            return Reply(404, b"{}")
        what = request.target.removeprefix("/_control/")
        if what == "counters":
            return Reply(200, json.dumps(self.counters.snapshot()).encode())
        if what == "reset":
            self.counters.reset()
        elif what == "fault":
            self.faults.add(**json.loads(body))
        elif what == "clear":
            self.faults.clear()
        elif what == "conditions":
            values = json.loads(body)
            self.faults.up.bytes_per_second = values.get("up")
            self.faults.down.bytes_per_second = values.get("down")
            self.faults.latency_seconds = values.get("latency_seconds", 0.0)
            self.faults.token_seconds = values.get("token_seconds", 86400.0)
            self.faults.full_caps = set(values.get("full_caps", ()))
        else:
            return Reply(404, b"{}")
        return Reply(200, b"{}")

    def _check_caps(self, call: str) -> None:
        caps = self.faults.full_caps
        if "storage" in caps and call in ("b2_upload_file", "b2_upload_part", "b2_copy_file"):
            raise CallError(403, "storage_cap_exceeded", "Cannot upload or copy files, storage cap exceeded")
        if "download" in caps and call.startswith("b2_download"):
            raise CallError(403, "download_cap_exceeded", "Cannot download file, download cap exceeded")
        if "transaction" in caps and Counters.class_of(call) in "BC":
            raise CallError(403, "transaction_cap_exceeded", "Transaction cap exceeded")

    @staticmethod
    def _json(request: Request) -> dict[str, Any]:
        try:
            values = json.loads(request.reader.read_all(_MAX_JSON))
        except (ValueError, UnicodeDecodeError):
            raise bad_request("the request is not JSON", "bad_json") from None
        if not isinstance(values, dict):
            raise bad_request("the request is not a JSON object", "bad_json")
        return values

    @staticmethod
    def _download(download: Download) -> Reply:
        return Reply(download.status, b"", download.headers, download)
