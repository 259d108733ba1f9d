"""Restore: the content of a snapshot to local files.

The complete operation for every entry point: the plan, the check for free space, the journal of an interrupted restore,
the files themselves (see restore_tree), and their verification.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pyrestic.backend.private_folder import distrust
from pyrestic.errors import LocalFileError, UsageError
from pyrestic.localfs.restore_journal import RestoreNote
from pyrestic.localfs.restore_metadata import MetadataRestorer
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.cost import Prices
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.missing import MissingOnly, tell_problems
from pyrestic.operations.preflight import Lost, RestorePlan, make_restore_plan
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_progress import ItemRestored, RestoreProgress
from pyrestic.operations.restore_root import Source, make_root
from pyrestic.operations.restore_tree import TreeRestorer
from pyrestic.report import Reporter
from pyrestic.repository.cold_packs import warm_up_packs
from pyrestic.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The plan, the result and the errors of a restore; files include folders and links."""

    plan: RestorePlan
    counts: RestoreProgress
    errors: tuple[Lost, ...]
    """Entries that could not be restored, MAX_NAMED at most; `counts.error_count` counts all."""
    verified: int | None
    """Files that were read back and are correct; None if verification was not requested or an error came before."""


class Restore:
    """One restore; used once.

    `state_folder` is where the journal is kept, "" for nowhere. `warn` takes what cannot be restored of a file's
    metadata, else it is a note. `ensure_wanted` is called often, and raises PyresticError to end the restore.
    `open_root` opens the target instead of its path, and is told whether to make it.

    Raises UsageError for invalid options, and PyresticError if a folder of the snapshot that decides on what is
    restored cannot be read.
    """

    def __init__(
        self,
        repository: Repository,
        source: Source,
        target: str,
        options: RestoreOptions,
        report: Reporter,
        *,
        progress: RestoreProgress | None = None,
        on_item: Callable[[ItemRestored], None] | None = None,
        warn: Callable[[str], None] | None = None,
        state_folder: str = "",
        open_root: Callable[[bool], int] | None = None,
        ensure_wanted: Callable[[], None] = lambda: None,
    ) -> None:
        select = options.selector()
        if options.delete and os.path.normpath(target) == "/" and select is None:
            raise UsageError("refusing to delete everything else under /; pass include or exclude")
        if options.missing and (options.delete or options.overwrite is not Overwrite.ALWAYS):
            raise UsageError("missing cannot be combined with delete and overwrite")
        self._repository = repository
        self._target = target
        self._options = options
        self._report = report
        self._progress = progress or RestoreProgress("restore", "B", total=0)
        self._on_item = on_item
        self._state_folder = state_folder
        self._ensure_wanted = ensure_wanted
        self.root, self._folder = make_root(repository, source, target, options, select)
        self._missing: MissingOnly | None = None
        if options.missing:
            self._missing = MissingOnly(self._folder, self.root.select, open_root)
            self.root = self.root._replace(select=self._missing.select)
        self._metadata = MetadataRestorer(options.metadata_rules(), warn or report.note)
        self._writer = self._make_writer(open_root)

    def _make_writer(self, open_root: Callable[[bool], int] | None) -> TargetWriter:
        return TargetWriter(
            os.fsencode(self._folder),
            self._metadata,
            replace_folders=self._options.delete,
            engines=self._repository.engines,
            open_root=open_root,
        )

    def plan(self, prices: Prices | None = None) -> RestorePlan:
        """Return the plan; nothing is written. Raises as make_restore_plan does."""
        root = self.root
        with self._looking_at_target():
            return make_restore_plan(
                self._repository,
                root.tree,
                self._writer,
                self._options.overwrite,
                select=root.select,
                prices=prices,
                load=root.load,
            )

    def run(self, plan: RestorePlan | None = None) -> RestoreResult:
        """Restore; `plan` is an earlier plan. The result lists entries that could not be restored.

        Raises LocalFileError before anything is written if there is too little free space, and PyresticError for fatal
        errors. A dry run raises LocalFileError for that at the end, and DamageError if required data is missing.
        """
        options, progress = self._options, self._progress
        if plan is None:
            plan = self.plan()
        else:
            plan.measure_space()
        # What could not be read then counts as lost in the plan.
        self._ensure_wanted()
        if not options.dry_run:
            self._check_space(plan)
        if self._missing is not None and not plan.has_work:
            return RestoreResult(plan, progress, (), None)
        if not options.dry_run:
            warm_up_packs(self._repository, plan.pack_ids, self._report)
        if self._missing is None or options.dry_run:
            with self._looking_at_target():
                return self._restore(plan, self._writer)
        staging = self._missing.make_staging()
        try:
            writer = self._make_writer(staging.open)
            with self._looking_at_target():
                result = self._restore(plan, writer)
                self._move_missing(self._missing, writer, result.errors)
        finally:
            staging.close()
        return result

    def _restore(self, plan: RestorePlan, writer: TargetWriter) -> RestoreResult:
        options, progress = self._options, self._progress
        with self._journal() as journal:
            restorer = TreeRestorer(
                self._repository,
                writer,
                options,
                self._report,
                progress,
                select=self.root.select,
                on_item=self._on_item,
                load=self.root.load,
                note=journal,
                ensure_wanted=self._ensure_wanted,
                keep=() if self._missing is None else self._missing.folders,
            )
            with self._report.show(progress):
                restorer.restore(self.root.tree)
        verified = None
        if options.dry_run and not progress.error_count:
            plan.check_whole()
            self._check_space(plan)
        elif options.verify and not progress.error_count:
            verified = self._verify(restorer)
        return RestoreResult(plan, progress, tuple(restorer.errors), verified)

    @contextlib.contextmanager
    def _looking_at_target(self) -> Iterator[None]:
        """Keep the target open meanwhile, if only what it lacks is restored."""
        if self._missing is None:
            yield
            return
        self._missing.open()
        try:
            yield
        finally:
            self._missing.close()

    def _move_missing(self, missing: MissingOnly, staging: TargetWriter, errors: Sequence[Lost]) -> None:
        """Move restored entries from the staging folder to their places; raise LocalFileError."""
        if self._progress.error_count > len(errors):
            self._report.note("nothing was restored: with so many errors it is not known which files are complete", 0)
            return
        _, problems = missing.move_from(staging, [lost.location for lost in errors])
        if problems:
            raise tell_problems(problems)

    def _check_space(self, plan: RestorePlan) -> None:
        # The number of holes is unknown.
        if not (self._options.sparse or self._options.ignore_free_space):
            plan.check_space()

    def _verify(self, restorer: TreeRestorer) -> int:
        self._report.note(f"verifying files in {self._target}")
        started = time.monotonic()
        count = restorer.verify()
        seconds = time.monotonic() - started
        self._report.note(f"finished verifying {count} files in {self._target} (took {seconds:.3f}s)")
        return count

    @contextlib.contextmanager
    def _journal(self) -> Iterator[RestoreNote | None]:
        """Open the journal, and remove it after a success."""
        options, state = self._options, self._state_folder
        # Only what is missing goes to a folder that no other run uses.
        if not options.resume or not state or options.missing or distrust(state) is not None:
            yield None
            return
        what = (self._repository.config.id, self.root.tree.hex(), os.path.abspath(self._folder), str(os.geteuid()))
        # Metadata options must match, too: finished files are not modified again.
        metadata = (options.ownership_by_name, options.privileged, options.include_xattr, options.exclude_xattr)
        journal = RestoreNote(state, (*what, *map(str, metadata)))
        done = False
        try:
            yield journal
            done = self._progress.error_count == 0
        finally:
            if not options.dry_run:
                try:
                    journal.close(done=done)
                except LocalFileError as error:
                    self._report.note(f"could not keep the restore journal: {error}", 2)
