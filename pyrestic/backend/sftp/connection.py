"""One connection to an SFTP server: many requests at once from many threads, one thread that reads the replies.

A request ends with its reply or with an error: if nothing arrives for the stall limit although requests are waiting,
the connection is shut down. The contents of files go from and to the buffers of the callers without a copy.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from typing_extensions import Buffer

from pyrestic.backend.sftp.packets import (
    BROKEN_ATTEMPTS,
    HEADER,
    LENGTH,
    VERSION,
    ReplyType,
    RequestType,
    broken_protocol,
    parse_version,
)
from pyrestic.backend.watchdog import INTERRUPTED_STALL_SECONDS
from pyrestic.errors import AccessError, BackendError, NoAnswerError, SilentError, TransientError

SILENT_ATTEMPTS = 2
"""Number of connections in a row on which nothing arrived within the stall limit that end an operation."""
_MAX_REPLY_BYTES = 1 << 20
"""Longest reply without content of a file: a part of a folder. OpenSSH sends a quarter of it at most."""
_TIMEVAL = struct.Struct("@ll")
_AT_ONCE = 0.0
_SHOWN_BYTES = 60
_HEADER_REST = HEADER.size - LENGTH.size

MakeError = Callable[[], BackendError]


class PendingRequest:
    """A request that waits for its reply. `room` takes the content of a file, of which `length` bytes came."""

    __slots__ = ("_settled", "body", "error", "kind", "length", "room")

    def __init__(self, room: memoryview | None) -> None:
        self.room = room
        self.kind = 0
        self.body = b""
        self.length = 0
        self.error: MakeError | None = None
        self._settled = threading.Event()

    def wait(self) -> None:
        """Wait for the reply; raise the error if there will be none."""
        self._settled.wait()
        if self.error is not None:
            raise self.error()

    def settle(self, error: MakeError | None = None) -> None:
        """Wake the thread that waits, with the reply or an error; only the first time counts."""
        if not self._settled.is_set():
            self.error = error
            self._settled.set()


class SftpConnection:
    """An SFTP session on a connected socket.

    The constructor waits for the server's first reply. It raises ConnectionError if the peer ends before that,
    AccessError if it does not speak SFTP, SilentError if it says nothing.
    """

    def __init__(
        self, line: socket.socket, stall_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = line
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, PendingRequest] = {}
        self._next = 0
        self._quiet_since = clock()
        self._death: MakeError | None = None
        tick = min(max(stall_seconds / 20, 0.02), 2.0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(tick), int(tick % 1 * 1e6)))
        self.extensions = self._greet()
        self._reader = threading.Thread(target=self._read_replies, name="sftp", daemon=True)
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        """Whether requests can be sent."""
        return self._death is None

    def send(self, kind: RequestType, *fields: Buffer, room: memoryview | None = None) -> PendingRequest:
        """Send a request and return it; raise BackendError if the connection is lost."""
        length = sum(memoryview(field).nbytes for field in fields)
        pending = PendingRequest(room)
        with self._lock:
            if self._death is not None:
                raise self._death()
            number = self._next
            self._next = (number + 1) & 0xFFFFFFFF
            if not self._waiting:
                self._quiet_since = self._clock()
            self._waiting[number] = pending
        try:
            with self._writing:
                self._write([memoryview(part) for part in (HEADER.pack(_HEADER_REST + length, kind, number), *fields)])
        except OSError:
            self.fail(_lost)
            pending.wait()
        except BaseException:
            # The packet may be incomplete, so nothing can follow it.
            self.fail(_lost)
            raise
        return pending

    def interrupt(self) -> None:
        """Let all waiting requests fail with TransientError; later ones get only a few seconds."""
        with self._lock:
            self._stall_seconds = min(self._stall_seconds, INTERRUPTED_STALL_SECONDS)
            waiting = list(self._waiting.values())
        for pending in waiting:
            pending.settle(lambda: TransientError("the program was interrupted"))

    def fail(self, make_error: MakeError) -> None:
        """Shut the connection down; all requests fail with this error."""
        with self._lock:
            if self._death is None:
                self._death = make_error
            death = self._death
            waiting = list(self._waiting.values())
            self._waiting.clear()
        # Closing it would not wake the threads that use it.
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        for pending in waiting:
            pending.settle(death)

    def close(self) -> None:
        """End the connection and its thread."""
        self.fail(lambda: BackendError("the connection was closed"))
        self._reader.join()
        self._line.close()

    def _greet(self) -> dict[str, str]:
        """Exchange versions; return the server's extensions."""
        self._quiet_since = self._clock()
        try:
            self._write([memoryview(LENGTH.pack(5) + bytes([RequestType.INIT]) + LENGTH.pack(VERSION))])
            head = self._receive(5, waits=True)
            length, kind = LENGTH.unpack(head[:4])[0], head[4]
            if kind != ReplyType.VERSION or not 5 <= length <= _MAX_REPLY_BYTES:
                self._refuse_other(head)
            return parse_version(self._receive(length - 1, waits=True))
        except OSError as error:
            raise ConnectionError from error

    def _refuse_other(self, head: bytes) -> NoReturn:
        """Raise AccessError: a login script that prints something is a common mistake."""
        more = b""
        with contextlib.suppress(OSError):
            more = self._line.recv(_SHOWN_BYTES)
        said = (head + more)[:_SHOWN_BYTES].decode("ascii", "replace").splitlines()[0]
        raise AccessError(
            f"the server does not speak SFTP: it answered {said!a}",
            hint="Its login scripts must print nothing in sessions without a terminal.",
        )

    def _write(self, parts: list[memoryview]) -> None:
        """Write all parts to the socket; raise OSError."""
        while parts:
            done = self._line.sendmsg(parts)
            while parts and done >= parts[0].nbytes:
                done -= parts.pop(0).nbytes
            if done:
                parts[0] = parts[0].cast("B")[done:]

    def _read_replies(self) -> None:
        """Deliver replies until the connection ends; the task of the thread."""
        try:
            while True:
                length, kind, number = HEADER.unpack(self._receive(HEADER.size))
                with self._lock:
                    pending = self._waiting.get(number)
                if pending is None:
                    raise broken_protocol("it replied to a request that was not sent")
                if kind == ReplyType.DATA and pending.room is not None:
                    self._read_content(pending, length - _HEADER_REST)
                else:
                    self._read_body(pending, kind, length - _HEADER_REST)
                with self._lock:
                    self._waiting.pop(number, None)
                pending.settle()
        except TransientError as error:
            kind, text, attempts = type(error), str(error), error.attempts
            self.fail(lambda: kind(text, attempts=attempts))
        except OSError:
            self.fail(_lost)
        except Exception as error:
            # Without this thread every request would wait forever.
            text = f"a reply of the SFTP server could not be read ({type(error).__name__})"
            self.fail(lambda: NoAnswerError(text, attempts=BROKEN_ATTEMPTS))

    def _read_content(self, pending: PendingRequest, length: int) -> None:
        assert pending.room is not None  # noqa: S101 - the caller has looked
        (count,) = LENGTH.unpack(self._receive(LENGTH.size))
        if length < LENGTH.size or count > len(pending.room) or count + LENGTH.size != length:
            raise broken_protocol("a reply has another length than was asked for")
        self._receive_into(pending.room[:count])
        pending.kind, pending.length = ReplyType.DATA, count

    def _read_body(self, pending: PendingRequest, kind: int, length: int) -> None:
        if not 0 <= length <= _MAX_REPLY_BYTES:
            raise broken_protocol("a reply has an impossible length")
        pending.kind, pending.body = kind, self._receive(length)

    def _receive(self, length: int, *, waits: bool = False) -> bytes:
        data = bytearray(length)
        self._receive_into(memoryview(data), waits=waits)
        return bytes(data)

    def _receive_into(self, room: memoryview, *, waits: bool = False) -> None:
        """Fill the buffer; raise ConnectionError at the end of the stream, SilentError, OSError.

        `waits` counts the silence even if no request is waiting.
        """
        while room:
            try:
                count = self._line.recv_into(room, len(room), socket.MSG_WAITALL)
            except BlockingIOError:
                self._refuse_silence(waits=waits)
                continue
            if not count:
                raise ConnectionError("the peer closed the connection")
            room = room[count:]
            self._quiet_since = self._clock()

    def _refuse_silence(self, *, waits: bool) -> None:
        with self._lock:
            quiet = self._clock() - self._quiet_since if waits or self._waiting else 0.0
            limit = self._stall_seconds
        if quiet > limit:
            raise SilentError(f"the SFTP server did not answer for {limit:g} s", attempts=SILENT_ATTEMPTS)


def _lost() -> BackendError:
    return NoAnswerError("the connection to the SFTP server was lost", retry_after_seconds=_AT_ONCE)
