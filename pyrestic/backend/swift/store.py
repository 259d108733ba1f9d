"""The requests of a Swift container, for `ObjectBackend`."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated
from urllib.parse import quote, urlencode

import msgspec
from typing_extensions import Buffer

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer, HttpClient
from pyrestic.backend.leases import ExpiredTokenError, Leased
from pyrestic.backend.objects import ListedObject, ObjectPage, find_length
from pyrestic.backend.statuses import Kind, Ruling, Table, check_origin, error_of
from pyrestic.backend.swift.auth import SwiftAccess
from pyrestic.errors import AccessError, NotFoundError, TransientError

_MAX_LIST_BYTES = 64 << 20
_TABLE: Table = {
    403: Ruling(Kind.REFUSED, hint="Does the user have a role that may read and write in the container?"),
    409: Ruling(Kind.BUSY),
    413: Ruling(Kind.REFUSED, "the quota of the container or account is reached, or the file is too large"),
    422: Ruling(Kind.DAMAGED),
    498: Ruling(Kind.BUSY),
}
"""422 is for a body with another MD5, 498 for too many requests."""


class _Entry(msgspec.Struct):
    """An object in a listing."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    bytes: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class SwiftStore:
    """The requests of a container; see ObjectStore. `policy` is the storage policy of a container that it makes."""

    def __init__(self, client: HttpClient, access: Leased[SwiftAccess], container: str, policy: str = "") -> None:
        self._client = client
        self._access = access
        self._container = container
        self._policy = policy
        self._found = False

    def prepare(self) -> None:
        """Make the container unless it exists."""
        doing = f"looking for the container {self._container}"
        answer = self._send("HEAD", "", doing)
        if answer.status in (200, 204):
            return
        if not _is_absent(answer):
            raise self._error(answer, doing)
        doing = f"creating the container {self._container}"
        headers = {"X-Storage-Policy": self._policy} if self._policy else {}
        answer = self._send("PUT", "", doing, headers=headers, body=b"")
        if answer.status not in (201, 202, 204):
            raise self._error(answer, doing)

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:  # noqa: ARG002
        """Store an object; the service verifies its MD5."""
        doing = f"saving {key}"
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        headers = {"ETag": md5, "Content-Type": "binary/octet-stream"}
        answer = self._send("PUT", key, doing, headers=headers, body=data)
        if _is_absent(answer):
            raise self._missing_container(doing)
        if answer.status != 201:
            raise self._error(answer, doing)
        if check_origin(answer, doing, service="Swift").headers["etag"].strip('"') != md5:
            raise TransientError(f"{doing} failed: Swift stored something else", attempts=SENSELESS_ATTEMPTS)

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        """Return the response of status 200, 206 or 416 with an object or a range of it."""
        doing = f"loading {key}"
        headers = {"Range": range_text} if range_text else {}
        answer = self._send("GET", key, doing, headers=headers, max_length=max_length)
        if answer.status == 416:
            return answer
        if _is_absent(answer):
            raise self._absent(answer, doing)
        if answer.status not in (200, 206):
            raise self._error(answer, doing)
        self._found = True
        return check_origin(answer, doing, service="Swift")

    def find_length(self, key: str) -> int:
        """Return the length of an object."""
        doing = f"looking for {key}"
        answer = self._send("HEAD", key, doing)
        if answer.status not in (200, 204):
            raise self._error(answer, doing)
        return find_length(check_origin(answer, doing, service="Swift"), doing)

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        """Return a page of the objects whose keys start with prefix.

        Only an empty page ends a listing: how many names a full one has is up to the server.
        """
        doing = f"listing {prefix}"
        query = {"format": "json", "prefix": prefix, **({"marker": marker} if marker else {})}
        answer = self._send("GET", "", doing, query=query, max_length=_MAX_LIST_BYTES)
        if _is_absent(answer):
            raise self._missing_container(doing)
        if answer.status == 204:
            return ObjectPage([], "")
        if answer.status != 200:
            raise self._error(answer, doing)
        try:
            entries = msgspec.json.decode(answer.body, type=list[_Entry])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise TransientError(
                f"{doing} failed: the response did not come from Swift", attempts=SENSELESS_ATTEMPTS
            ) from None
        objects = [ListedObject(entry.name, entry.bytes) for entry in entries]
        return ObjectPage(objects, objects[-1].key if objects else "")

    def delete(self, key: str) -> None:
        """Delete an object; raise NotFoundError if it is missing."""
        doing = f"removing {key}"
        answer = self._send("DELETE", key, doing)
        if answer.status not in (200, 204):
            raise self._error(answer, doing)

    def interrupt(self) -> None:
        """Abort all running requests."""
        self._client.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(
        self,
        method: str,
        key: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Buffer | None = None,
        max_length: int = 0,
    ) -> Answer:
        """Return the response to a request for an object, or for the container if key is ""."""
        path = quote(self._container, safe="") + (f"/{quote(key, safe='/')}" if key else "")
        path += f"?{urlencode(query, quote_via=quote)}" if query else ""

        def send(access: SwiftAccess) -> Answer:
            answer = self._client.send(
                method,
                f"{access.storage_url}/{path}",
                headers={"X-Auth-Token": access.token, **(headers or {})},
                body=body,
                max_length=max_length,
            )
            if answer.status == 401:
                raise ExpiredTokenError(f"{doing} failed: Swift rejects the token", _refused(doing))
            return answer

        run: Callable[[Callable[[SwiftAccess], Answer]], Answer] = self._access.run
        return run(send)

    def _absent(self, answer: Answer, doing: str) -> Exception:
        """Return the error for a missing object, or for the container, which Swift does not tell apart.

        The container is looked for once, unless something was found in it.
        """
        if not self._found:
            self._found = not _is_absent(self._send("HEAD", "", doing))
        return self._error(answer, doing) if self._found else self._missing_container(doing)

    def _missing_container(self, doing: str) -> NotFoundError:
        return NotFoundError(
            f"{doing} failed: there is no container {self._container}", hint="The init command makes it."
        )

    def _error(self, answer: Answer, doing: str) -> Exception:
        return error_of(answer, doing, table=_TABLE, service="Swift", proven=_is_absent(answer))


def _is_absent(answer: Answer) -> bool:
    """Tell whether Swift itself says that something does not exist, and not a proxy in front of it."""
    return answer.status == 404 and "x-trans-id" in answer.headers


def _refused(doing: str) -> AccessError:
    return AccessError(
        f"{doing} failed: Swift rejects the token", hint="Does the user have a role in the project of the container?"
    )
