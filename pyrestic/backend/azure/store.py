"""The requests of a container in Azure Blob Storage, for `ObjectBackend`."""

import base64
import email.utils
import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from typing_extensions import Buffer

from pyrestic.backend.azure.errors import azure_error, read_report
from pyrestic.backend.azure.signer import Signer
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer, HttpClient
from pyrestic.backend.objects import ListedObject, ObjectPage, find_length
from pyrestic.backend.plain_xml import Element, parse_xml
from pyrestic.backend.statuses import check_origin
from pyrestic.errors import FormatError, TransientError

API_VERSION = "2021-12-02"
"""The oldest version that knows the tier Cold; services of other vendors may not know newer ones."""
TIERS = ("Hot", "Cool", "Cold", "Archive")
ARCHIVE = "Archive"
SINGLE_BYTES = 256 << 20
"""Files up to this length are stored in one request."""
BLOCK_BYTES = 100 << 20
"""Length of the blocks of longer files."""

_MAX_XML_BYTES = 32 << 20
_PAGE = "5000"
_UNCERTAIN = ("AuthorizationFailure", "AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch")
"""Codes for credentials that may not look at the container: they may be limited to its blobs."""


class AzureStore:
    """The requests of a container; see ObjectStore. `tier` is one of TIERS, "" for the account's default."""

    single_bytes = SINGLE_BYTES
    block_bytes = BLOCK_BYTES

    def __init__(self, client: HttpClient, signer: Signer, url: str, tier: str = "") -> None:
        self._client = client
        self._signer = signer
        self._url = url
        self._tier = tier

    def prepare(self) -> None:
        """Make the container unless it exists. Credentials that may not look at it may still use it."""
        doing = "looking for the container"
        answer = self._send("GET", "", query={"restype": "container"})
        if answer.status == 200:
            return
        code = read_report(answer).code
        if answer.status == 403 and code in _UNCERTAIN:
            return
        if answer.status != 404 or code != "ContainerNotFound":
            raise azure_error(answer, doing)
        answer = self._send("PUT", "", query={"restype": "container"}, body=b"")
        if answer.status != 201 and read_report(answer).code != "ContainerAlreadyExists":
            raise azure_error(answer, "creating the container")

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:
        """Store an object; the service verifies its MD5."""
        doing = f"saving {key}"
        tier = self._tier if archivable or self._tier != ARCHIVE else ""
        headers = {"x-ms-access-tier": tier} if tier else {}
        if len(data) > self.single_bytes:
            self._put_blocks(key, data, headers, doing)
            return
        headers |= {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        self._upload(key, {}, data, headers, doing)

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        """Return the response of status 200, 206 or 416 with an object or a range of it."""
        doing = f"loading {key}"
        headers = {"x-ms-range": range_text} if range_text else {}
        answer = self._send("GET", key, headers=headers, max_length=max_length)
        if answer.status == 416:
            return answer
        if answer.status not in (200, 206):
            raise azure_error(answer, doing)
        return check_origin(answer, doing, service="Azure", header="x-ms-request-id")

    def find_length(self, key: str) -> int:
        """Return the length of an object."""
        doing = f"looking for {key}"
        answer = self._send("HEAD", key)
        if answer.status != 200:
            raise azure_error(answer, doing)
        return find_length(check_origin(answer, doing, service="Azure", header="x-ms-request-id"), doing)

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        """Return a page of the objects whose keys start with prefix."""
        doing = f"listing {prefix}"
        query = {"restype": "container", "comp": "list", "prefix": prefix, "maxresults": _PAGE}
        if marker:
            query["marker"] = marker
        answer = self._send("GET", "", query=query, max_length=_MAX_XML_BYTES)
        if answer.status != 200:
            raise azure_error(answer, doing)
        return read_page(answer.body, doing)

    def delete(self, key: str) -> None:
        """Delete an object; raise NotFoundError if it is missing."""
        answer = self._send("DELETE", key)
        if answer.status != 202:
            raise azure_error(answer, f"removing {key}")

    def interrupt(self) -> None:
        """Abort all running requests."""
        self._client.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _put_blocks(self, key: str, data: memoryview, headers: Mapping[str, str], doing: str) -> None:
        """Store an object in blocks: none is visible before the list of all, and unlisted ones expire."""
        names = []
        for start in range(0, len(data), self.block_bytes):
            block = data[start : start + self.block_bytes]
            names.append(_md5(block))
            self._upload(key, {"comp": "block", "blockid": names[-1]}, block, {}, doing)
        blocks = "".join(f"<Latest>{name}</Latest>" for name in names)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()
        described = {"Content-Type": "application/xml", "x-ms-blob-content-type": "application/octet-stream"}
        self._upload(key, {"comp": "blocklist"}, body, {**headers, **described}, doing)

    def _upload(self, key: str, query: Mapping[str, str], data: Buffer, headers: Mapping[str, str], doing: str) -> None:
        md5 = _md5(data)
        answer = self._send("PUT", key, query=query, headers={**headers, "Content-MD5": md5}, body=data)
        if answer.status != 201:
            raise azure_error(answer, doing)
        check_origin(answer, doing, service="Azure", header="x-ms-request-id")
        if answer.headers.get("content-md5", md5) != md5:
            raise TransientError(f"{doing} failed: Azure stored something else", attempts=SENSELESS_ATTEMPTS)

    def _send(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Buffer | None = None,
        max_length: int = 0,
    ) -> Answer:
        """Return the response to a request for an object, or for the container if key is ""."""
        url = self._url + (f"/{quote(key, safe='/')}" if key else "")
        url += f"?{urlencode(query, quote_via=quote)}" if query else ""
        full = {"x-ms-version": API_VERSION, "x-ms-date": email.utils.formatdate(usegmt=True), **(headers or {})}
        length = 0 if body is None else memoryview(body).nbytes

        def send(url: str, headers: Mapping[str, str]) -> Answer:
            return self._client.send(method, url, headers=headers, body=body, max_length=max_length)

        return self._signer.send(method, url, full, length, send)


def read_page(body: bytes, doing: str) -> ObjectPage:
    """Return the page in the response to a listing; raise TransientError if it is none."""
    try:
        root = parse_xml(body)
        if root.name != "EnumerationResults":
            raise ValueError(root.name)
        blobs = root.find("Blobs") or Element("Blobs")
        objects = [_read_object(element) for element in blobs.find_all("Blob")]
    except (FormatError, ValueError):
        raise TransientError(
            f"{doing} failed: the response did not come from Azure", attempts=SENSELESS_ATTEMPTS
        ) from None
    return ObjectPage(objects, root.read("NextMarker"))


def _read_object(element: Element) -> ListedObject:
    text = element.read("Properties", "Content-Length").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise ValueError("a length is no number")
    return ListedObject(element.read("Name"), int(text))


def _md5(data: Buffer) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
