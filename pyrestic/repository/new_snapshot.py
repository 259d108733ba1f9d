"""Save a new snapshot after parsing it: an unreadable snapshot would block `forget` and `prune`."""

from pyrestic.errors import FormatError, UsageError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.repository.repository import Repository


def save_snapshot(repository: Repository, snapshot: Snapshot) -> ID:
    """Save a snapshot and return its ID; raise UsageError if it could not be parsed, BackendError."""
    document = snapshot_format.encode(snapshot)
    try:
        snapshot_format.parse(document)
    except FormatError as error:
        raise UsageError(f"the new snapshot is not stored: {error}") from error
    return repository.save_unpacked(FileType.SNAPSHOT, document)
