"""What a backup may store, before it begins: the lengths of the files that are new or changed since its parent."""

import os
from typing import Final

from pyrestic.localfs import scan
from pyrestic.localfs.scan import Totals
from pyrestic.operations.backup_options import BackupRequest
from pyrestic.repository.parent import Parent

_MS: Final = 1_000_000
"""The clock of a file system may be a little behind."""


def forecast_bytes(request: BackupRequest, parent: Parent) -> int:
    """Return the bytes of the files that changed since the last complete snapshot, without those of a partial one.

    It may be more than will be stored: files are compressed, and parts of them may be known already.
    """
    newest = parent.found
    complete = None if newest is None else parent.complete or (None if newest.snapshot.is_partial else newest)
    since_ns = 0 if complete is None else complete.snapshot.time_ns - _MS
    measured = [Totals(0, 0, 0)]

    def is_new(status: os.stat_result) -> bool:
        return max(status.st_mtime_ns, status.st_ctime_ns) >= since_ns

    selector = request.selector
    tree = request.sources or scan.resolve(request.targets)
    scan.measure(tree, selector.by_path, selector.by_status, measured.append, lambda: False, counts=is_new)
    stored = 0
    if newest is not None and newest is not complete and newest.snapshot.summary is not None:
        summary = newest.snapshot.summary
        stored = summary.total_bytes_processed if complete is None else summary.data_added
    return max(0, measured[-1].length - stored)
