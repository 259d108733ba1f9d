"""The data of all pages: the repository, its snapshots, folders and contents."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from pyrestic.errors import NotFoundError
from pyrestic.format.node import FILE, Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter, StoredSnapshot
from pyrestic.vfs.blob_cache import BlobCache
from pyrestic.vfs.namespace import NamespaceEntry, make_namespace
from pyrestic.vfs.reader import FileReader
from pyrestic.vfs.view import Entry, View
from pyrestic.web.addresses import requested_location, split_location
from pyrestic.web.catalog import Catalog
from pyrestic.web.histories import Histories
from pyrestic.web.listing import Listing
from pyrestic.web.profiles import LookAtProfiles
from pyrestic.web.render import Renderer


@dataclass(frozen=True, slots=True)
class Spot:
    """A location in a snapshot, and its entry."""

    stored: StoredSnapshot
    location: bytes
    entry: Entry

    @property
    def node(self) -> Node | None:
        """The node there; None for the root of a snapshot."""
        return self.entry.node

    @property
    def name(self) -> bytes:
        """The last name of the location; empty for the root."""
        return self.location.rpartition(b"/")[2]

    @property
    def mtime_ns(self) -> int:
        """Its modification time; for the root, the time of the snapshot."""
        return self.stored.snapshot.time_ns if self.node is None else self.node.mtime_ns

    def folder(self) -> ID:
        """Return the tree of the folder; raise NotFoundError for other entries."""
        if self.entry.tree is None:
            raise NotFoundError("This is not a folder.")
        return self.entry.tree

    def file(self) -> Node:
        """Return the node of the file; raise NotFoundError for other entries."""
        if self.node is None or self.node.type != FILE:
            raise NotFoundError("This is not a file.")
        return self.node


class Site:
    """The served repository. Thread-safe."""

    def __init__(
        self,
        repository: Repository,
        wanted: SnapshotFilter,
        report: Reporter,
        *,
        title: str,
        index: HistoryIndex | None = None,
        clock: Callable[[], float] = time.monotonic,
        profiles: LookAtProfiles = lambda: None,
    ) -> None:
        self.repository = repository
        self.profiles = profiles
        self.report = report
        self.catalog = Catalog(repository, wanted, report, clock=clock)
        self.view = View(repository, self._load_places)
        self.listing = Listing(self.view)
        self.histories = Histories(repository, index, report)
        self.renderer = Renderer({"title": title, "repository_id": repository.config.id[:10]})
        threads = max(2, repository.backend.connections)
        self._blobs = BlobCache(self._load_data, threads)

    def close(self) -> None:
        """End the read-ahead threads."""
        self._blobs.close()

    def find(self, stored: StoredSnapshot, location: bytes) -> Spot:
        """Return the entry at a location; raise NotFoundError, DamageError or BackendError."""
        entry = self.view.find_in(stored, split_location(location))
        return Spot(stored, location, entry)

    def requested(self, request: Request) -> Spot:
        """Return the entry for an address; raise NotFoundError, DamageError or BackendError."""
        return self.find(self.catalog.find(request.path_params["snapshot"]), requested_location(request))

    def reader(self, node: Node) -> FileReader:
        """Return a reader of a file's content; raise DamageError."""
        return FileReader(node, self.repository.index, self._blobs)

    def _load_places(self) -> NamespaceEntry:
        """Return the folders above the snapshots; without links, because not every view supports links."""
        return make_namespace(self.catalog.snapshots(), links=False)

    def _load_data(self, identifier: ID) -> bytes:
        return self.repository.load_blob(BlobHandle(BlobType.DATA, identifier))


def site_of(request: Request) -> Site:
    """Return the site of a request."""
    site: Site = request.app.state.site
    return site
