"""Uploads of files too long for one call: in concurrent parts, cancelled if they fail."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.client import Authorization, FileVersion, UploadUrl, stored_id
from pyrestic.backend.b2.session import B2Session
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.errors import BackendError, NotFoundError, TransientError

MAX_PARTS = 10_000
"""B2 takes no more, whatever part size it recommends."""
_ATTEMPTS = 5
"""Attempts per part: starting the complete file again would cost more."""


def upload_large(session: B2Session, name: str, data: memoryview, sha1: str, connections: int) -> str:
    """Upload a file in parts and return its ID; raise BackendError, with nothing left behind."""
    caller = session.caller
    bucket_id = session.bucket_id()
    authorization = session.authorization()
    file_id = session.run(lambda auth: api.start_large_file(caller, auth, bucket_id, name, sha1))
    try:
        parts = split(data, authorization)
        with ThreadPoolExecutor(min(connections, len(parts)), thread_name_prefix="b2-part") as pool:
            uploader = _PartUploader(session, file_id)
            sha1s = list(pool.map(uploader.upload, range(1, len(parts) + 1), parts))
        return stored_id(_finish(session, file_id, sha1s), name, len(data), sha1)
    except BaseException:
        with contextlib.suppress(BackendError):
            session.run(lambda auth: api.cancel_large_file(caller, auth, file_id))
        raise


def split(data: memoryview, authorization: Authorization) -> list[memoryview]:
    """Return the parts of a file: two or more of about equal size; only the last may be below the minimum."""
    count = min(max(2, -(-len(data) // authorization.recommended_part_bytes)), MAX_PARTS)
    length = max(-(-len(data) // count), authorization.minimum_part_bytes)
    return [data[start : start + length] for start in range(0, len(data), length)]


class _PartUploader:
    """Uploads parts from several threads; each thread has an upload URL of its own."""

    def __init__(self, session: B2Session, file_id: str) -> None:
        self._session = session
        self._file_id = file_id
        self._free: list[UploadUrl] = []

    def upload(self, number: int, data: memoryview) -> str:
        """Upload a part and return its SHA-1 (hex)."""
        expired = False
        for attempt in range(_ATTEMPTS):
            try:
                return self._try(number, data)
            except ExpiredTokenError as error:
                if expired:
                    raise error.refusal from error
                expired = True
                self._free.clear()
            except TransientError as error:
                # Only failures that a new URL may fix; whoever retries the complete file handles the others.
                if attempt == _ATTEMPTS - 1 or error.retry_after_seconds != 0.0:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _try(self, number: int, data: memoryview) -> str:
        session = self._session
        try:
            url = self._free.pop()
        except IndexError:
            url = session.run(lambda auth: api.get_upload_part_url(session.caller, auth, self._file_id))
        sha1 = api.upload_part(session.caller, url, number, data)
        self._free.append(url)
        return sha1


def _finish(session: B2Session, file_id: str, sha1s: list[str]) -> FileVersion:
    """Finish the file. A lost response is no failure: a second call would be refused, so look up the file."""
    caller = session.caller
    try:
        return session.run(lambda auth: api.finish_large_file(caller, auth, file_id, sha1s))
    except BackendError as error:
        try:
            version = session.run(lambda auth: api.get_file_info(caller, auth, file_id))
        except NotFoundError:
            raise error from None
        if version.action != "upload":
            raise
        return version
