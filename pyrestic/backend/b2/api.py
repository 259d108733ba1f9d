"""The B2 API calls that pyrestic uses, one function per call.

Each function takes a Caller and, except for the first, the Authorization of the call. Each raises the error that
`errors.error_of` returns for a failure. Names and fields follow the vendor's API documents, version 4.
"""

import base64
import hashlib
from typing import TypeVar
from urllib.parse import quote

import msgspec
from typing_extensions import Buffer

from pyrestic.backend.b2.client import (
    API_VERSION,
    MAX_JSON_BYTES,
    Account,
    Authorization,
    Bucket,
    Caller,
    FilePage,
    FileVersion,
    Length,
    UploadUrl,
    decode,
)
from pyrestic.backend.b2.errors import error_of
from pyrestic.backend.b2.hosts import check_url
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.metering import CallClass
from pyrestic.errors import AccessError, BackendError, TransientError

DEFAULT_ENDPOINT = "https://api.backblazeb2.com"
MAX_UPLOAD_BYTES = 5_000_000_000
"""Limit of a single upload; longer files are uploaded as large files of two parts or more."""
MAX_PAGE = 10_000
"""Limit of names per listing; B2 bills one call for every 1,000 names or part of it."""

T = TypeVar("T")


class _Buckets(msgspec.Struct, rename="camel"):
    buckets: list[Bucket]


def authorize_account(caller: Caller, endpoint: str, key_id: str, key: str) -> Authorization:
    """Return a token for the key and its capabilities."""
    secret = base64.b64encode(f"{key_id}:{key}".encode()).decode()
    doing = "signing in to B2"
    answer = caller.client.send(
        "GET",
        f"{endpoint}/b2api/{API_VERSION}/b2_authorize_account",
        headers={"Authorization": f"Basic {secret}"},
        max_length=MAX_JSON_BYTES,
    )
    caller.ledger.call("b2_authorize_account", CallClass.C)
    if answer.status == 401:
        raise AccessError(
            "B2 does not accept the application key: wrong, deleted or expired",
            hint="Check B2_ACCOUNT_ID (the ID of the key) and B2_ACCOUNT_KEY.",
        )
    if answer.status != 200:
        raise error_of(answer, doing)
    account = decode(answer, Account, doing)
    storage = account.api_info.storage_api
    if not 0 < storage.absolute_minimum_part_size <= storage.recommended_part_size:
        raise BackendError(f"{doing} failed: the part sizes in the response are invalid")
    allowed = storage.allowed
    return Authorization(
        endpoint,
        account.account_id,
        account.authorization_token,
        check_url(storage.api_url, endpoint, "its API"),
        check_url(storage.download_url, endpoint, "downloads"),
        storage.recommended_part_size,
        storage.absolute_minimum_part_size,
        frozenset(allowed.capabilities),
        None if allowed.buckets is None else tuple(allowed.buckets),
        allowed.name_prefix or "",
    )


def list_buckets(caller: Caller, auth: Authorization, name: str) -> list[Bucket]:
    """Return the bucket of that name as a list of zero or one."""
    return caller.post(
        auth,
        "b2_list_buckets",
        {"accountId": auth.account_id, "bucketName": name},
        _Buckets,
        call_class=CallClass.C,
        capability="listBuckets",
        doing=f"looking for the bucket {name}",
    ).buckets


def create_bucket(caller: Caller, auth: Authorization, name: str) -> Bucket:
    """Create a private bucket."""
    return caller.post(
        auth,
        "b2_create_bucket",
        {"accountId": auth.account_id, "bucketName": name, "bucketType": "allPrivate"},
        Bucket,
        call_class=CallClass.C,
        capability="writeBuckets",
        doing=f"creating the bucket {name}",
    )


def get_upload_url(caller: Caller, auth: Authorization, bucket_id: str) -> UploadUrl:
    """Return an upload URL for files of a bucket."""
    url = caller.post(
        auth,
        "b2_get_upload_url",
        {"bucketId": bucket_id},
        UploadUrl,
        call_class=CallClass.A,
        capability="writeFiles",
        doing="requesting an upload URL",
    )
    check_url(url.upload_url, auth.endpoint, "uploads")
    return url


