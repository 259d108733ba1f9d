"""Sends signed requests to one bucket: with the current key, to the region and host where the bucket is."""

import time
from collections.abc import Callable, Iterable, Mapping

from typing_extensions import Buffer

from pyrestic.backend.http import Answer, HttpClient
from pyrestic.backend.leases import ExpiredTokenError, Leased
from pyrestic.backend.plain_xml import parse_xml
from pyrestic.backend.s3.endpoint import DEFAULT_REGION, S3Address
from pyrestic.backend.s3.errors import read_report, s3_error
from pyrestic.backend.s3.signer import S3Key, make_query, quote_key, sign
from pyrestic.errors import FormatError

MAX_XML_BYTES = 16 << 20

_MOST_MOVES = 4
_MOVED = {301, 302, 303, 307, 308}
_OTHER_REGION = {"AuthorizationHeaderMalformed", "InvalidRegion", "SignatureDoesNotMatch", ""}
"""Codes, "" without one, of a request that was signed for another region."""


class S3Caller:
    """How requests are signed and sent; thread-safe."""

    def __init__(
        self,
        client: HttpClient,
        keys: Leased[S3Key],
        address: S3Address,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.address = address
        self._keys = keys
        self._clock = clock
        self._asked = address.certain

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._clock()

    def send(
        self,
        method: str,
        key: str,
        doing: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Buffer | None = None,
        max_length: int = MAX_XML_BYTES,
    ) -> Answer:
        """Return the response of any status to a request about a key, "" for the bucket; raise BackendError.

        An expired key is renewed once, and a request that reached another region is sent to the right one.
        """

        def attempt(access: S3Key) -> Answer:
            answer = self._send(access, method, key, make_query(query), headers or {}, body, max_length)
            if answer.status >= 400 and answer.body:
                error = s3_error(answer, doing)
                if isinstance(error, ExpiredTokenError):
                    raise error
            return answer

        return self._keys.run(attempt)

    def _send(
        self,
        access: S3Key,
        method: str,
        key: str,
        query: str,
        headers: Mapping[str, str],
        body: Buffer | None,
        max_length: int,
    ) -> Answer:
        for _ in range(_MOST_MOVES):
            answer = self._send_once(access, method, key, query, headers, body, max_length)
            if not self._learn(access, answer):
                break
        return answer

    def _send_once(
        self,
        access: S3Key,
        method: str,
        key: str,
        query: str,
        headers: Mapping[str, str],
        body: Buffer | None,
        max_length: int,
    ) -> Answer:
        url = self.address.make_url(quote_key(key), query)
        signed = sign(access, method, url, headers, region=self.address.region, seconds=self._clock())
        return self.client.send(method, url, headers=signed, body=body, max_length=max_length)

    def _learn(self, access: S3Key, answer: Answer) -> bool:
        """Tell whether a response says that the bucket is elsewhere; from now on requests go there."""
        if answer.status < 300 or answer.status == 404:
            return False
        named = answer.headers.get("x-amz-bucket-region", "") or _read_region(answer)
        if named and self.address.learn_region(named):
            return True
        if answer.status in _MOVED:
            return self.address.learn_host(answer.headers.get("location", ""))
        return answer.status in (400, 403) and read_report(answer).code in _OTHER_REGION and self._ask_region(access)

    def _ask_region(self, access: S3Key) -> bool:
        """Ask once in which region the bucket is, and tell whether that is news."""
        if self._asked or not access.key_id:
            return False
        self._asked = True
        answer = self._send_once(access, "GET", "", make_query([("location", "")]), {}, None, MAX_XML_BYTES)
        if answer.status != 200:
            return False
        try:
            region = parse_xml(answer.body).text.strip()
        except FormatError:
            return False
        return self.address.learn_region({"": DEFAULT_REGION, "EU": "eu-west-1"}.get(region, region))


def _read_region(answer: Answer) -> str:
    """Return the region in the body of an error, "" if there is none."""
    try:
        return parse_xml(answer.body).read("Region").strip() if answer.body else ""
    except FormatError:
        return ""
