"""Calls of the native B2 API and the values in its responses. Names and fields follow version 4."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from pyrestic.backend.b2.errors import WrongUploadError, error_of
from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer, HttpClient
from pyrestic.backend.metering import CallClass, Ledger
from pyrestic.errors import TransientError

API_VERSION = "v4"
MAX_JSON_BYTES = 64 << 20
_BILLED_NAMES = 1000

T = TypeVar("T")

Token: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]+\Z")]
"""A token that can be sent in a header."""
Length: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
"""A number of bytes."""


class AllowedBucket(msgspec.Struct, frozen=True):
    """A bucket to which a key is restricted; the name is missing if the bucket no longer exists."""

    id: str
    name: str | None = None


class _Allowed(msgspec.Struct, frozen=True, rename="camel"):
    capabilities: list[str]
    buckets: list[AllowedBucket] | None = None
    name_prefix: str | None = None


class _StorageApi(msgspec.Struct, frozen=True, rename="camel"):
    api_url: str
    download_url: str
    recommended_part_size: int
    absolute_minimum_part_size: int
    allowed: _Allowed


class _ApiInfo(msgspec.Struct, frozen=True, rename="camel"):
    storage_api: _StorageApi


class Account(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of the response to b2_authorize_account that pyrestic uses."""

    account_id: str
    authorization_token: Token
    api_info: _ApiInfo


@dataclass(frozen=True, slots=True)
class Authorization:
    """The response of b2_authorize_account. Lengths are in bytes."""

    endpoint: str
    account_id: str
    token: str = field(repr=False)
    api_url: str
    download_url: str
    recommended_part_bytes: int
    minimum_part_bytes: int
    capabilities: frozenset[str]
    buckets: tuple[AllowedBucket, ...] | None
    """The only buckets that the key may use, None for all."""
    name_prefix: str


class Bucket(msgspec.Struct, frozen=True, rename="camel"):
    """A bucket as listings show it."""

    bucket_id: str
    bucket_name: str
    bucket_type: str = ""
    lifecycle_rules: list[dict[str, Any]] = []


class UploadUrl(msgspec.Struct, frozen=True, rename="camel"):
    """An upload URL for files of a bucket or parts of a large file, for one upload at a time."""

    upload_url: str
    authorization_token: Token

    def __repr__(self) -> str:
        return "<UploadUrl>"


class FileVersion(msgspec.Struct, frozen=True, rename="camel"):
    """A version of a file. `action` is upload, hide, start (of a large file) or folder; the time is in milliseconds."""

    file_id: str | None
    file_name: str
    action: str = "upload"
    content_length: Length = 0
    content_sha1: str | None = None
    upload_timestamp: int = 0


class FilePage(msgspec.Struct, rename="camel"):
    """A page of a listing, and the start of the next one, None after the last."""

    files: list[FileVersion]
    next_file_name: str | None = None
    next_file_id: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """How calls are made and metered."""

    client: HttpClient
    ledger: Ledger

    def post(
        self,
        auth: Authorization,
        name: str,
        request: dict[str, object],
        answer_type: type[T],
        *,
        call_class: CallClass,
        capability: str,
        doing: str,
    ) -> T:
        """Make an API call with a JSON request and return its response."""
        answer = self.client.send(
            "POST",
            f"{auth.api_url}/b2api/{API_VERSION}/{name}",
            headers={"Authorization": auth.token, "Content-Type": "application/json"},
            body=msgspec.json.encode(request),
            max_length=MAX_JSON_BYTES,
        )
        if answer.status != 200:
            self.ledger.call(name, call_class)
            raise error_of(answer, doing, capability)
        result = decode(answer, answer_type, doing)
        names = len(result.files) if isinstance(result, FilePage) else 0
        self.ledger.call(name, call_class, max(1, math.ceil(names / _BILLED_NAMES)))
        return result


def decode(answer: Answer, answer_type: type[T], doing: str) -> T:
    """Return the value in a response; raise TransientError if the response did not come from B2."""
    try:
        return msgspec.json.decode(answer.body, type=answer_type)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Something between this machine and the service replied instead.
        raise TransientError(
            f"{doing} failed: the response did not come from B2", attempts=SENSELESS_ATTEMPTS
        ) from None


def stored_id(version: FileVersion, name: str, length: int, sha1: str) -> str:
    """Return the ID of a file that was uploaded; raise WrongUploadError if B2 says that it stored anything else."""
    said_sha1 = (version.content_sha1 or "none").removeprefix("unverified:")
    said = (version.action, version.file_name, version.content_length)
    if version.file_id is None or said != ("upload", name, length) or said_sha1 not in (sha1, "none"):
        raise WrongUploadError(f"uploading {name} failed: B2 says it stored something else")
    return version.file_id
