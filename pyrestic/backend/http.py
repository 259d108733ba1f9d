"""The HTTP client: requests always end, and failures become our errors.

The caller interprets the status. Here, a request ends with a response (any status, the complete body), with a
TransientError for everything that may succeed later, or with an AccessError for an untrusted certificate. Until the
first response, most failures count as a wrong address or another kind of server, and are not retried for long.
"""

import contextlib
import http.client
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import requests
import urllib3
from typing_extensions import Buffer

from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.transport import CONNECT_SECONDS, find_proxies, guarded, make_session, show_host
from pyrestic.backend.watchdog import MIN_BYTES_PER_SECOND, Watchdog, WatchedRequest
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.errors import AccessError, BackendError, NoAnswerError, SilentError, TransientError, UnreachedError

MAX_ERROR_BYTES = 64 * 1024
"""Maximum length of an error response that is read."""

SENSELESS_ATTEMPTS = 4
"""Number of invalid responses in a row that end an operation: waiting seldom turns another server into ours."""
CLOSED_ATTEMPTS = 6
"""The same for connections that are closed without a response; half a minute, enough for a server restart."""
UNKNOWN_ATTEMPTS = 5
"""The same for connections that break before the first response of a run: some seconds, as the first retry is
immediate."""
SILENT_ATTEMPTS = 2
"""The same for connections on which nothing arrived within the stall limit."""
SILENCED_STALL_SECONDS = 20.0
"""The stall limit after that number of unanswered requests in a row."""

_WITH_CONTENT = (200, 206)
_MAY_HAVE_CONTENT = (201, 203)
"""Identity services send tokens with these; for a file, they are failures, whatever their body."""
_PIECE_BYTES = 256 * 1024
_AT_ONCE = 0.0
_DROPPED = (urllib3.exceptions.HTTPError, requests.RequestException, OSError)


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request: status, headers with lower-case names, the complete body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """Return the seconds in Retry-After, None if it is missing or a date."""
        seconds = _read_number(self.headers.get("retry-after", ""), digits=6)
        return None if seconds is None else float(seconds)

    @property
    def content_length(self) -> int | None:
        """The value of Content-Length, None if it is missing or no length."""
        return _read_number(self.headers.get("content-length", ""), digits=18)


