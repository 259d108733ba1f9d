"""The rows of the table: each step in words, and the ratio of wall time that is asked for."""

from typing import NamedTuple


class Row(NamedTuple):
    """A step, what it is called in the table, and the goal of its wall time as a ratio to restic's."""

    part: str
    step: str
    title: str
    wall_goal: float


CPU_GOAL = 0.8
PEAK_GOAL = 1.0

ROWS = (
    Row("random", "backup", "backup, 1 GiB incompressible", 0.6),
    Row("random", "rescan", "the same again, unchanged", 0.8),
    Row("random", "one-changed", "the same again, one file more", 0.8),
    Row("random", "restore", "restore, 1 GiB incompressible", 0.7),
    Row("random", "check", "check --read-data, 1 GiB incompressible", 0.7),
    Row("text", "backup", "backup, 400 MB of text", 0.75),
    Row("text", "rescan", "the same again, unchanged", 0.8),
    Row("text", "one-changed", "the same again, one file more", 0.8),
    Row("text", "restore", "restore, 400 MB of text", 0.7),
    Row("text", "check", "check --read-data, 400 MB of text", 0.7),
    Row("small", "backup", "backup, 100,000 small files", 0.9),
    Row("small", "rescan", "the same again, unchanged", 0.8),
    Row("small", "one-changed", "the same again, one file changed", 0.8),
    Row("small", "restore", "restore, 100,000 small files", 0.9),
    Row("small", "check", "check --read-data, 100,000 small files", 0.7),
    Row("first", "backup", "first backup in an empty home, 5,001 small files", 1.2),
    Row("histories", "rescan-10", "rescan of 10,000 files beside 10 snapshots", 0.8),
    Row("histories", "rescan-2000", "rescan of 10,000 files beside 2,000 snapshots", 0.8),
    Row("listing", "snapshots", "snapshots, of 50", 0.9),
    Row("listing", "ls", "ls latest, 5,000 files", 0.9),
    Row("listing", "find", "find a name in 50 snapshots", 0.9),
    Row("listing", "diff", "diff of the first and the last", 0.9),
    Row("history", "restore-one", "restore one file of 2,000 snapshots", 0.9),
    Row("prune", "forget-prune", "forget --prune, 20 of 500 snapshots kept", 0.9),
    Row("copy", "copy", "copy to a second repository", 0.9),
    Row("open-1m", "cat-blob", "cat blob, 1,000,000 blobs in the index", 0.5),
    Row("open-5m", "cat-blob", "cat blob, 5,000,000 blobs in the index", 0.5),
    Row("mount", "read", "mount, read 1 GiB from start to end", 0.9),
    Row("mount", "list", "mount, ls -lR of 100,000 files", 0.9),
)