def upload_file(caller: Caller, url: UploadUrl, name: str, data: Buffer, sha1: str) -> FileVersion:
    """Upload a complete file; the service verifies its SHA-1 (hex)."""
    headers = {
        "Authorization": url.authorization_token,
        "X-Bz-File-Name": quote(name, safe="/"),
        "Content-Type": "application/octet-stream",
        "X-Bz-Content-Sha1": sha1,
    }
    return _upload(caller, "b2_upload_file", url, headers, data, FileVersion, f"uploading {name}")


def _upload(
    caller: Caller,
    call: str,
    url: UploadUrl,
    headers: dict[str, str],
    data: Buffer,
    answer_type: type[T],
    doing: str,
) -> T:
    caller.ledger.call(call, CallClass.A)
    answer = caller.client.send("POST", url.upload_url, headers=headers, body=data, max_length=MAX_JSON_BYTES)
    if answer.status != 200:
        raise error_of(answer, doing, "writeFiles", uploading=True)
    caller.ledger.moved(uploaded=memoryview(data).nbytes)
    return decode(answer, answer_type, doing)


class _Part(msgspec.Struct, rename="camel"):
    part_number: int
    content_length: Length
    content_sha1: str


def start_large_file(caller: Caller, auth: Authorization, bucket_id: str, name: str, sha1: str) -> str:
    """Start a large file and return its ID; `sha1` (hex) of the complete file is stored with it."""
    request: dict[str, object] = {
        "bucketId": bucket_id,
        "fileName": name,
        "contentType": "application/octet-stream",
        "fileInfo": {"large_file_sha1": sha1},
    }
    version = caller.post(
        auth,
        "b2_start_large_file",
        request,
        FileVersion,
        call_class=CallClass.A,
        capability="writeFiles",
        doing=f"uploading {name}",
    )
    if version.file_id is None:
        raise TransientError(f"uploading {name} failed: the response did not come from B2", attempts=SENSELESS_ATTEMPTS)
    return version.file_id


def get_upload_part_url(caller: Caller, auth: Authorization, file_id: str) -> UploadUrl:
    """Return an upload URL for parts of a large file."""
    url = caller.post(
        auth,
        "b2_get_upload_part_url",
        {"fileId": file_id},
        UploadUrl,
        call_class=CallClass.A,
        capability="writeFiles",
        doing="requesting an upload URL",
    )
    check_url(url.upload_url, auth.endpoint, "uploads")
    return url


def upload_part(caller: Caller, url: UploadUrl, number: int, data: Buffer) -> str:
    """Upload one part of a large file, counted from 1, and return its SHA-1 (hex)."""
    sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    headers = {
        "Authorization": url.authorization_token,
        "X-Bz-Part-Number": str(number),
        "X-Bz-Content-Sha1": sha1,
    }
    doing = f"uploading part {number}"
    part = _upload(caller, "b2_upload_part", url, headers, data, _Part, doing)
    if (part.part_number, part.content_length, part.content_sha1) != (number, memoryview(data).nbytes, sha1):
        raise TransientError(
            f"{doing} failed: B2 says it stored something else", retry_after_seconds=0.0, attempts=SENSELESS_ATTEMPTS
        )
    return sha1


def finish_large_file(caller: Caller, auth: Authorization, file_id: str, sha1s: list[str]) -> FileVersion:
    """Finish a large file from its uploaded parts."""
    return caller.post(
        auth,
        "b2_finish_large_file",
        {"fileId": file_id, "partSha1Array": sha1s},
        FileVersion,
        call_class=CallClass.A,
        capability="writeFiles",
        doing="assembling the parts of a file",
    )


def cancel_large_file(caller: Caller, auth: Authorization, file_id: str) -> None:
    """Cancel an unfinished large file."""
    caller.post(
        auth,
        "b2_cancel_large_file",
        {"fileId": file_id},
        dict,
        call_class=CallClass.A,
        capability="writeFiles",
        doing="cancelling the upload of a file",
    )


def list_unfinished_large_files(caller: Caller, auth: Authorization, bucket_id: str, prefix: str) -> FilePage:
    """Return the first 100 unfinished large files."""
    return caller.post(
        auth,
        "b2_list_unfinished_large_files",
        {"bucketId": bucket_id, "namePrefix": prefix, "maxFileCount": 100},
        FilePage,
        call_class=CallClass.C,
        capability="listFiles",
        doing="listing unfinished files",
    )


