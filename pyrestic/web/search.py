"""Search by name in all snapshots: each path once, in its newest version; results appear during the search."""

import fnmatch
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from pyrestic.errors import PyresticError
from pyrestic.format.node import Node
from pyrestic.ids import ID
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshot_walk import Event, EventKind, Forest
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.web.browse import icon
from pyrestic.web.site import site_of
from pyrestic.web.streaming import ResponseLimit, StreamedAnswer

_MOST = 300
_SECONDS = 20.0
_REMEMBERED = 1_000_000
_KEY_BYTES = 12
_BUFFERED = 40
_room = ResponseLimit(3, "others are searching")


@dataclass(frozen=True, slots=True)
class Hit:
    """A matching path in the newest snapshot that has it."""

    stored: StoredSnapshot
    location: bytes
    node: Node

    @property
    def folder(self) -> bytes:
        """The folder it is in."""
        return self.location.rpartition(b"/")[0] or b"/"


@dataclass(slots=True)
class NameSearch:
    """A search for part of a name, ignoring case, or for a pattern with * and ?.

    Iterate `hits`, then read the result: `reached` is the snapshot at which it stopped early, None if it is complete;
    `reason` explains why it stopped, `unreadable` counts the folders that could not be searched.
    """

    wanted: str
    most: int = _MOST
    seconds: float = _SECONDS
    reached: StoredSnapshot | None = None
    reason: str = ""
    unreadable: int = 0
    count: int = 0
    _visited: set[bytes] = field(default_factory=set)
    _found: set[bytes] = field(default_factory=set)

    def hits(self, repository: Repository, snapshots: Sequence[StoredSnapshot]) -> Iterator[Hit]:
        """Iterate the matches in some snapshots, in their order."""
        fits = self._matcher()
        deadline = time.monotonic() + self.seconds
        roots: dict[ID, StoredSnapshot] = {}
        for stored in snapshots:
            roots.setdefault(stored.snapshot.tree_id, stored)
        forest = Forest(repository, list(roots), self._enter)
        for root, stored in roots.items():
            for event in forest.walk(root):
                if event.kind is EventKind.UNREADABLE:
                    self.unreadable += 1
                if event.kind is not EventKind.NODE or event.node is None:
                    continue
                if time.monotonic() > deadline:
                    self._stop(stored, f"The search stopped after {self.seconds:.0f} seconds")
                    return
                if event.entered:
                    self._remember(event)
                if event.location not in self._found and fits(event.location):
                    if self.count >= self.most:
                        self._stop(stored, f"More than {self.most} names match")
                        return
                    self._found.add(event.location)
                    self.count += 1
                    yield Hit(stored, event.location, event.node)

    def _stop(self, stored: StoredSnapshot, reason: str) -> None:
        self.reached, self.reason = stored, reason

    def _matcher(self) -> "_Matcher":
        if re.search(r"[*?]", self.wanted):
            return _Matcher(re.compile(fnmatch.translate(self.wanted.casefold())))
        return _Matcher(re.compile(f".*{re.escape(self.wanted.casefold())}", re.DOTALL))

    def _enter(self, location: bytes, node: Node) -> bool:
        """A folder with the same tree as in a newer snapshot has no new matches."""
        return _key(location, node) not in self._visited

    def _remember(self, event: Event) -> None:
        if event.node is not None and len(self._visited) < _REMEMBERED:
            self._visited.add(_key(event.location, event.node))


@dataclass(frozen=True, slots=True)
class _Matcher:
    pattern: re.Pattern[str]

    def __call__(self, location: bytes) -> bool:
        name = location.rpartition(b"/")[2].decode("utf-8", "surrogateescape").casefold()
        return self.pattern.match(name) is not None


def _key(location: bytes, node: Node) -> bytes:
    return hashlib.blake2b((node.subtree or "").encode() + location, digest_size=_KEY_BYTES).digest()


def show_search(request: Request) -> Response:
    """Answer with the matches as they are found."""
    site = site_of(request)
    wanted = request.query_params.get("q", "").strip()
    snapshots = site.catalog.snapshots()
    before = request.query_params.get("before", "")
    if before:
        snapshots = snapshots[site.catalog.shelf().places[site.catalog.find(before).id] :]
    if not wanted:
        return site.renderer.page("search.html", active="search", wanted="", found=None, hits=(), icon=icon)
    _room.take()
    found = NameSearch(wanted)

    def hits() -> Iterator[Hit]:
        try:
            yield from found.hits(site.repository, snapshots)
        except PyresticError as error:
            # The page has begun: report the error at its end.
            found.reason = f"The search failed: {error}"

    template = site.renderer.environment.get_template("search.html")
    stream = template.stream(active="search", search=wanted, wanted=wanted, found=found, hits=hits(), icon=icon)
    stream.enable_buffering(_BUFFERED)
    return StreamedAnswer(stream, _room, "text/html")
