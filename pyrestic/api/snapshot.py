"""A snapshot of an opened repository: its metadata, its files, and restoring them."""

import os
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from pyrestic.api.arguments import checked
from pyrestic.api.cancelling import cancellable
from pyrestic.api.content import Content, Covered
from pyrestic.api.entry import Entry, Location, join_location, split_location, to_datetime
from pyrestic.api.summary import BackupSummary, describe_summary
from pyrestic.errors import NotFoundError, UsageError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID, short
from pyrestic.report import Reporter
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.repository.tree_walk import walk
from pyrestic.vfs import view
from pyrestic.vfs.stream import ContentStream

if TYPE_CHECKING:
    from pyrestic.api.restore import Restored
    from pyrestic.api.restore_plan import RestorePlan
    from pyrestic.operations.restore_root import Source

Overwrite: TypeAlias = Literal["always", "if-changed", "if-newer", "never"]
"""The overwrite mode of a restore: compare all, those whose time or length differ, only older, none."""


class OpenSnapshot:
    """A snapshot. Created by OpenRepository, and usable until that is closed; thread-safe."""

    def __init__(self, content: Content, stored: StoredSnapshot) -> None:
        self._content = content
        self._stored = stored
        content.note_found(stored.id)

    def __repr__(self) -> str:
        return f"<OpenSnapshot {self.short_id} of {self._stored.snapshot.time}>"

    @property
    def id(self) -> str:
        """Its ID, 64 hex digits."""
        return self._stored.id.hex()

    @property
    def short_id(self) -> str:
        """The first eight digits of its ID."""
        return short(self._stored.id)

    @property
    def time(self) -> datetime:
        """Start of the backup, in UTC."""
        return to_datetime(self._stored.snapshot.time_ns)

    @property
    def hostname(self) -> str:
        """Its host."""
        return self._stored.snapshot.hostname

    @property
    def username(self) -> str:
        """Its user."""
        return self._stored.snapshot.username

    @property
    def paths(self) -> tuple[str, ...]:
        """Its sources."""
        return tuple(self._stored.snapshot.paths)

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return tuple(self._stored.snapshot.tags)

    @property
    def partial(self) -> bool:
        """Whether its backup ended early: what it did not reach is as in the snapshot before, or missing."""
        return self._stored.snapshot.is_partial

    @property
    def excludes(self) -> tuple[str, ...]:
        """The exclude patterns of the backup."""
        return tuple(self._stored.snapshot.excludes)

    @property
    def tree(self) -> str:
        """The ID of its root tree."""
        return self._stored.snapshot.tree

    @property
    def parent(self) -> str:
        """The ID of the parent snapshot, "" if there was none."""
        return self._stored.snapshot.parent or ""

    @property
    def original(self) -> str:
        """The ID of the snapshot from which tag, rewrite or copy first derived it, "" if it is an original."""
        return self._stored.snapshot.original or ""

    @property
    def uid(self) -> int:
        """The user ID."""
        return self._stored.snapshot.uid

    @property
    def gid(self) -> int:
        """The group ID."""
        return self._stored.snapshot.gid

    @property
    def program_version(self) -> str:
        """The program that made it, "" in snapshots of restic before 0.14."""
        return self._stored.snapshot.program_version

    @property
    def summary(self) -> BackupSummary | None:
        """The statistics of the backup; None in snapshots of restic before 0.17."""
        summary = self._stored.snapshot.summary
        return None if summary is None else describe_summary(summary)

    @checked
    def entry(self, location: Location) -> Entry:
        """Return the entry at a path; raise NotFoundError, DamageError or BackendError."""
        return self._find(location)[0]

    @checked
    def entries(self, location: Location = "/") -> list[Entry]:
        """Return the entries of a folder, in the order of names; raise as `entry` does, and if it is not a folder."""
        folder, found, _, covered = self._find_folder(location)
        base = folder.path.rstrip("/")
        with self._content.unless_closed():
            below = covered.view.children(found)
        return [
            Entry(f"{base}/{name.decode('utf-8', 'surrogateescape')}", one.node)
            for name, one in below
            if one.node is not None
        ]

    @checked
    def walk(self, location: Location = "/") -> Iterator[Entry]:
        """Iterate everything below a folder, each folder before its entries; raise as `entries` does."""
        folder, _, tree, covered = self._find_folder(location)
        root = folder.path.encode("utf-8", "surrogateescape")

        def load(identifier: ID) -> list[Node]:
            self._content.check_open()
            with self._content.unless_closed():
                return covered.repository.load_tree(identifier)

        for visit in walk(covered.repository, tree, root=root, load=load):
            self._content.check_open()
            yield Entry(visit.location.decode("utf-8", "surrogateescape"), visit.node)

    @checked
    def open(self, location: Location) -> ContentStream:
        """Return the content of a file as a seekable binary stream; raise as `entry` does, and if it is not a file.

        Only the requested data is fetched, with read-ahead for sequential reads. Links are not followed.
        """
        entry, _, covered = self._find(location)
        if not entry.is_file:
            raise UsageError(f"{entry.path} in snapshot {self.short_id} is not a regular file but of type {entry.type}")
        return self._content.open(entry._node, covered)

    @checked
    def restore(
        self,
        target: str | os.PathLike[str],
        location: Location = "/",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        overwrite: Overwrite | None = None,
        missing: bool = False,
        delete: bool = False,
        sparse: bool = False,
        verify: bool = False,
        ignore_free_space: bool = False,
        strip_components: int = 0,
        ownership_by_name: bool = False,
        include_xattr: Sequence[str] = (),
        exclude_xattr: Sequence[str] = (),
        no_privileged: bool = False,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> "Restored":
        """Restore a folder of the snapshot below `target`; arguments are as the flags of that name.

        A file, or any other entry than a folder, goes into `target` if that is a folder and becomes it otherwise.
        Without `overwrite`, files are compared as with "always", except for those that an interrupted restore has
        finished. Raises LocalFileError before anything is written if there is too little free space. Everything else is
        restored before PyresticError is raised for files that could not be. Each such file has gone to `report.error`.
        Raises CancelledError if it was cancelled; the same restore, called again, continues.
        """
        # A program that only reads does not need the modules of a restore.
        from pyrestic.api.restore import make_options, make_restore, run_restore

        options = make_options(
            include=include,
            exclude=exclude,
            overwrite=overwrite,
            missing=missing,
            delete=delete,
            sparse=sparse,
            verify=verify,
            ignore_free_space=ignore_free_space,
            strip_components=strip_components,
            ownership_by_name=ownership_by_name,
            include_xattr=include_xattr,
            exclude_xattr=exclude_xattr,
            no_privileged=no_privileged,
        )
        source, covered = self._source(location)
        with self._content.unless_closed(), cancellable(covered.repository.backend, cancel) as gate:
            gate.ensure_wanted()
            return run_restore(make_restore(self._content, gate, covered, source, target, options, report))

    @checked
    def plan_restore(
        self,
        target: str | os.PathLike[str],
        location: Location = "/",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        overwrite: Overwrite | None = None,
        missing: bool = False,
        strip_components: int = 0,
        report: Reporter | None = None,
        cancel: threading.Event | None = None,
    ) -> "RestorePlan":
        """Return the plan of `restore` with the same arguments: its writes, downloads and missing data.

        Nothing is written. Raises as `restore` does.
        """
        from pyrestic.api.restore import make_options, make_restore
        from pyrestic.api.restore_plan import describe_plan

        options = make_options(
            include=include,
            exclude=exclude,
            overwrite=overwrite,
            missing=missing,
            strip_components=strip_components,
        )
        source, covered = self._source(location)
        with self._content.unless_closed(), cancellable(covered.repository.backend, cancel) as gate:
            gate.ensure_wanted()
            return describe_plan(make_restore(self._content, gate, covered, source, target, options, report).plan())

    def _source(self, location: Location) -> "tuple[Source, Covered]":
        from pyrestic.operations.restore_root import Contents, Single

        entry, found, covered = self._find(location)
        return Single(entry._node) if found.tree is None else Contents(found.tree), covered

    def _find(self, location: Location) -> tuple[Entry, view.Entry, Covered]:
        parts = split_location(location)
        covered = self._content.cover(self._stored.id)
        path = join_location(parts).decode("utf-8", "surrogateescape")
        try:
            with self._content.unless_closed():
                found = covered.view.find_in(self._stored, parts)
        except NotFoundError as error:
            raise NotFoundError(f"{path} is not in snapshot {self.short_id}: {error}") from error
        node = found.node or Node(name="", type=DIRECTORY, subtree=self._stored.snapshot.tree)
        return Entry(path, node), found, covered

    def _find_folder(self, location: Location) -> tuple[Entry, view.Entry, ID, Covered]:
        entry, found, covered = self._find(location)
        if found.tree is None:
            raise UsageError(f"{entry.path} in snapshot {self.short_id} is not a folder but of type {entry.type}")
        return entry, found, found.tree, covered