def get_file_info(caller: Caller, auth: Authorization, file_id: str) -> FileVersion:
    """Return the metadata of a file version."""
    return caller.post(
        auth,
        "b2_get_file_info",
        {"fileId": file_id},
        FileVersion,
        call_class=CallClass.B,
        capability="readFiles",
        doing="looking up a file",
    )


def list_file_names(
    caller: Caller, auth: Authorization, bucket_id: str, prefix: str, start_name: str | None = None
) -> FilePage:
    """Return a page of the visible files whose names start with prefix, by name."""
    return caller.post(
        auth,
        "b2_list_file_names",
        {"bucketId": bucket_id, "prefix": prefix, "startFileName": start_name, "maxFileCount": MAX_PAGE},
        FilePage,
        call_class=CallClass.C,
        capability="listFiles",
        doing=f"listing {prefix}",
    )


def list_file_versions(
    caller: Caller,
    auth: Authorization,
    bucket_id: str,
    prefix: str,
    start_name: str | None = None,
    start_id: str | None = None,
) -> FilePage:
    """Return a page of all versions of files whose names start with prefix: by name, newest first."""
    request: dict[str, object] = {"bucketId": bucket_id, "prefix": prefix, "maxFileCount": MAX_PAGE}
    if start_name is not None:
        request["startFileName"] = start_name
    if start_id is not None:
        request["startFileId"] = start_id
    return caller.post(
        auth,
        "b2_list_file_versions",
        request,
        FilePage,
        call_class=CallClass.C,
        capability="listFiles",
        doing=f"listing versions of {prefix}",
    )


def hide_file(caller: Caller, auth: Authorization, bucket_id: str, name: str) -> None:
    """Add a version that hides the file."""
    caller.post(
        auth,
        "b2_hide_file",
        {"bucketId": bucket_id, "fileName": name},
        FileVersion,
        call_class=CallClass.A,
        capability="writeFiles",
        doing=f"hiding {name}",
    )


def delete_file_version(caller: Caller, auth: Authorization, name: str, file_id: str) -> None:
    """Delete one version of a file permanently."""
    caller.post(
        auth,
        "b2_delete_file_version",
        {"fileName": name, "fileId": file_id},
        dict,
        call_class=CallClass.A,
        capability="deleteFiles",
        doing=f"deleting {name}",
    )


def download_file_by_name(
    caller: Caller, auth: Authorization, bucket_name: str, name: str, range_text: str, max_length: int
) -> Answer:
    """Return the response with a file, or with a range of it if range_text ("bytes=0-9") is not empty."""
    url = f"{auth.download_url}/file/{bucket_name}/{quote(name, safe='/')}"
    return _download(caller, auth, "b2_download_file_by_name", url, range_text, max_length, f"loading {name}")


def download_file_by_id(
    caller: Caller, auth: Authorization, file_id: str, range_text: str, max_length: int, name: str
) -> Answer:
    """Return the response with a version of a file or a range of it; `name` is for messages."""
    url = f"{auth.download_url}/b2api/{API_VERSION}/b2_download_file_by_id?fileId={quote(file_id, safe='')}"
    return _download(caller, auth, "b2_download_file_by_id", url, range_text, max_length, f"loading {name}")


def _download(
    caller: Caller, auth: Authorization, call: str, url: str, range_text: str, max_length: int, doing: str
) -> Answer:
    headers = {"Authorization": auth.token}
    if range_text:
        headers["Range"] = range_text
    caller.ledger.call(call, CallClass.B)
    answer = caller.client.send("GET", url, headers=headers, max_length=max_length)
    if answer.status not in (200, 206):
        raise error_of(answer, doing, "readFiles")
    caller.ledger.moved(downloaded=len(answer.body))
    return answer


def head_file_by_name(caller: Caller, auth: Authorization, bucket_name: str, name: str) -> Answer:
    """Return the response with only the headers of a file."""
    url = f"{auth.download_url}/file/{bucket_name}/{quote(name, safe='/')}"
    caller.ledger.call("head_file", CallClass.B)
    answer = caller.client.send("HEAD", url, headers={"Authorization": auth.token}, max_length=0)
    if answer.status != 200:
        raise error_of(answer, f"looking for {name}", "readFiles")
    return answer
