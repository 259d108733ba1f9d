"""The requests of a Google Cloud Storage bucket, for `ObjectBackend`: the JSON API, and the XML API for reading."""

import base64
import hashlib
import secrets
from typing import Annotated, Literal, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from typing_extensions import Buffer

from pyrestic.backend.gs.errors import google_error, is_absent, missing_bucket, read_report
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer, HttpClient
from pyrestic.backend.leases import ExpiredTokenError, Leased
from pyrestic.backend.objects import ListedObject, ObjectPage
from pyrestic.backend.statuses import check_origin
from pyrestic.errors import AccessError, NotFoundError, TransientError

DEFAULT_REGION = "us"

_MAX_JSON_BYTES = 16 << 20
_PAGE = "1000"
_REFUSED_HINT = "Are the credentials still valid, and is the clock of this machine right?"
_T = TypeVar("_T")

_Length = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class GoogleBucket(NamedTuple):
    """A bucket; `project` and `region` are those in which it is made."""

    name: str
    project: str = ""
    region: str = DEFAULT_REGION


class _Object(msgspec.Struct, rename="camel"):
    """An object; numbers come as text."""

    name: str
    size: _Length
    md5_hash: str = ""


class _Page(msgspec.Struct, rename="camel"):
    """A page of a listing; without its kind, another service's reply would be an empty one."""

    kind: Literal["storage#objects"]
    items: list[_Object] = []
    next_page_token: str = ""


