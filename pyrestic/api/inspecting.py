"""Read-only queries of an opened repository: diff, find and stats."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from pyrestic.api.access import RepositoryAccess, SnapshotName, Work, find_named
from pyrestic.api.arguments import checked
from pyrestic.api.entry import Entry, to_ns
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.errors import UsageError
from pyrestic.operations.find import (
    BlobSearch,
    FailedTree,
    Match,
    NodeSearch,
    PatternSearch,
    TimeRange,
    Use,
    find_pack_blobs,
)
from pyrestic.operations.find import find as find_all
from pyrestic.operations.stats import Mode, StatsProgress, count
from pyrestic.report import Reporter
from pyrestic.repository.locking import LockMode
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.repository.tree_walk import find_tree

StatsMode: TypeAlias = Literal["restore-size", "files-by-contents", "blobs-per-file", "raw-data"]
"""The counting mode: all files as restored, files of different content, their blobs, stored blobs."""

BlobKind: TypeAlias = Literal["data", "tree"]
"""The type of a blob: a part of a file, or a folder."""


class Change(NamedTuple):
    """A changed path; that of a folder ends with a slash.

    The modifier is + or -, or a combination of T (type), M (content), ? (content without a visible change) and U (other
    metadata).
    """

    path: str
    modifier: str


@dataclass(frozen=True, slots=True)
class DifferenceSide:
    """The totals of only one of two snapshots; `bytes` are those of its blobs before compression."""

    files: int
    dirs: int
    others: int
    data_blobs: int
    tree_blobs: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes from one snapshot to another, in order of paths."""

    changes: tuple[Change, ...] = field(repr=False)
    changed_files: int
    added: DifferenceSide
    removed: DifferenceSide


class FoundEntry(NamedTuple):
    """An entry that matches a pattern, and its snapshot."""

    snapshot: OpenSnapshot
    entry: Entry


class UnreadableTree(NamedTuple):
    """A folder that cannot be read, by the ID of its tree or of its parent's tree."""

    snapshot: OpenSnapshot
    tree: str


@dataclass(frozen=True, slots=True)
class FoundEntries:
    """The matches of the patterns, newest snapshot first and in order of paths, and the unreadable folders."""

    entries: tuple[FoundEntry, ...]
    unreadable: tuple[UnreadableTree, ...]


class BlobUse(NamedTuple):
    """A use of a blob: the file that contains it, or the folder that it describes."""

    snapshot: OpenSnapshot
    path: str
    kind: BlobKind
    blob: str
    parent_tree: str
    """The tree that contains the file, "" for a folder."""


@dataclass(frozen=True, slots=True)
class FoundUses:
    """The uses of blobs, newest snapshot first, and the unreadable folders."""

    uses: tuple[BlobUse, ...]
    unreadable: tuple[UnreadableTree, ...]


@dataclass(frozen=True, slots=True)
class RepositoryStats:
    """The total size of some snapshots. The three compression fields are 0 except for raw data."""

    snapshots: int
    bytes: int
    files: int
    blobs: int
    uncompressed_bytes: int
    """Size of the blobs without compression."""
    compression_ratio: float
    """The compression ratio of the compressed blobs."""
    compression_progress: float
    """The percentage of all bytes that are compressed."""
    compression_space_saving: float
    """The percentage of all bytes that compression saves."""


