"""Tag: changes the tags of snapshots. Each changed snapshot is stored again, then the old one is removed."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from pyrestic.errors import BackendError, CancelledError, DamageError
from pyrestic.format.snapshot import PARTIAL_TAG, Snapshot
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.report import Reporter
from pyrestic.repository.new_snapshot import save_snapshot
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot


@dataclass(frozen=True, slots=True)
class TagChange:
    """The changes of tags: `replacement` replaces all, if not empty; or some are added or removed.

    Only `removed` removes the tag of partial snapshots: without it, they would displace complete ones in `forget`.
    """

    replacement: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def apply(self, tags: list[str]) -> list[str] | None:
        """Return the new tags, None if nothing changes."""
        if self.replacement:
            partial = [PARTIAL_TAG] if PARTIAL_TAG in tags and PARTIAL_TAG not in self.replacement else []
            return [*self.replacement, *partial]
        changed = list(tags)
        for tag in self.added:
            if tag not in changed:
                changed.append(tag)
        for tag in self.removed:
            if tag in changed:
                # The last tag replaces the removed one, as in restic.
                changed[changed.index(tag)] = changed[-1]
                changed.pop()
        touched = any(tag not in tags for tag in self.added) or len(changed) < len(tags)
        return changed if touched else None


class Renewed(NamedTuple):
    """A snapshot to be retagged: its ID before and after, None on failure."""

    old: ID
    new: ID | None


def change_tags(
    repository: Repository,
    found: Iterable[StoredSnapshot],
    change: TagChange,
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> Iterator[Renewed]:
    """Change the tags of snapshots, as many at a time as the backend likes; what fails is reported and yielded."""

    def renew(stored: StoredSnapshot) -> Renewed | None:
        tags = change.apply(stored.snapshot.tags)
        if tags is None:
            return None
        try:
            return _replace(repository, stored, _with_tags(stored, tags), ensure_locked)
        except CancelledError:
            raise
        except (BackendError, DamageError) as error:
            identifier = stored.id.hex()
            report.note(f'unable to modify the tags for snapshot ID "{identifier}", ignoring: {error}', 0)
            return Renewed(stored.id, None)

    pool = ThreadPoolExecutor(repository.backend.connections, "tag")
    try:
        yield from (renewed for renewed in pool.map(renew, list(found)) if renewed is not None)
    finally:
        # After an interrupt, no further calls start.
        pool.shutdown(cancel_futures=True)


def _with_tags(stored: StoredSnapshot, tags: list[str]) -> Snapshot:
    original = stored.snapshot.original or stored.id.hex()
    return msgspec.structs.replace(stored.snapshot, tags=tags, original=original)


def _replace(
    repository: Repository, stored: StoredSnapshot, snapshot: Snapshot, ensure_locked: Callable[[], None]
) -> Renewed:
    ensure_locked()
    new = save_snapshot(repository, snapshot)
    ensure_locked()
    repository.remove(FileType.SNAPSHOT, stored.id)
    return Renewed(stored.id, new)
