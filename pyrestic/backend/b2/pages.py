"""Listings of a bucket, page by page. They end whatever the service responds, because each page is billed."""

from collections.abc import Iterator

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.client import FilePage, FileVersion
from pyrestic.backend.b2.session import B2Session
from pyrestic.errors import BackendError

MAX_SHORT_PAGES = 100
"""How many pages with fewer than MIN_NAMES names a listing may have. B2's pages have up to api.MAX_PAGE names."""
MIN_NAMES = 10


def list_names(session: B2Session, prefix: str) -> Iterator[FileVersion]:
    """Iterate the visible files whose names start with prefix, by name; raise BackendError."""
    bucket_id = session.bucket_id()
    walk = _Walk(f"listing {prefix}")
    while not walk.ended:
        page = session.run(lambda auth: api.list_file_names(session.caller, auth, bucket_id, prefix, walk.name))
        yield from (version for version in page.files if version.file_name.startswith(prefix))
        walk.go_on(page)


def list_versions(session: B2Session, prefix: str) -> Iterator[FileVersion]:
    """Iterate all versions of files whose names start with prefix: by name, newest first; raise BackendError."""
    bucket_id = session.bucket_id()
    walk = _Walk(f"listing versions of {prefix}")
    while not walk.ended:
        page = session.run(
            lambda auth: api.list_file_versions(session.caller, auth, bucket_id, prefix, walk.name, walk.file_id)
        )
        yield from (version for version in page.files if version.file_name.startswith(prefix))
        walk.go_on(page)


class _Walk:
    """Where the next page of a listing starts: `name`, and `file_id` among the versions of one name."""

    def __init__(self, doing: str) -> None:
        self.ended = False
        self.name: str | None = None
        self.file_id: str | None = None
        self._doing = doing
        self._ids: set[str | None] = set()
        self._short = 0

    def go_on(self, page: FilePage) -> None:
        """Go to the next page; raise BackendError if it was listed before, or if too many pages bring next to nothing.

        Names only go up. The IDs of versions have no such order, so those of one name are remembered.
        """
        name, file_id = page.next_file_name, page.next_file_id
        if name is None:
            self.ended = True
            return
        if name != self.name:
            self._ids.clear()
        if (self.name is not None and name < self.name) or file_id in self._ids:
            raise BackendError(f"{self._doing} failed: B2's pages repeat in a loop")
        self._short += len(page.files) < MIN_NAMES
        if self._short > MAX_SHORT_PAGES:
            raise BackendError(f"{self._doing} failed: B2's pages do not end")
        self._ids.add(file_id)
        self.name, self.file_id = name, file_id
