"""Restores that programs ask for: what is at a location of a snapshot, back to this machine."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from pyrestic.api.content import Content
from pyrestic.api.entry import Entry
from pyrestic.api.reporting import FailureReporter
from pyrestic.errors import LocalFileError, PyresticError, UsageError
from pyrestic.ids import ID
from pyrestic.localfs.restore_metadata import MetadataRestorer, MetadataRules
from pyrestic.localfs.select import Patterns, restore_selector
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.preflight import RestorePlan, make_restore_plan
from pyrestic.operations.restore import RestoreOptions, RestoreProgress, Restorer
from pyrestic.operations.restore_root import RestoreRoot, place_file
from pyrestic.report import Reporter
from pyrestic.repository.tree_walk import KeptTrees


class Restored(NamedTuple):
    """What a restore did: files (with folders and links) and bytes that were written, files that were right already.

    `left` counts what was there and was left as it is, since `overwrite` does not allow to replace it.
    """

    files: int
    bytes: int
    unchanged: int
    left: int = 0


class RestoreRun:
    """One restore; `tree` is that of a folder, None for anything else. Raises UsageError for what makes no sense."""

    def __init__(
        self,
        content: Content,
        entry: Entry,
        tree: ID | None,
        target: str | os.PathLike[str],
        *,
        include: Sequence[str],
        exclude: Sequence[str],
        overwrite: str,
        delete: bool,
        privileged: bool,
        report: Reporter | None,
    ) -> None:
        if overwrite not in {mode.value for mode in Overwrite}:
            raise UsageError(f"{overwrite!r} is not an overwrite mode")
        self._content = content
        self._overwrite = Overwrite(overwrite)
        self._delete = delete
        self._target = os.fspath(target)
        self._failures = FailureReporter(report or content.report)
        select = restore_selector(Patterns(include, option="include"), Patterns(exclude))
        if delete and os.path.normpath(self._target) == "/" and select is None:
            raise UsageError("refusing to delete everything else under /; pass include or exclude")
        load = KeptTrees(content.repository).load
        if tree is not None:
            self._root, folder = RestoreRoot(tree, load, select), self._target
        elif delete:
            raise UsageError(f"{entry.path} is not a folder, so nothing can be deleted in it")
        else:
            self._root, folder = place_file(entry._node, self._target, load, select)
        metadata = MetadataRestorer(MetadataRules(privileged=privileged), warn=self._failures.note)
        self._writer = TargetWriter(
            os.fsencode(folder), metadata, replace_folders=delete, engines=content.repository.engines
        )

    def plan(self) -> RestorePlan:
        """Return what it is going to do, without doing it; raise PyresticError."""
        root = self._root
        repository = self._content.repository
        return make_restore_plan(
            repository, root.tree, self._writer, self._overwrite, select=root.select, load=root.load
        )

    def run(self, *, sparse: bool, verify: bool) -> Restored:
        """Restore; raise LocalFileError before anything is written if there is no room, PyresticError in the end if
        something could not be restored.
        """
        if not sparse:
            plan = self.plan()
            for space in plan.spaces:
                if not space.fits:
                    raise LocalFileError(
                        f"{os.fsdecode(space.path)} has {space.free_bytes} bytes of room, and {space.needed_bytes} are"
                        " needed: nothing was restored"
                    )
        progress = RestoreProgress("restore", "B", total=0)
        restorer = Restorer(
            self._content.repository,
            self._writer,
            RestoreOptions(self._overwrite, delete=self._delete, sparse=sparse, verify=verify),
            self._failures,
            progress,
            select=self._root.select,
            load=self._root.load,
        )
        with self._failures.show(progress):
            restorer.restore(self._root.tree)
            if verify:
                restorer.verify()
        failures = self._failures.failures
        if failures:
            raise PyresticError(
                f"{len(failures)} files could not be restored, the first of them {failures[0].item}:"
                f" {failures[0].error}"
            )
        unchanged = progress.files_skipped - progress.files_left
        return Restored(progress.files_restored, progress.done, unchanged, progress.files_left)
