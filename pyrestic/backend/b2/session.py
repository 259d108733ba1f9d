"""A B2 session: the token and its capabilities, the bucket's ID, a pool of upload URLs. Thread-safe.

Everything is requested on first use: downloads need only the token, so reads by name never look up the bucket.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.client import Authorization, Caller, UploadUrl
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.errors import AccessError, NotFoundError

T = TypeVar("T")

_PATIENCE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class AccountKey:
    """An application key."""

    key_id: str
    key: str = field(repr=False)


class B2Session:
    """The state of one client of one bucket."""

    def __init__(self, caller: Caller, account_key: AccountKey, bucket_name: str, endpoint: str) -> None:
        self.caller = caller
        self.bucket_name = bucket_name
        self._account_key = account_key
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._authorization: Authorization | None = None
        self._bucket_id = ""
        self._bucket_absent = False
        self._urls_changed = threading.Condition()
        self._free_urls: list[UploadUrl] = []
        self._lent_urls = 0

    def authorization(self) -> Authorization:
        """Return the token with its details; sign in on the first call."""
        with self._lock:
            if self._authorization is None:
                key = self._account_key
                self._authorization = api.authorize_account(self.caller, self._endpoint, key.key_id, key.key)
            return self._authorization

    def run(self, call: Callable[[Authorization], T]) -> T:
        """Return the result of call; if its token has expired, sign in and call once more.

        Raises AccessError if the new token is refused as well.
        """
        authorization = self.authorization()
        try:
            return call(authorization)
        except ExpiredTokenError:
            self._forget(authorization)
        try:
            return call(self.authorization())
        except ExpiredTokenError as error:
            raise error.refusal from error

    def can(self, capability: str) -> bool:
        """Whether the key has a capability."""
        return capability in self.authorization().capabilities

    def bucket_id(self) -> str:
        """Return the ID of the bucket; raise NotFoundError if there is none of that name, AccessError."""
        if not self._bucket_id:
            if self._bucket_absent:
                raise NotFoundError(f"there is no bucket {self.bucket_name} in this B2 account")
            self._bucket_id = self._find_allowed() or self._look_up()
        return self._bucket_id

    def create_bucket(self) -> None:
        """Create a private bucket unless it exists; raise AccessError if the key may not."""
        try:
            self.bucket_id()
        except NotFoundError:
            self._bucket_id = self.run(lambda auth: api.create_bucket(self.caller, auth, self.bucket_name)).bucket_id
            self._bucket_absent = False

    @contextlib.contextmanager
    def upload_url(self, *, fresh: bool = False) -> Iterator[UploadUrl]:
        """Lend an upload URL for one upload; it is reused unless the upload fails.

        With `fresh`, pooled URLs are dropped: they are as old as one that has just expired.
        """
        if fresh:
            with self._urls_changed:
                self._free_urls.clear()
        url = self._take_url()
        good = False
        try:
            yield url
            good = True
        finally:
            with self._urls_changed:
                self._lent_urls -= 1
                if good:
                    self._free_urls.append(url)
                self._urls_changed.notify()

    def _take_url(self) -> UploadUrl:
        """Return a free upload URL, or request a new one.

        First it waits a moment for a URL in use: a request takes as long, and small uploads end soon.
        """
        with self._urls_changed:
            if not self._free_urls and self._lent_urls:
                self._urls_changed.wait(_PATIENCE_SECONDS)
            self._lent_urls += 1
            if self._free_urls:
                return self._free_urls.pop()
        try:
            bucket_id = self.bucket_id()
            return self.run(lambda auth: api.get_upload_url(self.caller, auth, bucket_id))
        except BaseException:
            with self._urls_changed:
                self._lent_urls -= 1
            raise

    def _forget(self, authorization: Authorization) -> None:
        """Drop an expired token; another thread may already have a new one."""
        with self._lock:
            if self._authorization is authorization:
                self._authorization = None

    def _find_allowed(self) -> str:
        """Return the bucket's ID from the key, "" if the key is for all; raise AccessError if for others."""
        allowed = self.authorization().buckets
        if allowed is None:
            return ""
        for bucket in allowed:
            if bucket.name == self.bucket_name:
                return bucket.id
        raise AccessError(
            f"the application key is restricted to buckets other than {self.bucket_name}",
            hint="Use the bucket of the key, or create a key for this bucket.",
        )

    def _look_up(self) -> str:
        for bucket in self.run(lambda auth: api.list_buckets(self.caller, auth, self.bucket_name)):
            if bucket.bucket_name == self.bucket_name:
                return bucket.bucket_id
        self._bucket_absent = True
        raise NotFoundError(f"there is no bucket {self.bucket_name} in this B2 account")
