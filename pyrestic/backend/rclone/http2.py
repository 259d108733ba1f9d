"""An HTTP/2 client on one connected socket, without TLS; it needs the package h2.

One thread reads, another writes: whoever did both would wait for a peer that waits for the reader. The threads that
send requests hand over frames as the windows of the peer allow, and wait for the end of their response.
"""

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from typing_extensions import Buffer

from pyrestic.backend.http import MAX_ERROR_BYTES, SENSELESS_ATTEMPTS, SILENT_ATTEMPTS, Answer
from pyrestic.backend.watchdog import INTERRUPTED_STALL_SECONDS
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.errors import BackendError, NoAnswerError, SilentError, TransientError

_STREAM_WINDOW_BYTES = 4 << 20
_LINE_WINDOW_BYTES = 32 << 20
_FRAME_BYTES = 256 * 1024
_UNSENT_BYTES = 1 << 20
"""Bytes that wait for the writing thread; a request with a body waits until there are fewer."""
_READ_BYTES = 256 * 1024
_WITH_CONTENT = (200, 206)
_TIMEVAL = struct.Struct("@ll")
_AT_ONCE = 0.0

MakeError = Callable[[], BackendError]


class _Stream:
    """A request that waits for its response."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.length = 0
        self.is_sent = False
        self.has_ended = False
        self.error: MakeError | None = None

    @property
    def limit(self) -> int:
        return self.max_length if self.status in _WITH_CONTENT else MAX_ERROR_BYTES


class Http2Client:
    """Sends requests over one connection, which ends with the first failure of the transport; thread-safe."""

    def __init__(
        self,
        line: socket.socket,
        stall_seconds: float,
        *,
        upload: TokenBucket | None = None,
        download: TokenBucket | None = None,
    ) -> None:
        self.stall_seconds = stall_seconds
        """How long the peer may neither send nor take anything while a request is open."""
        self._line = line
        self._upload = upload
        self._download = download
        self._changed = threading.Condition()
        self._streams: dict[int, _Stream] = {}
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._moved_at = time.monotonic()
        self._death: MakeError | None = None
        tick = min(max(stall_seconds / 20, 0.02), 1.0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(tick), int(tick % 1 * 1e6)))
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        codes = h2.settings.SettingCodes
        # Later, a frame that arrives together with the confirmation would count as too long.
        first = {codes.MAX_FRAME_SIZE: _FRAME_BYTES, codes.ENABLE_PUSH: 0}
        self._http.local_settings = h2.settings.Settings(client=True, initial_values=first)
        self._http.max_inbound_frame_size = _FRAME_BYTES
        self._http.initiate_connection()
        # Before the connection is initiated, this would have no effect.
        self._http.update_settings({codes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES})
        self._http.increment_flow_control_window(_LINE_WINDOW_BYTES)
        with self._changed:
            self._hand_over()
        self._threads = [
            threading.Thread(target=target, name=f"http2-{name}", daemon=True)
            for name, target in (("read", self._read), ("write", self._write))
        ]
        for thread in self._threads:
            thread.start()

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Buffer | None = None, max_length: int
    ) -> Answer:
        """Send a request and return its response; see HttpClient."""
        data = None if body is None else memoryview(body).cast("B")
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        fields += [(name.lower(), value) for name, value in headers.items()]
        if data is not None:
            fields.append(("content-length", str(len(data))))
        stream = _Stream(0 if method == "HEAD" else max_length)
        stream.is_sent = data is None
        with self._changed:
            self._refuse_dead()
            if not self._streams:
                self._moved_at = time.monotonic()
            with self._translated():
                number = self._http.get_next_available_stream_id()
                self._http.send_headers(number, fields, end_stream=data is None)
            self._streams[number] = stream
            self._hand_over()
        try:
            if data is not None:
                self._send_body(number, stream, data)
            with self._changed:
                self._changed.wait_for(lambda: stream.has_ended or stream.error is not None)
        finally:
            self._forget(number, stream)
        if stream.error is not None:
            raise stream.error()
        return self._answer(stream)

    def is_alive(self) -> bool:
        """Return whether requests can be sent."""
        return self._death is None

    def interrupt(self) -> None:
        """Abort all running requests; later ones get only a few seconds."""
        with self._changed:
            self.stall_seconds = min(self.stall_seconds, INTERRUPTED_STALL_SECONDS)
            for stream in self._streams.values():
                stream.error = stream.error or (lambda: TransientError("the program was interrupted"))
            self._changed.notify_all()

    def close(self) -> None:
        """End the connection and the threads."""
        self._fail(lambda: BackendError("the connection was closed"))
        for thread in self._threads:
            thread.join()
        self._line.close()

    def _answer(self, stream: _Stream) -> Answer:
        body = b"".join(stream.pieces)
        answer = Answer(stream.status, stream.headers, body)
        wanted = answer.content_length
        if stream.max_length and stream.status in _WITH_CONTENT and wanted not in (None, len(body)):
            raise NoAnswerError(f"the response of rclone ended after {len(body)} of {wanted} bytes")
        if self._download is not None:
            self._download.take(len(body))
        return answer

    def _send_body(self, number: int, stream: _Stream, data: memoryview) -> None:
        """Hand over the body in frames as the windows allow; stop early if the response has come."""
        start = 0
        while start < len(data) or not len(data):
            with self._changed:
                self._changed.wait_for(lambda: self._is_settled(stream) or self._room(number) > 0)
                if self._is_settled(stream):
                    return
                length = min(self._room(number), len(data) - start)
            if self._upload is not None and length:
                length = min(length, self._upload.piece_bytes)
                self._upload.take(length)
            with self._changed:
                if self._is_settled(stream):
                    return
                length = min(length, self._room(number))
                with self._translated():
                    piece = bytes(data[start : start + length])
                    self._http.send_data(number, piece, end_stream=start + length == len(data))
                self._hand_over()
            start += length
            if start == len(data):
                stream.is_sent = True
                return

    def _is_settled(self, stream: _Stream) -> bool:
        return stream.has_ended or stream.error is not None

    def _room(self, number: int) -> int:
        """Return the length of the next frame of a body, 0 while it must wait."""
        if self._unsent_bytes >= _UNSENT_BYTES:
            return 0
        with self._translated():
            window = self._http.local_flow_control_window(number)
        return min(window, self._http.max_outbound_frame_size)

    def _forget(self, number: int, stream: _Stream) -> None:
        """Drop a request; the peer is told if it has not ended."""
        with self._changed:
            self._streams.pop(number, None)
            if (stream.is_sent and stream.has_ended) or self._death is not None:
                return
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._http.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
                self._hand_over()

    def _refuse_dead(self) -> None:
        if self._death is not None:
            raise self._death()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except h2.exceptions.ProtocolError as error:
            self._die(_broken(error))
            self._refuse_dead()

    def _hand_over(self) -> None:
        """Give what h2 wants to send to the writing thread; the lock is held."""
        data = self._http.data_to_send()
        if data:
            self._unsent.append(data)
            self._unsent_bytes += len(data)
            self._changed.notify_all()

    def _fail(self, make_error: MakeError) -> None:
        with self._changed:
            self._die(make_error)

    def _die(self, make_error: MakeError) -> None:
        """End the connection with an error for all requests; the lock is held."""
        if self._death is None:
            self._death = make_error
        for stream in self._streams.values():
            if not stream.has_ended:
                stream.error = stream.error or self._death
        self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        """Write what is handed over; the task of a thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unsent or self._death is not None)
                if self._death is not None:
                    return
                data = self._unsent.popleft()
            try:
                self._line.sendall(data)
            except OSError:
                self._fail(_lost)
                return
            except Exception as error:
                self._fail(_broken(error))
                return
            with self._changed:
                self._unsent_bytes -= len(data)
                self._moved_at = time.monotonic()
                self._changed.notify_all()

    def _read(self) -> None:
        """Deliver responses until the connection ends; the task of a thread."""
        while True:
            try:
                data = self._line.recv(_READ_BYTES)
            except BlockingIOError:
                if self._is_silent():
                    return
                continue
            except OSError:
                data = b""
            if not data:
                self._fail(_lost)
                return
            with self._changed:
                self._moved_at = time.monotonic()
                try:
                    for event in self._http.receive_data(data):
                        self._take(event)
                    self._hand_over()
                except Exception as error:
                    # Without this thread every request would wait forever.
                    self._die(_broken(error))
                    return
                self._changed.notify_all()

    def _is_silent(self) -> bool:
        """Return whether the peer was silent for too long, and end the connection if so."""
        with self._changed:
            seconds = self.stall_seconds
            if self._streams and time.monotonic() - self._moved_at > seconds:
                self._die(lambda: SilentError(f"rclone did not answer for {seconds:g} s", attempts=SILENT_ATTEMPTS))
            return self._death is not None

    def _take(self, event: h2.events.Event) -> None:
        """Take an event of the connection; the lock is held."""
        if isinstance(event, h2.events.ConnectionTerminated):
            self._die(_lost)
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.DataReceived):
            self._take_data(event, stream)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = {str(name): str(value) for name, value in event.headers}
            status = stream.headers.pop(":status", "")
            stream.status = int(status) if status.isascii() and status.isdigit() else 0
        elif isinstance(event, h2.events.StreamEnded):
            stream.has_ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.error = stream.error or _lost

    def _take_data(self, event: h2.events.DataReceived, stream: _Stream | None) -> None:
        if event.flow_controlled_length:
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream is None or stream.error is not None or not stream.max_length:
            return
        stream.length += len(event.data)
        if stream.length > stream.limit:
            text = f"the response of rclone exceeds the limit of {stream.limit} bytes"
            stream.error = lambda: TransientError(text, attempts=SENSELESS_ATTEMPTS)
            stream.pieces.clear()
            return
        stream.pieces.append(event.data)


def _lost() -> BackendError:
    return NoAnswerError("the connection to rclone was lost", retry_after_seconds=_AT_ONCE)


def _broken(error: Exception) -> MakeError:
    text = f"rclone broke the protocol ({type(error).__name__})"
    return lambda: NoAnswerError(text, attempts=SENSELESS_ATTEMPTS)
