"""Who may do what: tokens of accounts and of upload URLs, capabilities, buckets and prefixes of keys."""

import base64
import binascii
import secrets
import threading
import time
from dataclasses import dataclass

from tools.b2_service.failure import CallError, unauthorized
from tools.b2_service.faults import Faults
from tools.b2_service.store import Key, Store

NEEDED = {
    "b2_list_buckets": "listBuckets",
    "b2_create_bucket": "writeBuckets",
    "b2_update_bucket": "writeBuckets",
    "b2_delete_bucket": "deleteBuckets",
    "b2_get_upload_url": "writeFiles",
    "b2_get_upload_part_url": "writeFiles",
    "b2_start_large_file": "writeFiles",
    "b2_finish_large_file": "writeFiles",
    "b2_cancel_large_file": "writeFiles",
    "b2_list_parts": "writeFiles",
    "b2_copy_file": "writeFiles",
    "b2_hide_file": "writeFiles",
    "b2_list_unfinished_large_files": "listFiles",
    "b2_list_file_names": "listFiles",
    "b2_list_file_versions": "listFiles",
    "b2_get_file_info": "readFiles",
    "b2_download_file_by_name": "readFiles",
    "b2_download_file_by_id": "readFiles",
    "b2_delete_file_version": "deleteFiles",
    "b2_get_download_authorization": "shareFiles",
    "b2_create_key": "writeKeys",
    "b2_list_keys": "listKeys",
    "b2_delete_key": "deleteKeys",
}
"""The capability that each call needs."""


@dataclass
class _Token:
    key: Key
    ends_at: float


@dataclass
class Place:
    """An upload URL: for files of a bucket, or for parts of a large file."""

    key: Key
    bucket: str
    file: str
    token: str
    ends_at: float
    busy: bool = False


@dataclass(frozen=True)
class Grant:
    """A token that lets download from a bucket below a prefix."""

    bucket: str
    prefix: str
    ends_at: float


class Access:
    """Gives and checks tokens."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._places: dict[str, Place] = {}
        self._grants: dict[str, Grant] = {}

    def sign_in(self, header: str) -> tuple[Key, str]:
        """Return the key of a Basic Authorization header and a new token for it."""
        try:
            name, _, secret = base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized("the Authorization header is not a Basic one") from None
        for key in self._store.all_keys():
            # The name of a master key is its account's.
            if key.id == name and secrets.compare_digest(key.secret, secret):
                if key.expires is not None and key.expires < self._store.clock() * 1000:
                    raise unauthorized("the key has expired")
                token = f"4_{key.id}_{secrets.token_hex(16)}_acct"
                with self._lock:
                    self._tokens[token] = _Token(key, time.monotonic() + self._faults.token_seconds)
                return key, token
        raise unauthorized("invalid application key ID or key")

    def key_of(self, token: str) -> Key:
        """Return the key that a token was given for."""
        with self._lock:
            known = self._tokens.get(token)
        if known is None:
            raise CallError(401, "bad_auth_token", "the authorization token is not valid")
        if known.ends_at < time.monotonic():
            raise CallError(401, "expired_auth_token", "the authorization token has expired")
        if all(key.id != known.key.id for key in self._store.all_keys()):
            raise CallError(401, "bad_auth_token", "the key of the authorization token was deleted")
        return known.key

    def check(self, key: Key, call: str, *, bucket: str | None = None, name: str | None = None) -> None:
        """Raise unless the key may make a call on a bucket (ID) and a name or prefix."""
        needed = NEEDED[call]
        if needed not in key.capabilities:
            raise unauthorized(f"unauthorized: the key lacks the capability {needed}")
        if key.buckets is not None and bucket is not None and bucket not in key.buckets:
            raise unauthorized("unauthorized: the key is limited to other buckets")
        if key.prefix and name is not None and not name.startswith(key.prefix):
            raise unauthorized(f"unauthorized: the key is limited to names that start with {key.prefix}")

    def new_place(self, key: Key, bucket: str, file: str = "") -> tuple[str, Place]:
        """Return the name of a new upload URL, and what it is."""
        name = secrets.token_hex(12)
        place = Place(key, bucket, file, f"4_up_{secrets.token_hex(16)}", time.monotonic() + self._faults.token_seconds)
        with self._lock:
            self._places[name] = place
        return name, place

    def occupy(self, name: str, token: str) -> Place:
        """Return an upload URL for one upload; raise if another one uses it."""
        with self._lock:
            place = self._places.get(name)
            if place is None or not secrets.compare_digest(place.token, token):
                raise CallError(401, "bad_auth_token", "the upload token does not belong to this URL")
            if place.ends_at < time.monotonic():
                raise CallError(401, "expired_auth_token", "the upload token has expired")
            if place.busy:
                raise CallError(400, "auth_token_limit", f"more than one upload using auth token {token}")
            place.busy = True
            return place

    def release(self, place: Place) -> None:
        """End the use of an upload URL."""
        with self._lock:
            place.busy = False

    def grant(self, bucket: str, prefix: str, seconds: float) -> str:
        """Return a token for downloads from a bucket below a prefix."""
        token = f"3_dl_{secrets.token_hex(16)}"
        with self._lock:
            self._grants[token] = Grant(bucket, prefix, time.monotonic() + seconds)
        return token

    def may_download(self, token: str, bucket: str, name: str) -> None:
        """Raise unless a token of either sort lets download a file."""
        with self._lock:
            grant = self._grants.get(token)
        if grant is None:
            self.check(self.key_of(token), "b2_download_file_by_name", bucket=bucket, name=name)
        elif grant.ends_at < time.monotonic() or grant.bucket != bucket or not name.startswith(grant.prefix):
            raise unauthorized("the download token is not for this file")
