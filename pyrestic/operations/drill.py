"""A drill: restores files in memory, verifies every blob, and compares the files with the local ones.

Nothing is written. Memory holds a few requests, the selected files' blob lists, and some thousand candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.handle import BlobHandle
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations.drill_choice import Pick
from pyrestic.operations.existing import looks_the_same
from pyrestic.operations.restore_files import FilePlan, compare_existing, make_plan
from pyrestic.report import Progress, Reporter
from pyrestic.repository.loader import missing_blob, plan
from pyrestic.repository.repository import Repository


@dataclass(slots=True)
class DrillResult:
    """The result of a drill. `length` is the size of all contents in bytes; `compared` are files that still exist."""

    files: int = 0
    length: int = 0
    blobs: int = 0
    compared: int = 0
    damaged: list[tuple[bytes, PyresticError]] = field(default_factory=list)
    """Files that cannot be restored intact."""
    differing: list[bytes] = field(default_factory=list)
    """Local files whose content differs although length and modification time match."""

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.damaged or self.differing)


def drill(
    repository: Repository,
    picks: Sequence[Pick],
    report: Reporter,
    *,
    root: bytes = b"/",
) -> DrillResult:
    """Verify the selected files; `root` is the local folder of their locations.

    Raises BackendError if the repository is unreachable, LocalFileError if `root` cannot be opened.
    """
    result = DrillResult()
    files = _plan(repository, picks, result)
    whole = _verify(repository, files, result, report)
    writer = TargetWriter(root)
    writer.open(create=False)
    try:
        for file in whole:
            _compare(file, writer, result)
    finally:
        writer.close()
    return result


def _plan(repository: Repository, picks: Sequence[Pick], result: DrillResult) -> list[FilePlan]:
    files = []
    for pick in picks:
        try:
            files.append(make_plan(repository, pick.location, pick.node))
        except PyresticError as error:
            result.damaged.append((pick.location, error))
    return files


def _verify(repository: Repository, files: list[FilePlan], result: DrillResult, report: Reporter) -> list[FilePlan]:
    """Load all blobs, which verifies them; return the intact files."""
    failed: dict[BlobHandle, PyresticError] = {}
    progress = Progress("blobs", "blobs", len({handle for file in files for handle in file.blobs}))

    ranges, missing = plan(repository.index, (handle for file in files for handle in file.blobs))
    failed.update((handle, missing_blob(handle)) for handle in missing)
    with report.show(progress):
        # The plaintexts themselves are not needed.
        for count, unreadable in repository.loader.load_many(ranges, lambda batch: (len(batch.blobs), batch.failed)):
            progress.done += count
            failed.update(unreadable)
    whole = []
    for file in files:
        error = next((failed[handle] for handle in file.blobs if handle in failed), None)
        if error is not None:
            result.damaged.append((file.location, error))
            continue
        result.files += 1
        result.length += file.length
        whole.append(file)
    result.blobs = len({handle for file in whole for handle in file.blobs})
    return whole


def _compare(file: FilePlan, writer: TargetWriter, result: DrillResult) -> None:
    """Compare a file with the local one, unless that was modified since the backup."""
    try:
        before = writer.status(file.location)
        if before is None or not looks_the_same(before, file.node, file.length):
            return
        compare_existing(file, writer, trust_times=False)
        after = writer.status(file.location)
    except LocalFileError:
        return
    untouched = after is not None and after.st_ctime_ns == before.st_ctime_ns
    if not (file.exists and untouched):
        # It may be unreadable, or another program is changing it.
        return
    result.compared += 1
    if not file.whole:
        result.differing.append(file.location)