class InspectingVerbs(RepositoryAccess):
    """Diff, find and stats, for OpenRepository."""

    @checked
    def diff(
        self,
        before: SnapshotName,
        after: SnapshotName,
        *,
        metadata: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> Difference:
        """Return the changes from one snapshot to another, with `metadata` also pure metadata changes.

        A name may contain a folder, as in `latest~1:/home`. Unreadable folders go to `report.error`. Raises UsageError,
        NotFoundError, DamageError, BackendError, CancelledError.
        """
        # This imports numpy, which programs that only read files do not need.
        from pyrestic.operations.diff import Diff, Side

        def describe(side: Side) -> DifferenceSide:
            return DifferenceSide(side.files, side.dirs, side.others, side.data_blobs, side.tree_blobs, side.bytes)

        with self._working(LockMode.READ, report, cancel, load_index=True) as work:
            trees = []
            for name in (before, after):
                stored, folder = find_named(work, name)
                trees.append(find_tree(work.repository, stored.snapshot.tree_id, folder))
            comparison = Diff(work.repository, trees[0], trees[1], work.report, metadata=metadata)
            changes = tuple(Change(_text(one.location), one.modifier) for one in comparison.changes())
            found = comparison.statistics()
        return Difference(changes, found.changed_files, describe(found.added), describe(found.removed))

    @checked
    def find(
        self,
        patterns: Sequence[str],
        *,
        snapshots: Sequence[SnapshotName] | None = None,
        ignore_case: bool = False,
        oldest: datetime | None = None,
        newest: datetime | None = None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> FoundEntries:
        """Return the matches of the patterns in all or some snapshots, newest first.

        `oldest` and `newest` limit the modification time, inclusively. Raises UsageError, DamageError, BackendError,
        CancelledError; the result lists unreadable folders.
        """
        period = TimeRange(None if oldest is None else to_ns(oldest), None if newest is None else to_ns(newest))
        search = PatternSearch(patterns, period, ignore_case=ignore_case)
        matches: list[Match] = []
        with self._working(LockMode.READ, report, cancel, load_index=True) as work:
            unreadable = _search(work, snapshots, search, matches, [])
        return FoundEntries(
            tuple(FoundEntry(self._show(one.stored), Entry(_text(one.location), one.node)) for one in matches),
            self._show_unreadable(unreadable),
        )

    @checked
    def find_uses(
        self,
        *,
        blobs: Sequence[str] = (),
        trees: Sequence[str] = (),
        packs: Sequence[str] = (),
        snapshots: Sequence[SnapshotName] | None = None,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> FoundUses:
        """Return the files and folders that use data blobs, trees, or any blobs of packs.

        Pass one of the three: IDs, or the first eight digits of each. Raises as `find` does.
        """
        if bool(blobs) + bool(trees) + bool(packs) != 1:
            raise UsageError("one of blobs, trees and packs must be given")
        uses: list[Use] = []
        with self._working(LockMode.READ, report, cancel, load_index=True) as work:
            if packs:
                search = find_pack_blobs(work.repository, packs, work.report)
            else:
                search = BlobSearch(blobs or None, trees or None)
            unreadable = _search(work, snapshots, search, [], uses)
        return FoundUses(
            tuple(
                BlobUse(
                    self._show(one.stored),
                    _text(one.location),
                    one.type.word,
                    one.id.hex(),
                    "" if one.parent is None else one.parent.hex(),
                )
                for one in uses
            ),
            self._show_unreadable(unreadable),
        )

    @checked
    def stats(
        self,
        snapshots: Sequence[SnapshotName] | None = None,
        *,
        mode: StatsMode = "restore-size",
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> RepositoryStats:
        """Return the total size of all snapshots, or some; `mode` selects how to count.

        Raises UsageError, DamageError, BackendError, CancelledError.
        """
        if mode not in {known.value for known in Mode}:
            raise UsageError(f"{mode!r} is not a valid mode")
        with self._working(LockMode.READ, report, cancel, load_index=True) as work:
            chosen = work.select(snapshots)
            progress = StatsProgress("snapshots", "snapshots", len(chosen))
            with work.report.show(progress):
                found = count(work.repository, chosen, Mode(mode), progress)
        return RepositoryStats(
            found.snapshots,
            found.bytes,
            found.files,
            found.blobs,
            found.plain_bytes,
            found.compression_ratio,
            found.compression_progress,
            found.compression_space_saving,
        )

    def _show(self, stored: StoredSnapshot) -> OpenSnapshot:
        return OpenSnapshot(self._content, stored)

    def _show_unreadable(self, found: Sequence[FailedTree]) -> tuple[UnreadableTree, ...]:
        return tuple(UnreadableTree(self._show(one.stored), one.tree.hex()) for one in found)


def _search(
    work: Work, names: Sequence[SnapshotName] | None, search: NodeSearch, matches: list[Match], uses: list[Use]
) -> list[FailedTree]:
    """Add the matches to the lists and return the unreadable folders."""
    chosen = sorted(work.select(names), key=lambda stored: -stored.snapshot.time_ns)
    unreadable = []
    for found in find_all(work.repository, chosen, search):
        if isinstance(found, Match):
            matches.append(found)
        elif isinstance(found, Use):
            uses.append(found)
        else:
            unreadable.append(found)
    return unreadable


def _text(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")
