"""The requests of a bucket, for `ObjectBackend`."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.objects import DEFAULT_CONNECTIONS, ListedObject, ObjectPage, find_length
from pyrestic.backend.plain_xml import Element, parse_xml
from pyrestic.backend.s3.caller import S3Caller
from pyrestic.backend.s3.cold import ARCHIVE_CLASSES, ColdOptions, warm_up
from pyrestic.backend.s3.endpoint import DEFAULT_REGION
from pyrestic.backend.s3.errors import is_absent, read_report, s3_error
from pyrestic.backend.s3.multipart import PART_BYTES, SINGLE_BYTES, content_md5, upload_parts
from pyrestic.backend.s3.retention import Retainer, Retention
from pyrestic.backend.statuses import check_origin
from pyrestic.errors import FormatError, TransientError

_PAGE = "1000"
_SERVICE = "an S3 service"
_full_length = re.compile(r"bytes 0-0/([0-9]{1,16})").fullmatch


class S3Options(NamedTuple):
    """How files are stored and listed."""

    storage_class: str = ""
    list_v1: bool = False
    connections: int = DEFAULT_CONNECTIONS
    """How many parts of a long file are uploaded at once."""
    retention: Retention | None = None
    """How long new files are locked, None for not at all."""
    cold_seconds: float = 0.0
    """How long to wait for packs in archives; 0 if they are not to be requested."""
    cold: ColdOptions = ColdOptions()
    single_bytes: int = SINGLE_BYTES
    part_bytes: int = PART_BYTES


DEFAULT_OPTIONS = S3Options()


class S3Store:
    """The requests of a bucket; see ObjectStore."""

    def __init__(self, caller: S3Caller, options: S3Options = DEFAULT_OPTIONS) -> None:
        self.caller = caller
        self.cold_seconds = options.cold_seconds
        self._options = options
        self._retainer = None if options.retention is None else Retainer(caller, options.retention)

    def prepare(self) -> None:
        """Make the bucket unless it exists. A key that may not look at the bucket may still use it."""
        doing = f"looking for the bucket {self.caller.address.bucket}"
        answer = self.caller.send("HEAD", "", doing)
        if answer.status != 200 and not is_absent(answer):
            # A response to HEAD has no body that could give the reason.
            answer = self.caller.send("GET", "", doing, query=[("list-type", "2"), ("max-keys", "1")])
        if is_absent(answer):
            self._make_bucket()
        elif answer.status != 200 and read_report(answer).code != "AccessDenied":
            raise s3_error(answer, doing)

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:
        """Store an object; the service verifies its MD5."""
        doing = f"saving {key}"
        headers = {"Content-Type": "application/octet-stream", **self._storage(archivable=archivable)}
        if self._retainer is not None:
            headers |= self._retainer.headers(key)
        if len(data) > self._options.single_bytes:
            connections = self._options.connections
            upload_parts(self.caller, key, data, headers, connections=connections, part_bytes=self._options.part_bytes)
            return
        headers["Content-MD5"] = content_md5(data)
        answer = self.caller.send("PUT", key, doing, headers=headers, body=data)
        if answer.status != 200:
            raise s3_error(answer, doing)
        check_origin(answer, doing, service=_SERVICE)

    def get(self, key: str, range_text: str, max_length: int, *, version: str = "") -> Answer:
        """Return the response of status 200, 206 or 416 with an object or a range of it, or with a version."""
        doing = f"loading {key}"
        headers = {"Range": range_text} if range_text else {}
        query = [("versionId", version)] if version else []
        answer = self.caller.send("GET", key, doing, query=query, headers=headers, max_length=max_length)
        if answer.status == 416:
            return answer
        if answer.status not in (200, 206):
            raise s3_error(answer, doing)
        return check_origin(answer, doing, service=_SERVICE)

    def find_length(self, key: str) -> int:
        """Return the length of an object."""
        doing = f"looking for {key}"
        answer = self.caller.send("HEAD", key, doing)
        if answer.status == 200:
            return find_length(check_origin(answer, doing, service=_SERVICE), doing)
        if is_absent(answer) or answer.status >= 500:
            raise s3_error(answer, doing)
        # A response to HEAD has no body that could give the reason.
        answer = self.caller.send("GET", key, doing, headers={"Range": "bytes=0-0"}, max_length=1)
        if answer.status == 206 and (match := _full_length(answer.headers.get("content-range", ""))):
            return int(match[1])
        raise s3_error(answer, doing)

    def list_page(self, prefix: str, marker: str) -> ObjectPage:
        """Return a page of the objects whose keys start with prefix."""
        doing = f"listing {prefix}"
        query = [("prefix", prefix), ("max-keys", _PAGE), ("encoding-type", "url")]
        if not self._options.list_v1:
            query.append(("list-type", "2"))
        if marker:
            query.append(("marker" if self._options.list_v1 else "continuation-token", marker))
        answer = self.caller.send("GET", "", doing, query=query)
        if answer.status != 200:
            raise s3_error(answer, doing)
        return read_page(answer.body, doing)

    def delete(self, key: str) -> None:
        """Delete an object; no error if it is missing, as most services do not tell."""
        doing = f"removing {key}"
        answer = self.caller.send("DELETE", key, doing)
        if answer.status != 204 and not (answer.status == 404 and read_report(answer).code == "NoSuchKey"):
            raise s3_error(answer, doing)

    def warm_up(self, key: str) -> bool:
        """Request an object from its archive, if necessary; return whether it can be read now."""
        return warm_up(self.caller, key, self._options.cold)

    def interrupt(self) -> None:
        """Abort all running requests."""
        self.caller.client.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self.caller.client.close()

    def _make_bucket(self) -> None:
        doing = f"creating the bucket {self.caller.address.bucket}"
        region = self.caller.address.region
        body = b""
        if region != DEFAULT_REGION:
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        headers = {} if self._options.retention is None else {"X-Amz-Bucket-Object-Lock-Enabled": "true"}
        answer = self.caller.send("PUT", "", doing, headers=headers, body=body)
        if answer.status != 200:
            raise s3_error(answer, doing)

    def _storage(self, *, archivable: bool) -> Mapping[str, str]:
        name = self._options.storage_class
        return {"X-Amz-Storage-Class": name} if name and (archivable or name not in ARCHIVE_CLASSES) else {}


def read_page(body: bytes, doing: str) -> ObjectPage:
    """Return the page in the response to a listing, of either version; raise TransientError if it is none."""
    try:
        root = parse_xml(body)
        if root.name != "ListBucketResult":
            raise ValueError(root.name)
        encoded = root.read("EncodingType") == "url"
        objects = [_read_object(element, encoded=encoded) for element in root.find_all("Contents")]
        marker = root.read("NextContinuationToken")
        more = has_more(root, marker)
    except (FormatError, ValueError):
        raise TransientError(
            f"{doing} failed: the response did not come from {_SERVICE}", attempts=SENSELESS_ATTEMPTS
        ) from None
    if not more:
        return ObjectPage(objects, "")
    if not marker:
        # Version 1 names the next page only if there is a delimiter: it begins after the last key.
        marker = decode_key(root.read("NextMarker"), encoded=encoded) or (objects[-1].key if objects else "")
    if not marker:
        raise TransientError(
            f"{doing} failed: the service does not say how its pages go on", attempts=SENSELESS_ATTEMPTS
        )
    return ObjectPage(objects, marker)


def has_more(root: Element, marker: str) -> bool:
    """Tell whether a page has a successor, which it names `marker`, "" for none; raise ValueError if that is unclear.

    A listing that ends too early lets a prune delete what is in use.
    """
    said = root.read("IsTruncated").strip().lower()
    if said in ("true", "t", "1"):
        return True
    if said not in ("false", "f", "0", ""):
        raise ValueError("it is unclear whether there are more pages")
    return bool(marker)


def _read_object(element: Element, *, encoded: bool) -> ListedObject:
    return ListedObject(decode_key(element.read("Key"), encoded=encoded), read_length(element))


def read_length(element: Element) -> int:
    """Return the length of an object in a listing; raise ValueError if it is none."""
    text = element.read("Size").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise ValueError("a length is no number")
    return int(text)


def decode_key(text: str, *, encoded: bool) -> str:
    """Return a key of a listing; `encoded` tells whether the service quotes it."""
    return unquote_plus(text) if encoded else text
