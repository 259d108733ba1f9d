"""The one HTTP client: requests that always end, and failures as our errors.

What a status means is up to the caller; here a request ends with an answer (any status, the body read whole), or with
a TransientError for all that may go better next time, or with an AccessError for a certificate that is not trusted.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import requests
import urllib3
from typing_extensions import Buffer

from pyrestic.backend.httpsettings import HttpSettings
from pyrestic.backend.transport import CONNECT_SECONDS, find_proxies, guarded, make_session
from pyrestic.backend.watchdog import MIN_BYTES_PER_SECOND, Guard, Watchdog
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.errors import AccessError, BackendError, TransientError

MAX_ERROR_BYTES = 64 * 1024
"""Most that is read of an answer that reports a failure."""

_PIECE_BYTES = 256 * 1024
_AT_ONCE = 0.0
_DROPPED = (urllib3.exceptions.HTTPError, requests.RequestException, OSError)


class NoAnswerError(TransientError):
    """The connection failed before the answer was there whole: what was asked for may have been done or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: status, headers with lower-case names, the body whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """What Retry-After says, None if it says nothing or gives a date."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() and len(text) < 7 else None


class HttpClient:
    """Sends requests from any thread over kept connections. `upload` and `download` limit the bodies' rates."""

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
        self._upload = upload
        self._download = download
        # All but connecting is left to the watchdog: a time-out of the socket would cut off slow but steady uploads,
        # whose last megabytes wait in the system's buffers.
        self._timeout = (min(CONNECT_SECONDS, settings.stall_seconds), None)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Buffer | None = None,
        max_length: int,
    ) -> Answer:
        """Send a request and return its answer, of any status.

        Raises TransientError if the connection fails, stalls, or the body of a good answer is cut or longer than
        max_length bytes; AccessError if the server's certificate is not trusted.
        """
        try:
            host = urlsplit(url).netloc.rpartition("@")[2]
        except ValueError:
            raise AccessError("there is an address that makes no sense") from None
        data = None if body is None else memoryview(body).cast("B")
        sent_length = 0 if data is None else len(data)
        with self._watchdog.watch(sent_length) as guard:
            try:
                return self._send(guard, method, url, headers, data, max_length)
            except _DROPPED as error:
                raise _translated(host, guard, error) from error

    def interrupt(self) -> None:
        """End all requests that run now; later ones are possible."""
        self._watchdog.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()
        self._watchdog.close()

    def _send(
        self,
        guard: Guard,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: memoryview | None,
        max_length: int,
    ) -> Answer:
        full = {"Accept-Encoding": "identity", "User-Agent": self._settings.user_agent or "pyrestic", **headers}
        with guarded(guard):
            response = self._session.request(
                method,
                url,
                headers=full,
                # requests sends pieces of any buffer; its types know only bytes.
                data=None if data is None else cast("Iterable[bytes]", _Body(data, guard, self._upload)),
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
                proxies=find_proxies(self._settings, url),
            )
        guard.progressed()
        with contextlib.closing(response):
            lowered = {name.lower(): value for name, value in response.headers.items()}
            content = b"" if method == "HEAD" else self._read(response, guard, lowered, max_length)
            return Answer(response.status_code, lowered, content)

    def _read(self, response: requests.Response, guard: Guard, headers: Mapping[str, str], max_length: int) -> bytes:
        failed = response.status_code >= 400
        length_text = headers.get("content-length", "")
        length = int(length_text) if length_text.isdigit() and len(length_text) < 19 else None
        if failed:
            return _read_at_most(response, MAX_ERROR_BYTES)
        if length is not None and length > max_length:
            raise TransientError(f"the answer is longer than it may be: {length} bytes instead of {max_length}")
        if length is None and response.status_code != 204 and "transfer-encoding" not in headers:
            # Its end could not be told from a broken connection.
            raise NoAnswerError("the answer broke off in its headers, or does not tell its length")
        if length is None:
            guard.allow(max_length / MIN_BYTES_PER_SECOND)
            content = _read_at_most(response, max_length + 1)
            if len(content) > max_length:
                raise TransientError(f"the answer is longer than the {max_length} bytes it may have")
            return content
        guard.allow(length / MIN_BYTES_PER_SECOND)
        content = self._read_exactly(response, guard, length)
        if len(content) != length:
            raise NoAnswerError(
                f"the answer ended after {len(content)} of {length} bytes", retry_after_seconds=_AT_ONCE
            )
        return content

    def _read_exactly(self, response: requests.Response, guard: Guard, length: int) -> bytes:
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
    """The body of a request, handed out in pieces as fast as the limit allows."""

    def __init__(self, data: memoryview, guard: Guard, limit: TokenBucket | None) -> None:
        self._data = data
        self._guard = guard
        self._limit = limit

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        step = _PIECE_BYTES if self._limit is None else self._limit.piece_bytes
        for start in range(0, len(self._data), step):
            piece = self._data[start : start + step]
            if self._limit is not None:
                self._guard.allow(self._limit.take(len(piece)))
            yield piece


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


def _translated(host: str, guard: Guard, error: Exception) -> BackendError:
    """Return our error for one of requests, urllib3 or the system."""
    if guard.verdict:
        return NoAnswerError(f"a request to {host} was given up: {guard.verdict}")
    text = _causes(error)
    if "certificate verify failed" in text.lower() or "CERTIFICATE" in text:
        return AccessError(
            f"the certificate of {host} is not trusted",
            hint="If it is the right server, give the certificate it was signed with by --cacert.",
        )
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema | UnicodeError):
        return AccessError(f"{host} is not the address of a server")
    for words, plain in _PLAIN:
        if any(word in text for word in words):
            return NoAnswerError(f"{host}: {plain}")
    if any(word in text for word in _CUT):
        # Mostly a kept connection that the server has closed meanwhile: a new one works.
        return NoAnswerError(f"the connection to {host} broke", retry_after_seconds=_AT_ONCE)
    return NoAnswerError(f"the request to {host} failed ({type(error).__name__})")


_PLAIN: tuple[tuple[tuple[str, ...], str], ...] = (
    (("NameResolutionError", "gaierror"), "the name of the server cannot be resolved"),
    (("ConnectionRefusedError",), "the server refuses connections"),
    (("ConnectTimeout", "ReadTimeout", "TimeoutError"), "the server does not answer in time"),
    (("ProxyError",), "the proxy does not let the request through"),
    (("FileNotFoundError",), "there is no such socket"),
    (("NewConnectionError",), "the server cannot be reached"),
    (("SSLError", "SSLEOFError"), "the encrypted connection could not be set up"),
)
_CUT = ("RemoteDisconnected", "ConnectionReset", "BrokenPipe", "IncompleteRead", "ConnectionAborted", "BadStatusLine")


def _causes(error: BaseException | None) -> str:
    """Return the types of an error and of all that caused it, with the text of TLS failures."""
    words = []
    todo: list[object] = [error]
    seen: set[int] = set()
    while todo:
        item = todo.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        words.append(type(item).__name__)
        if "SSL" in type(item).__name__:
            words.append(str(item))
        todo += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return " ".join(words)