class HttpClient:
    """Sends requests over persistent connections; thread-safe. `upload` and `download` limit the rates."""

    def __init__(
        self,
        settings: HttpSettings,
        connections: int,
        *,
        upload: TokenBucket | None = None,
        download: TokenBucket | None = None,
    ) -> None:
        self._settings = settings
        if settings.insecure_tls:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._session = make_session(settings, connections)
        self._watchdog = Watchdog(settings.stall_seconds)
        self._silences = 0
        self._reached = False
        self._upload = upload
        self._download = download
        # The watchdog handles everything except connecting: a socket timeout would cut off slow but steady uploads,
        # whose last megabytes wait in the system's buffers.
        self._timeout = (min(CONNECT_SECONDS, settings.stall_seconds), None)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Buffer | tuple[Buffer, ...] | None = None,
        max_length: int,
    ) -> Answer:
        """Send a request and return its response, whatever its status; with max_length 0 without its body.

        A body may consist of several buffers, which are sent one after the other without a copy.

        Raises TransientError if the connection fails or stalls, or if the body of a successful response is truncated or
        longer than max_length bytes; AccessError if the server's certificate is not trusted.
        """
        host = show_host(url)
        buffers = () if body is None else body if isinstance(body, tuple) else (body,)
        parts = [memoryview(buffer).cast("B") for buffer in buffers]
        shortest = SILENCED_STALL_SECONDS if self._silences >= SILENT_ATTEMPTS else None
        with self._watchdog.watch(sum(map(len, parts)), shortest) as guard:
            try:
                answer = self._send(guard, method, url, headers, parts, max_length)
            except _DROPPED as error:
                translated = _translated(host, guard, error, reached=self._reached)
                if isinstance(translated, SilentError):
                    self._silences += 1
                raise translated from error
        self._silences = 0
        self._reached = True
        return answer

    def interrupt(self) -> None:
        """Abort all running requests; later ones are possible."""
        self._watchdog.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()
        self._watchdog.close()

    def _send(
        self,
        guard: WatchedRequest,
        method: str,
        url: str,
        headers: Mapping[str, str],
        parts: list[memoryview],
        max_length: int,
    ) -> Answer:
        full = {"Accept-Encoding": "identity", "User-Agent": self._settings.user_agent or "pyrestic", **headers}
        body = _Body(parts, guard, self._upload)
        with guarded(guard):
            response = self._session.request(
                method,
                url,
                headers=full,
                # requests sends pieces of any buffer; its types only know bytes.
                # An empty body as well gets Content-Length this way: requests would send it in chunks.
                data=cast("Iterable[bytes]", body) if len(body) else None,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
                proxies=find_proxies(self._settings, url),
            )
        guard.progressed()
        with contextlib.closing(response):
            lowered = {name.lower(): value for name, value in response.headers.items()}
            if method == "HEAD" or not max_length:
                return Answer(response.status_code, lowered, b"")
            content = self._read(show_host(url), response, guard, lowered, max_length)
            return Answer(response.status_code, lowered, content)

    def _read(
        self, host: str, response: requests.Response, guard: WatchedRequest, headers: Mapping[str, str], max_length: int
    ) -> bytes:
        length = _read_number(headers.get("content-length", ""), digits=18)
        fits = response.status_code in _MAY_HAVE_CONTENT and length is not None and length <= max_length
        if response.status_code not in _WITH_CONTENT and not fits:
            return _read_at_most(response, MAX_ERROR_BYTES)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return _read_chunked(host, response, guard, max_length)
        if length is None:
            # Its end cannot be distinguished from a broken connection.
            raise NoAnswerError(
                f"the response of {host} is truncated in its headers, or has no valid length",
                attempts=SENSELESS_ATTEMPTS,
            )
        if length > max_length:
            raise TransientError(
                f"the response of {host} is too long: {length} bytes instead of {max_length}",
                attempts=SENSELESS_ATTEMPTS,
            )
        guard.allow(length / MIN_BYTES_PER_SECOND)
        content = self._read_exactly(response, guard, length)
        if len(content) != length:
            raise NoAnswerError(
                f"the response of {host} ended after {len(content)} of {length} bytes", retry_after_seconds=_AT_ONCE
            )
        return content

    def _read_exactly(self, response: requests.Response, guard: WatchedRequest, length: int) -> bytes:
        if self._download is None:
            return _read_at_most(response, length)
        pieces = []
        remaining = length
        while remaining:
            piece_length = min(remaining, self._download.piece_bytes)
            guard.allow(self._download.take(piece_length))
            piece = _read_at_most(response, piece_length)
            pieces.append(piece)
            remaining -= len(piece)
            if len(piece) != piece_length:
                break
        return b"".join(pieces)


class _Body:
    """The body of a request, read in pieces at the rate that the limit allows."""

    def __init__(self, parts: list[memoryview], guard: WatchedRequest, limit: TokenBucket | None) -> None:
        self._parts = parts
        self._guard = guard
        self._limit = limit

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[memoryview]:
        step = _PIECE_BYTES if self._limit is None else self._limit.piece_bytes
        for part in self._parts:
            for start in range(0, len(part), step):
                piece = part[start : start + step]
                if self._limit is not None:
                    self._guard.allow(self._limit.take(len(piece)))
                yield piece


def _read_chunked(host: str, response: requests.Response, guard: WatchedRequest, max_length: int) -> bytes:
    guard.allow(max_length / MIN_BYTES_PER_SECOND)
    content = _read_at_most(response, max_length + 1)
    if len(content) > max_length:
        raise TransientError(
            f"the response of {host} exceeds the limit of {max_length} bytes", attempts=SENSELESS_ATTEMPTS
        )
    return content


