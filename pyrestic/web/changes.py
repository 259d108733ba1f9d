"""The page of a snapshot: its details, its additions, and the changes since the previous one."""

from dataclasses import dataclass
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response

from pyrestic.operations.diff import ADDED, REMOVED, Change, Diff
from pyrestic.report import NullReporter
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.web.addresses import address
from pyrestic.web.site import Site, site_of

_MOST = 1000
_WORDS = {ADDED: "new", REMOVED: "gone", "T": "other kind"}


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A changed path: the kind of change, and a link to it."""

    location: bytes
    word: str
    address: str
    is_folder: bool


def show_snapshot(request: Request) -> Response:
    """Answer with the page of a snapshot, compared with a named one or with the previous one."""
    site = site_of(request)
    stored = site.catalog.find(request.path_params["snapshot"])
    other = request.query_params.get("since", "")
    before = site.catalog.find(other) if other else site.catalog.before(stored)
    changes, more = _find_changes(site, before, stored) if before is not None else ([], False)
    return site.renderer.page(
        "snapshot.html",
        active="timeline",
        stored=stored,
        before=before,
        earlier=site.catalog.before(stored),
        later=site.catalog.after(stored),
        changes=changes,
        more=more,
        most=_MOST,
    )


def _find_changes(site: Site, before: StoredSnapshot, after: StoredSnapshot) -> tuple[list[ShownChange], bool]:
    report = NullReporter()
    diff = Diff(site.repository, before.snapshot.tree_id, after.snapshot.tree_id, report, metadata=False)
    found = list(islice(diff.changes(), _MOST + 1))
    return [_show(change, before, after) for change in found[:_MOST]], len(found) > _MOST


def _show(change: Change, before: StoredSnapshot, after: StoredSnapshot) -> ShownChange:
    location = change.location.rstrip(b"/") or b"/"
    word = _WORDS.get(change.modifier[:1], "changed")
    is_folder = change.location.endswith(b"/")
    if word == "changed" and not is_folder:
        target = address(f"compare/{before.id.hex()[:12]}", after, location)
    else:
        target = address("files", before if word == "gone" else after, location)
    return ShownChange(location, word, target, is_folder)
