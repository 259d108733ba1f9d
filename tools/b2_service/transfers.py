"""Uploads and downloads: bodies streamed to and from disk, their SHA-1 checked."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote_plus

from tools.b2_service.access import Place
from tools.b2_service.calls import check_file_name, describe
from tools.b2_service.failure import CallError, bad_request, unauthorized
from tools.b2_service.service import Service
from tools.b2_service.store import Part, Version

if TYPE_CHECKING:
    from tools.b2_service.server import Request

_is_sha1 = re.compile(r"[0-9a-f]{40}").fullmatch
_AT_END = "hex_digits_at_end"
_BUFFER = 1 << 20

Read = Callable[[memoryview], int]


@dataclass
class Download:
    """A file, or a range of it, ready to be sent."""

    path: Path
    status: int
    headers: dict[str, str]
    offset: int
    length: int

    def open(self) -> BinaryIO:
        """Return the content, at the right place."""
        file = self.path.open("rb")
        file.seek(self.offset)
        return file


def _receive(service: Service, headers: dict[str, str], length: int, read: Read) -> tuple[Path, int, str]:
    """Write a body to disk; return where, its length and SHA-1; raise unless that is the promised one."""
    promised = headers.get("x-bz-content-sha1", "")
    at_end = promised == _AT_END
    if not (at_end or _is_sha1(promised) or promised == "do_not_verify"):
        raise bad_request("X-Bz-Content-Sha1 is missing or no SHA-1")
    content = length - 40 if at_end else length
    if content < 0 or content > service.maximum_upload_bytes:
        raise bad_request("the length of the body is out of range")
    path = service.store.new_content()
    sha1 = hashlib.sha1()
    buffer = memoryview(bytearray(min(_BUFFER, max(content, 1))))
    try:
        with path.open("wb", buffering=0) as file:
            left = content
            while left:
                count = read(buffer[: min(left, len(buffer))])
                sha1.update(buffer[:count])
                file.write(buffer[:count])
                left -= count
        if at_end:
            tail = bytearray(40)
            done = 0
            while done < 40:
                done += read(memoryview(tail)[done:])
            promised = tail.decode("latin-1")
        if promised not in (sha1.hexdigest(), "do_not_verify"):
            raise bad_request("Sha1 did not match data received")
    except BaseException:
        path.unlink()
        raise
    return path, content, sha1.hexdigest()


def receive_file(service: Service, place: Place, headers: dict[str, str], length: int, read: Read) -> dict[str, Any]:
    """b2_upload_file."""
    if place.file:
        raise bad_request("this URL is for parts")
    try:
        name = check_file_name(unquote_plus(headers.get("x-bz-file-name", ""), errors="strict"))
    except UnicodeDecodeError:
        raise bad_request("X-Bz-File-Name is not UTF-8") from None
    if "content-type" not in headers:
        raise bad_request("Content-Type is missing")
    service.access.check(place.key, "b2_get_upload_url", bucket=place.bucket, name=name)
    path, content, sha1 = _receive(service, headers, length, read)
    info = {
        key.removeprefix("x-bz-info-"): unquote_plus(value)
        for key, value in headers.items()
        if key.startswith("x-bz-info-")
    }
    kind = headers["content-type"]
    version = service.store.add_version(
        place.bucket,
        name,
        "upload",
        length=content,
        sha1=sha1,
        type_="application/octet-stream" if kind == "b2/x-auto" else kind,
        info=info,
        content=path.name,
    )
    return describe(version)


def receive_part(service: Service, place: Place, headers: dict[str, str], length: int, read: Read) -> dict[str, Any]:
    """b2_upload_part."""
    number = headers.get("x-bz-part-number", "")
    if not place.file or not number.isdigit() or not 1 <= int(number) <= 10_000:
        raise bad_request("X-Bz-Part-Number is missing or out of range")
    started = service.store.find_version(place.file)
    if started is None or started.action != "start":
        raise bad_request("the large file is not active")
    path, content, sha1 = _receive(service, headers, length, read)
    part = Part(int(number), content, sha1, path.name, service.store.now())
    with service.store.lock:
        started = service.store.find_version(place.file)
        if started is None or started.action != "start":
            path.unlink()
            raise bad_request("the large file is not active any more")
        service.store.put_part(place.file, part)
    return {
        "contentLength": content,
        "contentMd5": None,
        "contentSha1": sha1,
        "fileId": place.file,
        "partNumber": part.number,
        "serverSideEncryption": {"algorithm": None, "mode": None},
        "uploadTimestamp": part.time,
    }


def open_download(
    service: Service, request: "Request", *, bucket: str = "", name: str = "", file_id: str = ""
) -> Download:
    """Return a file by the name of its bucket and its own, or by its ID."""
    if file_id:
        version = service.store.find_version(file_id)
        if version is None or version.action != "upload":
            raise CallError(404, "not_found", f"file_id {file_id} does not exist")
    else:
        owner = next((found for found in service.store.buckets() if found.name == bucket), None)
        if owner is None:
            raise CallError(404, "not_found", f"Bucket does not exist: {bucket}")
        _check_reader(service, request, owner.id, name)
        newest = service.store.newest(owner.id, name)
        if newest is None or newest.action != "upload":
            raise CallError(404, "not_found", f"File with such name does not exist: {name}")
        version = newest
    if file_id:
        _check_reader(service, request, version.bucket, version.name)
    return _range_of(service, version, request.headers.get("range", ""))


def _check_reader(service: Service, request: "Request", bucket: str, name: str) -> None:
    if request.token:
        service.access.may_download(request.token, bucket, name)
    elif service.bucket(bucket).type != "allPublic":
        raise unauthorized("the bucket is private, and no token was given")


def _range_of(service: Service, version: Version, text: str) -> Download:
    headers = {
        "Content-Type": version.type or "application/octet-stream",
        "X-Bz-File-Id": version.id,
        "X-Bz-File-Name": quote(version.name, safe="/"),
        "X-Bz-Content-Sha1": version.sha1 or "none",
        "X-Bz-Upload-Timestamp": str(version.time),
        "Accept-Ranges": "bytes",
    }
    headers |= {f"X-Bz-Info-{key}": quote(value) for key, value in version.info.items()}
    path = service.store.contents / version.content
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
    if match is None or (not match[1] and not match[2]):
        return Download(path, 200, headers, 0, version.length)
    if match[1]:
        first = int(match[1])
        last = min(int(match[2]) if match[2] else version.length - 1, version.length - 1)
    else:
        first, last = max(0, version.length - int(match[2])), version.length - 1
    if first > last or first >= version.length:
        raise CallError(416, "range_not_satisfiable", "The Range in the request is outside the size of the file")
    headers["Content-Range"] = f"bytes {first}-{last}/{version.length}"
    return Download(path, 206, headers, first, last - first + 1)