def _read_number(text: str, *, digits: int) -> int | None:
    """Return a number in a header of at most so many digits, None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def _read_at_most(response: requests.Response, length: int) -> bytes:
    """Return the next bytes of the body, fewer only if it ends."""
    data: bytes = response.raw.read(length, decode_content=False)
    if len(data) in (0, length):
        return data
    pieces = [data]
    remaining = length - len(data)
    while remaining and (data := response.raw.read(remaining, decode_content=False)):
        pieces.append(data)
        remaining -= len(data)
    return b"".join(pieces)


def _translated(host: str, guard: WatchedRequest, error: Exception, *, reached: bool) -> BackendError:
    """Return our error for one of requests, urllib3 or the system; `reached`: the server has responded before.

    If so, the server is the right one and the network may come back, which is worth a long wait.
    """
    if guard.stalled:
        return SilentError(f"a request to {host} was aborted: {guard.verdict}", attempts=SILENT_ATTEMPTS)
    if guard.verdict:
        return NoAnswerError(f"a request to {host} was aborted: {guard.verdict}")
    causes = _causes(error)
    text = _words(causes)
    if "certificate verify failed" in text.lower() or "CERTIFICATE" in text:
        return AccessError(
            f"the certificate of {host} is not trusted",
            hint="If it is the right server, pass the certificate of its issuer with --cacert.",
        )
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema | UnicodeError):
        return AccessError(f"{host} is not the address of a server")
    if any(word in text for word in _NO_HTTP):
        return NoAnswerError(f"the server at {host} does not speak HTTP{_shown(causes)}", attempts=SENSELESS_ATTEMPTS)
    if guard.attached and "TimeoutError" in text:
        # It was connected: nobody responded to the TLS handshake.
        return SilentError(f"{host}: the server does not answer in time", attempts=SILENT_ATTEMPTS)
    if "PermissionError" in text:
        return AccessError(f"{host}: this user may not connect to it")
    for words, plain, attempts in _PLAIN:
        if any(word in text for word in words):
            kind = UnreachedError if attempts is None and not reached else NoAnswerError
            return kind(f"{host}: {plain}", attempts=attempts)
    if "RemoteDisconnected" in text:
        # Usually a persistent connection that the server has closed meanwhile: a new one works.
        return NoAnswerError(
            f"the connection to {host} was lost: it was closed without a response",
            retry_after_seconds=_AT_ONCE,
            attempts=CLOSED_ATTEMPTS,
        )
    if not reached and any(type(cause) in _MALFORMED for cause in causes):
        return NoAnswerError(f"the response of {host} is truncated, or is not valid HTTP", attempts=SENSELESS_ATTEMPTS)
    attempts = None if reached else UNKNOWN_ATTEMPTS
    if any(word in text for word in _CUT):
        return NoAnswerError(f"the connection to {host} was lost", retry_after_seconds=_AT_ONCE, attempts=attempts)
    return NoAnswerError(f"the request to {host} failed ({type(error).__name__})", attempts=attempts)


_PLAIN: tuple[tuple[tuple[str, ...], str, int | None], ...] = (
    (("NameResolutionError", "gaierror"), "the name of the server cannot be resolved", None),
    (("ConnectionRefusedError",), "the server refuses connections", None),
    (("ConnectTimeout", "ReadTimeout", "TimeoutError"), "the server does not answer in time", None),
    (("ProxyError",), "the proxy does not let the request through", CLOSED_ATTEMPTS),
    (("FileNotFoundError",), "there is no such socket", CLOSED_ATTEMPTS),
    (("NewConnectionError",), "the server cannot be reached", None),
    (("SSLError", "SSLEOFError"), "the encrypted connection could not be set up", CLOSED_ATTEMPTS),
)
"""Words of the cause, our message, and how often in a row it may occur before the operation fails; None limits it only
by time, because a network comes back."""
_NO_HTTP = ("BadStatusLine", "HTTPException", "LineTooLong", "UnknownProtocol")
_MALFORMED = (requests.exceptions.InvalidHeader, ValueError)
"""Two lengths that differ; chunks without a length. A connection cut between two chunks looks like the latter."""
_CUT = ("ConnectionReset", "BrokenPipe", "IncompleteRead", "ConnectionAborted")
_SHOWN_CHARACTERS = 40


def _shown(causes: list[BaseException]) -> str:
    """Return the peer's reply that was not HTTP, for a person, "" if it is not a single line."""
    lines = [str(cause) for cause in causes if isinstance(cause, http.client.BadStatusLine)]
    line = lines[0].strip() if lines else ""
    return f": it answered {line[:_SHOWN_CHARACTERS]!a}" if line else ""


def _words(causes: list[BaseException]) -> str:
    """Return the types of errors, with the text of TLS failures."""
    return " ".join(
        f"{type(cause).__name__} {cause}" if "SSL" in type(cause).__name__ else type(cause).__name__ for cause in causes
    )


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and its chain of causes."""
    causes: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        item = todo.pop()
        if isinstance(item, BaseException) and not any(item is cause for cause in causes):
            causes.append(item)
            todo += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return causes
