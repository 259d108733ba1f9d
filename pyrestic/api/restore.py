"""Restores by programs: the content of a snapshot's location to local files."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from pyrestic.api.content import Content, Covered
from pyrestic.backend.wrap.cancel import CancelBackend
from pyrestic.errors import PyresticError, UsageError
from pyrestic.localfs.select import Patterns
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.restore import Restore
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_root import Source
from pyrestic.report import Reporter
from pyrestic.repository.anew import begin_anew


class Restored(NamedTuple):
    """The result of a restore: files (with folders and links) and bytes written, files that were already correct.

    `left` counts existing entries that `overwrite` does not allow to replace.
    """

    files: int
    bytes: int
    unchanged: int
    left: int = 0


def make_options(
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    overwrite: str | None = None,
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
) -> RestoreOptions:
    """Return the options of a restore; raise UsageError if they are invalid."""
    if strip_components < 0:
        raise UsageError("strip_components must not be negative")
    if overwrite is not None and overwrite not in {mode.value for mode in Overwrite}:
        raise UsageError(f"{overwrite!r} is not an overwrite mode")
    return RestoreOptions(
        overwrite=Overwrite.ALWAYS if overwrite is None else Overwrite(overwrite),
        resume=overwrite is None,
        missing=missing,
        delete=delete,
        sparse=sparse,
        verify=verify,
        ignore_free_space=ignore_free_space,
        strip_components=strip_components,
        include=Patterns(include, option="include"),
        exclude=Patterns(exclude),
        ownership_by_name=ownership_by_name,
        include_xattr=tuple(include_xattr),
        exclude_xattr=tuple(exclude_xattr),
        privileged=not no_privileged,
    )


def make_restore(
    content: Content,
    gate: CancelBackend,
    covered: Covered,
    source: Source,
    target: str | os.PathLike[str],
    options: RestoreOptions,
    report: Reporter | None = None,
) -> Restore:
    """Return a restore of an opened repository, which ends with the gate; raise as Restore does."""
    return Restore(
        begin_anew(covered.repository, gate, keep_index=True),
        source,
        os.fspath(target),
        options,
        content.report if report is None else report,
        state_folder=find_state_folder(content.environment),
        ensure_wanted=gate.ensure_wanted,
    )


def run_restore(restore: Restore) -> Restored:
    """Restore; raise PyresticError at the end if something could not be restored."""
    result = restore.run()
    counts, errors = result.counts, result.errors
    if errors:
        raise PyresticError(
            f"{counts.error_count} files could not be restored, the first of them {os.fsdecode(errors[0].location)}:"
            f" {errors[0].error}"
        )
    unchanged = counts.files_skipped - counts.files_left
    return Restored(counts.files_restored, counts.done, unchanged, counts.files_left)
