"""Restores the files below a tree to a local folder.

One walk through the trees creates folders and collects files; their contents are fetched and written in batches;
everything that requires all files comes last: hard links, links, devices, and the metadata of folders, deepest first.
"""

import os
from collections.abc import Callable, Container
from typing import NamedTuple

from pyrestic.engine_types import Stamp
from pyrestic.errors import FormatError, LocalFileError, PyresticError
from pyrestic.format.node import DIRECTORY, FILE, SOCKET, Node
from pyrestic.ids import ID
from pyrestic.localfs.new_files import FileToWrite
from pyrestic.localfs.restore_journal import RestoreNote
from pyrestic.localfs.select import Select
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.existing import Existing, Overwrite
from pyrestic.operations.preflight import MAX_NAMED, Lost
from pyrestic.operations.restore_files import FileCollector, FilePlan, compare_existing, make_plan
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_progress import ItemRestored, RestoreProgress
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.trail import MOST_FOLDERS, check_depth
from pyrestic.repository.tree_walk import walk


class _Later(NamedTuple):
    """A task for the time when all contents are written."""

    location: bytes
    node: Node


class TreeRestorer:
    """One restore of a tree to a target; used once.

    `load` loads trees, see walk. Files that an earlier run has finished, according to `note`, are skipped; files that
    this run finishes are added to it, and the caller closes it. `ensure_wanted` is as in Restore. Folders in `keep` do
    not get the metadata of the snapshot.
    """

    def __init__(
        self,
        repository: Repository,
        writer: TargetWriter,
        options: RestoreOptions,
        report: Reporter,
        progress: RestoreProgress,
        *,
        select: Select | None = None,
        on_item: Callable[[ItemRestored], None] | None = None,
        load: Callable[[ID], list[Node]] | None = None,
        note: RestoreNote | None = None,
        ensure_wanted: Callable[[], None] = lambda: None,
        keep: Container[bytes] = (),
    ) -> None:
        self.errors: list[Lost] = []
        """Entries that could not be restored, MAX_NAMED at most."""
        self._repository = repository
        self._writer = writer
        self._options = options
        self._report = report
        self._progress = progress
        self._select = select
        self._on_item = on_item
        self._load = load
        self._note = note
        self._ensure_wanted = ensure_wanted
        self._files = FileCollector(repository, writer, sparse=options.sparse)
        self._existing = Existing(writer, options.overwrite)
        self._keep = keep
        self._touched: set[bytes] = set()
        self._folders: list[_Later] = []
        self._others: list[_Later] = []
        self._links: list[tuple[_Later, bytes]] = []
        self._first_link: dict[tuple[int, int], bytes] = {}
        self._expected: dict[bytes, set[bytes]] = {}
        self._written: dict[bytes, Node] = {}
        self._enter = True
        self._delete = options.delete

    def restore(self, tree: ID) -> None:
        """Restore all selected entries below a tree; raise PyresticError for fatal errors.

        Files that cannot be restored go to `report.error`.
        """
        dry = self._options.dry_run
        self._writer.open(create=not dry)
        try:
            self._walk(tree)
            if not dry:
                self._write_files()
            for later, first in self._links:
                self._guard(later.location, lambda later=later, first=first: self._link(later, first))  # type: ignore[misc]
            for later in self._others:
                self._guard(later.location, lambda later=later: self._other(later))  # type: ignore[misc]
            for later in self._folders:
                self._guard(later.location, lambda later=later: self._leave(later))  # type: ignore[misc]
            if self._delete:
                self._guard(b"/", lambda: self._remove_unexpected(b"/"))
        finally:
            self._writer.close()

    def verify(self) -> int:
        """Read the written files back and compare them with the snapshot; return the number of correct ones."""
        count = 0
        self._writer.open(create=False)
        try:
            for location, node in self._written.items():
                self._ensure_wanted()
                file = make_plan(self._repository, location, node)
                compare_existing(file, self._writer, trust_times=False)
                if file.whole:
                    count += 1
                else:
                    shown = os.fsdecode(self._writer.path(location))
                    self._failed(location, LocalFileError(f"{shown} does not match the snapshot"))
        finally:
            self._writer.close()
        return count

    # The walk

    def _walk(self, tree: ID) -> None:
        def on_error(location: bytes, error: PyresticError) -> None:
            # The expected content of the folder is unknown, so nothing may be removed as unexpected.
            self._delete = False
            self._failed(location, error)

        visits = walk(
            self._repository,
            tree,
            load=self._load,
            enter=lambda _, __: self._enter,
            on_error=on_error,
            leaving=True,
        )
        for location, node, leaving in visits:
            self._ensure_wanted()
            if leaving:
                if location in self._touched and location not in self._keep:
                    self._folders.append(_Later(location, node))
                    self._existing.forget(location)
                continue
            if self._delete:
                folder, _, name = location.rpartition(b"/")
                self._expected.setdefault(folder or b"/", set()).add(name)
            try:
                self._visit(location, node)
            except PyresticError as error:
                self._failed(location, error)

    def _visit(self, location: bytes, node: Node) -> None:
        self._enter = True
        selected = True
        if self._select is not None:
            selected, self._enter = self._select(location, node.type == DIRECTORY)
        if node.type == DIRECTORY and location.count(b"/") > MOST_FOLDERS:
            # The content of the folder was not examined, so nothing may be removed as unexpected.
            self._enter = self._delete = False
            check_depth(location, "restored")
        if not selected or node.type == SOCKET or self._writer.metadata.leaves_out(node):
            return
        self._touch(location if node.type == DIRECTORY else _parent(location))
        if node.type == DIRECTORY:
            self._progress.total_files += 1
            if not self._options.dry_run:
                self._writer.make_directory(location)
        elif node.type == FILE:
            self._visit_file(location, node)
        elif node.type in _OTHERS:
            self._progress.total_files += 1
            self._others.append(_Later(location, node))
        else:
            raise FormatError(f"{os.fsdecode(location)} has the unknown type {node.type!r}")

    def _touch(self, folder: bytes) -> None:
        """Record that something is restored in a folder: it and its parents get their metadata at the end."""
        if folder in self._touched:
            return
        if not self._options.dry_run and folder != b"/":
            self._writer.make_directory(folder)
        while folder not in self._touched:
            self._touched.add(folder)
            folder = _parent(folder)

    def _visit_file(self, location: bytes, node: Node) -> None:
        if node.links > 1:
            key = (node.inode, node.device_id)
            first = self._first_link.setdefault(key, location)
            if first != location:
                self._progress.total_files += 1
                self._links.append((_Later(location, node), first))
                return
        if not self._existing.may_overwrite(location, node):
            if not self._existing.looks_right(location, node):
                self._progress.files_left += 1
            self._skip(location, node.size)
            return
        status = self._existing.status(location) if self._note is not None else None
        if self._note is not None and status is not None and self._note.knows(location, status):
            self._skip(location, node.size)
            return
        is_new = not self._existing.has(location)
        if is_new and not self._options.dry_run and self._files.add_new(location, node):
            self._write_full_batch()
            return
        file = make_plan(self._repository, location, node)
        if not is_new:
            compare_existing(file, self._writer, trust_times=self._options.overwrite is Overwrite.IF_CHANGED)
        if file.whole:
            self._skip(location, node.size)
            if not self._options.dry_run:
                self._writer.restore_metadata(location, node)
                self._remember(location, node)
            return
        self._progress.total_files += 1
        self._progress.total = (self._progress.total or 0) + file.length
        if self._options.dry_run:
            self._progress.done += file.length
            self._file_done(file)
            return
        lengths = file.lengths()
        self._progress.done += sum(lengths[number] for number in file.present)
        self._files.add(file)
        self._write_full_batch()

    def _write_full_batch(self) -> None:
        if self._files.is_full:
            self._write_files()

    def _write_files(self) -> None:
        """Write the files that were collected."""
        batch = self._files.take()
        progress = self._progress
        progress.total_files += batch.new_count
        progress.total = (progress.total or 0) + batch.new_length
        for written in batch.write():
            self._ensure_wanted()
            progress.done += written.length
            for location, error in written.failed:
                self._failed(location, error)
            for file in written.done:
                self._file_done(file)
            self._new_done(written.new, written.stamps)

    def _leave_be(self, location: bytes) -> None:
        """Count an entry other than a file, or a link to one, as skipped because it must not be overwritten."""
        self._progress.files_left += 1
        self._skip(location, 0)

    def _skip(self, location: bytes, size: int) -> None:
        self._progress.files_skipped += 1
        self._progress.bytes_skipped += size
        self._tell("unchanged", location, size)

    # What comes last

    def _link(self, later: _Later, first: bytes) -> None:
        if not self._existing.may_overwrite(later.location, later.node):
            self._leave_be(later.location)
            return
        if not self._options.dry_run:
            self._writer.link(later.location, first)
            self._writer.restore_metadata(later.location, later.node)
        self._other_done(later.location)

    def _other(self, later: _Later) -> None:
        if not self._existing.may_overwrite(later.location, later.node):
            self._leave_be(later.location)
            return
        if not self._options.dry_run:
            self._writer.create_node(later.location, later.node)
        self._other_done(later.location)

    def _leave(self, later: _Later) -> None:
        if self._delete:
            self._remove_unexpected(later.location)
        if not self._options.dry_run:
            self._writer.restore_metadata(later.location, later.node)
        self._other_done(later.location)

    def _remove_unexpected(self, folder: bytes) -> None:
        expected = self._expected.pop(folder, set())
        for name in self._writer.names(folder):
            location = folder.rstrip(b"/") + b"/" + name
            if name in expected or (self._select is not None and not self._select(location, False)[0]):
                continue
            self._writer.remove(location, self._deleted, dry_run=self._options.dry_run)

    def _deleted(self, location: bytes) -> None:
        self._progress.files_deleted += 1
        self._tell("deleted", self._writer.path(location), None)

    # Reporting

    def _new_done(self, files: list[FileToWrite], stamps: list[Stamp | None]) -> None:
        if self._options.verify:
            self._written.update((file.location, file.node) for file in files)
        known = []
        for (location, node, _, _), stamp in zip(files, stamps, strict=True):
            if stamp is None:
                self._remember(location, node)
            elif node.links <= 1:
                known.append((location, *stamp))
        self._add_to_note(known)
        self._progress.files_restored += len(files)
        if self._on_item is not None:
            for file in files:
                self._tell("restored", file.location, file.node.size)

    def _file_done(self, file: FilePlan) -> None:
        if self._options.verify:
            self._written[file.location] = file.node
        self._remember(file.location, file.node)
        self._progress.files_restored += 1
        self._tell("updated" if file.exists else "restored", file.location, file.node.size)

    def _remember(self, location: bytes, node: Node) -> None:
        """Record a finished file; but not one with several links, which change it again when they are created."""
        if self._note is None or self._options.dry_run or node.links > 1:
            return
        try:
            status = self._writer.status(location)
        except LocalFileError as error:
            self._give_up_note(error)
            return
        if status is not None:
            self._add_to_note([(location, status.st_ino, status.st_ctime_ns)])

    def _add_to_note(self, finished: list[tuple[bytes, int, int]]) -> None:
        note = self._note
        if note is None:
            return
        try:
            note.add(finished)
        except LocalFileError as error:
            self._give_up_note(error)

    def _give_up_note(self, error: LocalFileError) -> None:
        self._note = None
        self._report.note(f"an interrupted restore would have to check finished files again: {error}", 2)

    def _other_done(self, location: bytes) -> None:
        self._progress.files_restored += 1
        self._tell("restored", location, None)

    def _tell(self, action: str, location: bytes, size: int | None) -> None:
        if self._on_item is not None:
            self._on_item(ItemRestored(action, location, size))

    def _failed(self, location: bytes, error: PyresticError) -> None:
        # If the restore has to end, that is the reason of the error.
        self._ensure_wanted()
        self._progress.error_count += 1
        if len(self.errors) < MAX_NAMED:
            self.errors.append(Lost(location, error))
        self._report.error(os.fsdecode(location), error)

    def _guard(self, location: bytes, work: Callable[[], None]) -> None:
        """Do the work for one file; errors of that file are reported, and the restore continues."""
        self._ensure_wanted()
        try:
            work()
        except PyresticError as error:
            self._failed(location, error)


_OTHERS = {"symlink", "dev", "chardev", "fifo"}


def _parent(location: bytes) -> bytes:
    return location.rpartition(b"/")[0] or b"/"