class GoogleStore:
    """The requests of a bucket; see ObjectStore."""

    def __init__(self, client: HttpClient, tokens: Leased[str], endpoint: str, bucket: GoogleBucket) -> None:
        self._client = client
        self._tokens = tokens
        self._endpoint = endpoint
        self._bucket = bucket
        self._objects = f"/storage/v1/b/{quote(bucket.name, safe='')}/o"

    def prepare(self) -> None:
        """Make the bucket unless it exists. Credentials that may not look at the bucket may still use it."""
        doing = f"looking for the bucket {self._bucket.name}"
        bucket = f"/storage/v1/b/{quote(self._bucket.name, safe='')}?fields=name"
        answer = self._send("GET", bucket, doing, max_length=_MAX_JSON_BYTES)
        if answer.status in (200, 403):
            return
        if not is_absent(answer):
            raise google_error(answer, doing)
        if not self._bucket.project:
            raise AccessError(
                f"there is no bucket {self._bucket.name}, and the variable GOOGLE_PROJECT_ID is empty",
                hint="Set it to the project in which the bucket must be created, or create the bucket first.",
            )
        doing = f"creating the bucket {self._bucket.name}"
        body = msgspec.json.encode({"name": self._bucket.name, "location": self._bucket.region})
        path = f"/storage/v1/b?{urlencode({'project': self._bucket.project, 'fields': 'name'})}"
        headers = {"Content-Type": "application/json"}
        answer = self._send("POST", path, doing, headers=headers, body=body, max_length=_MAX_JSON_BYTES)
        if answer.status != 200:
            raise google_error(answer, doing)

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:  # noqa: ARG002
        """Store an object in one request; the service verifies its MD5."""
        doing = f"saving {key}"
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        boundary = secrets.token_hex(20)
        described = msgspec.json.encode(
            {"name": key, "md5Hash": md5, "contentType": "application/octet-stream"}
        ).decode()
        start = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{described}\r\n"
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        body = (start.encode(), data, f"\r\n--{boundary}--\r\n".encode())
        query = {"uploadType": "multipart", "name": key, "fields": "name,size,md5Hash"}
        path = f"/upload{self._objects}?{urlencode(query)}"
        headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
        answer = self._send("POST", path, doing, headers=headers, body=body, max_length=_MAX_JSON_BYTES)
        if is_absent(answer):
            raise missing_bucket(doing, self._bucket.name)
        if answer.status != 200:
            raise google_error(answer, doing)
        stored = _decode(answer, _Object, doing)
        if (stored.size, stored.md5_hash) != (len(data), md5):
            raise TransientError(f"{doing} failed: the service stored something else", attempts=SENSELESS_ATTEMPTS)

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        """Return the response of status 200, 206 or 416 with an object or a range of it."""
        doing = f"loading {key}"
        headers = {"Range": range_text} if range_text else {}
        path = f"/{quote(self._bucket.name, safe='')}/{quote(key, safe='/')}"
        answer = self._send("GET", path, doing, headers=headers, max_length=max_length)
        if answer.status == 416:
            return answer
        if is_absent(answer):
            raise self._absent(answer, doing)
        if answer.status == 404:
            # An emulator replies with plain text here. The other API says who is there: it raises if the file is not.
            self.find_length(key)
        if answer.status not in (200, 206):
            raise google_error(answer, doing)
        return check_origin(answer, doing, service="Google Cloud Storage")

    def find_length(self, key: str) -> int:
        """Return the length of an object."""
        doing = f"looking for {key}"
        path = f"{self._objects}/{quote(key, safe='')}?fields=name,size"
        answer = self._send("GET", path, doing, max_length=_MAX_JSON_BYTES)
        if is_absent(answer):
            raise self._absent(answer, doing)
        if answer.status != 200:
            raise google_error(answer, doing)
        return _decode(answer, _Object, doing).size

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        """Return a page of the objects whose keys start with prefix."""
        doing = f"listing {prefix}"
        query = {"prefix": prefix, "maxResults": _PAGE, "fields": "kind,items(name,size),nextPageToken"}
        if marker:
            query["pageToken"] = marker
        answer = self._send("GET", f"{self._objects}?{urlencode(query)}", doing, max_length=_MAX_JSON_BYTES)
        if is_absent(answer):
            raise missing_bucket(doing, self._bucket.name)
        if answer.status != 200:
            raise google_error(answer, doing)
        page = _decode(answer, _Page, doing)
        return ObjectPage([ListedObject(one.name, one.size) for one in page.items], page.next_page_token)

    def delete(self, key: str) -> None:
        """Delete an object; raise NotFoundError if it is missing."""
        doing = f"removing {key}"
        path = f"{self._objects}/{quote(key, safe='')}"
        answer = self._send("DELETE", path, doing, max_length=_MAX_JSON_BYTES)
        if is_absent(answer):
            raise self._absent(answer, doing)
        if answer.status not in (200, 204):
            raise google_error(answer, doing)

    def interrupt(self) -> None:
        """Abort all running requests."""
        self._client.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        headers: dict[str, str] | None = None,
        body: Buffer | tuple[Buffer, ...] | None = None,
        max_length: int,
    ) -> Answer:
        def send(token: str) -> Answer:
            answer = self._client.send(
                method,
                f"{self._endpoint}{path}",
                headers={"Authorization": f"Bearer {token}", **(headers or {})},
                body=body,
                max_length=max_length,
            )
            if answer.status == 401:
                said = f"{doing} failed: Google Cloud Storage rejects the access token"
                raise ExpiredTokenError(said, AccessError(said, hint=_REFUSED_HINT))
            return answer

        return self._tokens.run(send)

    def _absent(self, answer: Answer, doing: str) -> NotFoundError:
        """Return the error for a missing object, or for a missing bucket if the response says so."""
        report = read_report(answer)
        if report.code == "NoSuchBucket" or "bucket does not exist" in report.message:
            return missing_bucket(doing, self._bucket.name)
        return NotFoundError(f"{doing} failed: it does not exist")


def _decode(answer: Answer, answer_type: type[_T], doing: str) -> _T:
    try:
        return msgspec.json.decode(answer.body, type=answer_type, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise TransientError(
            f"{doing} failed: the response did not come from Google Cloud Storage", attempts=SENSELESS_ATTEMPTS
        ) from None
