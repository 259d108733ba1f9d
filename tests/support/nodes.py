"""Nodes of files that are there, for tests."""

import os
from pathlib import Path

from pyrestic.format.node import Node
from pyrestic.localfs.metadata import Report, node_from_stat


def node_of(
    path: Path | bytes,
    *,
    status: os.stat_result | None = None,
    with_atime: bool = False,
    report: Report | None = None,
    ignore_denied_attributes: bool = False,
) -> Node:
    """Return the node that a backup makes of a file; `status` is what stat said before, links not followed."""
    folder, name = os.path.split(os.fsencode(path))
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        return node_from_stat(
            os.fsencode(path),
            name,
            os.lstat(path) if status is None else status,
            folder=descriptor,
            with_atime=with_atime,
            report=report,
            ignore_denied_attributes=ignore_denied_attributes,
        )
    finally:
        os.close(descriptor)
