"""Uploads of files too long for one request: in concurrent parts, aborted if they fail."""

import base64
import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from xml.sax.saxutils import escape

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.plain_xml import parse_xml
from pyrestic.backend.s3.caller import S3Caller
from pyrestic.backend.s3.errors import s3_error
from pyrestic.errors import BackendError, FormatError, TransientError

SINGLE_BYTES = 200 << 20
"""Longer files are uploaded in parts, as in restic."""
PART_BYTES = 64 << 20
"""A part that fails is sent again alone."""
_ATTEMPTS = 4
_SERVICE = "an S3 service"


def content_md5(data: memoryview) -> str:
    """Return the value of Content-MD5, with which the service verifies the body."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def upload_parts(
    caller: S3Caller,
    key: str,
    data: memoryview,
    headers: dict[str, str],
    *,
    connections: int,
    part_bytes: int = PART_BYTES,
) -> None:
    """Store an object in parts; raise BackendError, with nothing left behind. `headers` are those of the object."""
    doing = f"saving {key}"
    answer = caller.send("POST", key, doing, query=[("uploads", "")], headers=headers, body=b"")
    upload_id = _read(answer, doing, "InitiateMultipartUploadResult", "UploadId")
    upload = _PartUpload(caller, key, upload_id)
    parts = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    try:
        with ThreadPoolExecutor(min(connections, len(parts)), thread_name_prefix="s3-part") as pool:
            tags = list(pool.map(upload.send, range(1, len(parts) + 1), parts))
        upload.complete(tags)
    except BaseException:
        with contextlib.suppress(BackendError):
            upload.abort()
        raise


class _PartUpload:
    """One upload in parts."""

    def __init__(self, caller: S3Caller, key: str, upload_id: str) -> None:
        self._caller = caller
        self._key = key
        self._id = upload_id

    def send(self, number: int, data: memoryview) -> str:
        """Upload a part, counted from 1, and return its tag."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._send(number, data)
            except TransientError as error:
                # Whoever retries the complete file handles the failures that need a wait.
                if attempt == _ATTEMPTS - 1 or error.retry_after_seconds != 0.0:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def complete(self, tags: list[str]) -> None:
        """Make the object of the uploaded parts."""
        doing = f"saving {self._key}"
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
            for number, tag in enumerate(tags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self._caller.send("POST", self._key, doing, query=[("uploadId", self._id)], body=body)
        # It may fail after the headers of a success were sent.
        _read(answer, doing, "CompleteMultipartUploadResult", "ETag")

    def abort(self) -> None:
        """Delete the uploaded parts, which are billed otherwise."""
        self._caller.send("DELETE", self._key, f"saving {self._key}", query=[("uploadId", self._id)])

    def _send(self, number: int, data: memoryview) -> str:
        doing = f"saving part {number} of {self._key}"
        answer = self._caller.send(
            "PUT",
            self._key,
            doing,
            query=[("partNumber", str(number)), ("uploadId", self._id)],
            headers={"Content-MD5": content_md5(data)},
            body=data,
        )
        if answer.status != 200:
            raise s3_error(answer, doing)
        if "etag" not in answer.headers:
            raise _senseless(doing)
        return answer.headers["etag"]


def _read(answer: Answer, doing: str, root_name: str, name: str) -> str:
    """Return a text in a successful response; raise the error of any other one."""
    if answer.status != 200:
        raise s3_error(answer, doing)
    try:
        root = parse_xml(answer.body)
    except FormatError:
        raise _senseless(doing) from None
    if root.name == "Error":
        raise s3_error(Answer(500, answer.headers, answer.body), doing)
    text = root.read(name).strip()
    if root.name != root_name or not text:
        raise _senseless(doing)
    return text


def _senseless(doing: str) -> TransientError:
    return TransientError(f"{doing} failed: the response did not come from {_SERVICE}", attempts=SENSELESS_ATTEMPTS)
