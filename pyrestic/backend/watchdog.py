"""Aborts requests that hang: one thread checks all running requests and shuts down stuck connections.

Socket timeouts only bound single reads and writes: a peer that sends a byte a minute never exceeds them. The watchdog
uses the kernel's count of moved bytes: bytes that the peer acknowledged and bytes that arrived. This works through
encryption and buffers and costs the request nothing. On systems other than Linux, and on Unix sockets, only the overall
deadline applies.
"""

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

MIN_PROGRESS_BYTES = 16 * 1024
"""A request that moves fewer bytes than this within the stall limit is stuck."""

MIN_BYTES_PER_SECOND = 2048
"""Minimum average rate of a request, beyond twice the stall limit."""

INTERRUPTED_STALL_SECONDS = 5.0
"""The stall limit for the remaining work after the program was interrupted."""

_ACKED_AND_RECEIVED = struct.Struct("=120xQQ")
"""struct tcp_info of Linux 4.1 and later: tcpi_bytes_acked and tcpi_bytes_received."""


class WatchedRequest:
    """A watched request. `verdict` is the reason why its connection was shut down, "" if it was not.

    `stalled` is set if the reason was a lack of progress.
    """

    def __init__(self, stall_seconds: float, deadline_seconds: float, clock: Callable[[], float]) -> None:
        self.verdict = ""
        self.stalled = False
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._line: socket.socket | None = None
        self._moved = 0
        now = clock()
        self._started = self._moved_at = now
        self._deadline = now + deadline_seconds

    @property
    def attached(self) -> bool:
        """Whether there was a connection for the request."""
        return self._line is not None

    def attach(self, line: socket.socket) -> None:
        """Watch this socket from now on; it belongs to the caller, and shutting it down ends the request."""
        self._line = line
        self._moved = find_moved_bytes(line) or 0
        self.progressed()
        if self.verdict:
            _shut_down(line)

    def progressed(self) -> None:
        """Restart the stall timer: a phase of the request has ended, or the request waited for us."""
        self._moved_at = self._clock()

    def allow(self, seconds: float) -> None:
        """Extend the deadline: the delay was ours, or there is more to transfer than expected."""
        self._deadline += seconds
        self.progressed()

    def end(self, verdict: str) -> None:
        """Shut the connection down for a reason."""
        self.verdict = verdict
        if self._line is not None:
            _shut_down(self._line)

    def look(self) -> None:
        """Shut the connection down if the request is stuck."""
        now = self._clock()
        line = self._line
        if line is not None:
            moved = find_moved_bytes(line)
            if moved is None:
                self._moved_at = now
            elif moved - self._moved >= MIN_PROGRESS_BYTES:
                self._moved = moved
                self._moved_at = now
        if now > self._deadline:
            self.stalled = True
            self.end(f"it did not end within {self._deadline - self._started:.3g} s")
        elif now - self._moved_at > self._stall_seconds:
            self.stalled = True
            self.end(f"almost no data was transferred for {self._stall_seconds:g} s")


class Watchdog:
    """Watches the requests of one client. `stall_seconds` is the stall limit."""

    def __init__(self, stall_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._guards: set[WatchedRequest] = set()
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watch(self, length: int, at_most_seconds: float | None = None) -> Iterator[WatchedRequest]:
        """Watch a request that transfers this number of bytes, for the duration of a with block.

        `at_most_seconds` lowers the stall limit.
        """
        stall = self._stall_seconds if at_most_seconds is None else min(self._stall_seconds, at_most_seconds)
        guard = WatchedRequest(stall, 2 * stall + length / MIN_BYTES_PER_SECOND, self._clock)
        with self._changed:
            self._guards.add(guard)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            if len(self._guards) == 1:
                self._changed.notify()
        try:
            yield guard
        finally:
            with self._changed:
                self._guards.discard(guard)

    def interrupt(self) -> None:
        """Abort all running requests; later ones have only a few seconds without progress."""
        with self._changed:
            self._stall_seconds = min(self._stall_seconds, INTERRUPTED_STALL_SECONDS)
            for guard in self._guards:
                guard.end("the program was interrupted")

    def close(self) -> None:
        """End the thread; running requests are no longer watched."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        tick = min(max(self._stall_seconds / 20, 0.02), 2.0)
        with self._changed:
            while not self._closed:
                self._changed.wait(tick if self._guards else None)
                for guard in self._guards:
                    guard.look()


def find_moved_bytes(line: socket.socket) -> int | None:
    """Return the number of bytes moved in both directions, None if the system does not report it."""
    if not sys.platform.startswith("linux") or line.family == socket.AF_UNIX:
        return None
    try:
        facts = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AND_RECEIVED.size)
    except OSError:
        # Closed meanwhile; its user will notice.
        return None
    if len(facts) < _ACKED_AND_RECEIVED.size:
        return None
    acked, received = _ACKED_AND_RECEIVED.unpack(facts)
    return int(acked) + int(received)


def _shut_down(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
