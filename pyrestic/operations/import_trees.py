"""Import: a snapshot for each date of backups that other programs keep as folders.

Dates that the repository has are skipped, so that an import can be repeated. Each snapshot is compared with that of the
date before: a hard link to the same file is not read again.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from pyrestic.localfs.dated_trees import DatedFolder, DatedTree
from pyrestic.localfs.identity import current_identity
from pyrestic.operations.archive_snapshot import BackupResult
from pyrestic.operations.backup import Backup
from pyrestic.operations.backup_options import ArchiveOptions, BackupOptions, BackupRequest
from pyrestic.report import Reporter
from pyrestic.repository.locks import Lock
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_all_snapshots

_SECOND = 10**9


class PlannedImport(NamedTuple):
    """A date, and the host of its snapshot; `existing` is the ID of that snapshot in hex, "" if it is missing."""

    host: str
    date: DatedFolder
    existing: str = ""

    @property
    def paths(self) -> list[str]:
        """The paths of the snapshot."""
        return [os.fsdecode(path) for path in self.date.paths]


class ImportedDate(NamedTuple):
    """A date, and its new snapshot; None if it existed."""

    planned: PlannedImport
    result: BackupResult | None


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """How snapshots are made; `environment` and `cache_folder` are as in BackupRequest."""

    environment: Mapping[str, str]
    cache_folder: str
    tags: tuple[str, ...] = ()
    read_concurrency: int = 2
    program_version: str = ""


def plan_import(
    repository: Repository, trees: Iterable[DatedTree], host: str, report: Reporter
) -> list[list[PlannedImport]]:
    """Return the snapshots of each tree, the oldest first; `host` replaces the name of this machine.

    Raises DamageError or BackendError if a snapshot cannot be read: it may be one of them.
    """
    host = host or current_identity().hostname
    stored = load_all_snapshots(repository, report, what="which dates were imported before")
    known = {_key(snapshot.hostname, snapshot.paths, snapshot.time_ns): found.hex() for found, snapshot in stored}

    def plan(tree: DatedTree, date: DatedFolder) -> PlannedImport:
        planned = PlannedImport(tree.host or host, date)
        return planned._replace(existing=known.get(_key(planned.host, planned.paths, date.time_ns), ""))

    return [[plan(tree, date) for date in tree.dates] for tree in trees]


def run_import(
    repository: Repository,
    plan: Sequence[PlannedImport],
    settings: ImportSettings,
    report: Reporter,
    *,
    lock: Lock | None,
    start: Callable[[PlannedImport], None] = lambda _: None,
) -> Iterator[ImportedDate]:
    """Import the dates of one tree, and yield each when its snapshot is stored; the index must be loaded.

    `start` is called before a date is read. Files that cannot be read go to `report.error`; raises PyresticError as
    Backup does.
    """
    options = BackupOptions(
        tags=settings.tags,
        program_version=settings.program_version,
        # Each new hard link to a file changes its ctime, and nothing else.
        archive=ArchiveOptions(ignore_ctime=True, read_concurrency=settings.read_concurrency),
    )
    parent = ""
    for planned in plan:
        if planned.existing:
            parent = planned.existing
            yield ImportedDate(planned, None)
            continue
        start(planned)
        request = BackupRequest(
            planned.date.paths,
            msgspec.structs.replace(
                options, hostname=planned.host, time_ns=planned.date.time_ns, parent=parent, force=not parent
            ),
            environment=settings.environment,
            cache_folder=settings.cache_folder,
            warn=lambda text: report.note(text, 0),
            sources=planned.date.find_sources(),
        )
        result = Backup(repository, request, report, lock=lock).run()
        if result.id is not None:
            parent = result.id.hex()
        yield ImportedDate(planned, result)


def _key(host: str, paths: Iterable[str], time_ns: int) -> tuple[str, frozenset[str], int]:
    return host, frozenset(paths), time_ns // _SECOND
