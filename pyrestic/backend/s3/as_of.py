"""Read-only access to an S3 repository as of an earlier time, from the versions that a bucket with versioning keeps.

For each key, the newest version at that time is visible, unless it is a delete marker. Files that a forget, a prune or
an attacker has deleted or overwritten since are visible again.
"""

import threading
from typing import NamedTuple, NoReturn

from pyrestic.backend.http import SENSELESS_ATTEMPTS, Answer
from pyrestic.backend.objects import MAX_SHORT_PAGES, MIN_NAMES, ListedObject, ObjectPage
from pyrestic.backend.plain_xml import Element, parse_xml
from pyrestic.backend.s3.errors import s3_error
from pyrestic.backend.s3.key_files import parse_end
from pyrestic.backend.s3.store import S3Store, decode_key, has_more, read_length
from pyrestic.errors import AccessError, BackendError, FormatError, NotFoundError, TransientError

_PAGE = "1000"


class _Version(NamedTuple):
    """A version of an object; `id` is "" for a delete marker. The time is in seconds since 1970."""

    key: str
    id: str
    length: int
    modified: float
    latest: bool


class _Page(NamedTuple):
    versions: list[_Version]
    next_key: str
    next_id: str


class AsOfStore:
    """The requests of a bucket as of a time in milliseconds since 1970; writes are refused. See ObjectStore."""

    read_only = True

    def __init__(self, store: S3Store, base: str, milliseconds: int) -> None:
        self._store = store
        self._base = base
        self._seconds = milliseconds / 1000
        self._lock = threading.Lock()
        self._found: dict[str, _Version] | None = None

    def prepare(self) -> None:
        """Refuse."""
        _refuse()

    def put(self, key: str, data: memoryview, *, archivable: bool) -> None:  # noqa: ARG002 - the protocol's signature
        """Refuse."""
        _refuse()

    def get(self, key: str, range_text: str, max_length: int) -> Answer:
        """Return the response with a version, or with a range of it."""
        return self._store.get(key, range_text, max_length, version=self._find(key).id)

    def find_length(self, key: str) -> int:
        """Return the length of an object at that time."""
        return self._find(key).length

    def list_page(self, prefix: str, marker: str) -> ObjectPage:  # noqa: ARG002 - there is one page
        """Return all objects that existed at that time and whose keys start with prefix."""
        listed = [ListedObject(key, version.length) for key, version in self._all().items() if key.startswith(prefix)]
        return ObjectPage(listed, "")

    def delete(self, key: str) -> None:  # noqa: ARG002 - the protocol's signature
        """Refuse."""
        _refuse()

    def interrupt(self) -> None:
        """Abort all running requests."""
        self._store.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._store.close()

    def _find(self, key: str) -> _Version:
        version = self._all().get(key)
        if version is None:
            raise NotFoundError(f"{key} did not exist at that time, or none of its versions exists any more")
        return version

    def _all(self) -> dict[str, _Version]:
        """Return all objects that existed at that time; the versions are listed only once."""
        with self._lock:
            if self._found is None:
                self._found = self._choose()
            return self._found

    def _choose(self) -> dict[str, _Version]:
        chosen: dict[str, _Version] = {}
        key = version_id = ""
        seen: set[tuple[str, str]] = set()
        short = 0
        while True:
            page = self._list(key, version_id)
            for version in page.versions:
                if version.modified > self._seconds or not version.key.startswith(self._base):
                    continue
                other = chosen.get(version.key)
                # Services list the newest version first, but some list delete markers apart.
                if other is None or (version.modified, version.latest) > (other.modified, other.latest):
                    chosen[version.key] = version
            key, version_id = page.next_key, page.next_id
            if not key:
                return {key: version for key, version in chosen.items() if version.id}
            short += len(page.versions) < MIN_NAMES
            if (key, version_id) in seen or short > MAX_SHORT_PAGES:
                raise BackendError(f"listing versions of {self._base} failed: the pages of the server do not end")
            seen.add((key, version_id))

    def _list(self, key: str, version_id: str) -> _Page:
        doing = f"listing versions of {self._base}"
        query = [("versions", ""), ("prefix", self._base), ("max-keys", _PAGE), ("encoding-type", "url")]
        if key:
            query += [("key-marker", key), ("version-id-marker", version_id)]
        answer = self._store.caller.send("GET", "", doing, query=query)
        if answer.status != 200:
            raise s3_error(answer, doing)
        try:
            return _read_page(answer.body)
        except (FormatError, ValueError):
            raise TransientError(
                f"{doing} failed: the response did not come from an S3 service", attempts=SENSELESS_ATTEMPTS
            ) from None


def _read_page(body: bytes) -> _Page:
    """Return the page in a response; raise FormatError or ValueError if it is none."""
    root = parse_xml(body)
    if root.name != "ListVersionsResult":
        raise ValueError(root.name)
    encoded = root.read("EncodingType") == "url"
    versions = [
        _read_version(element, encoded=encoded)
        for element in root.children
        if element.name in ("Version", "DeleteMarker")
    ]
    key = decode_key(root.read("NextKeyMarker"), encoded=encoded)
    if not has_more(root, key):
        return _Page(versions, "", "")
    if not key:
        raise ValueError("the next page is not named")
    return _Page(versions, key, root.read("NextVersionIdMarker"))


def _read_version(element: Element, *, encoded: bool) -> _Version:
    modified = parse_end(element.read("LastModified").strip())
    is_file = element.name == "Version"
    if modified is None:
        raise ValueError("the time is missing")
    return _Version(
        decode_key(element.read("Key"), encoded=encoded),
        (element.read("VersionId").strip() or "null") if is_file else "",
        read_length(element) if is_file else 0,
        modified,
        element.read("IsLatest").strip() == "true",
    )


def _refuse() -> NoReturn:
    raise AccessError(
        "a past state of a repository cannot be changed",
        hint="Omit -o s3.as-of, or copy from it to another repository.",
    )
