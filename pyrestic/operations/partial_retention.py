"""Which partial snapshots a policy keeps: none counts for a rule, and each lasts until something better exists.

A partial snapshot goes as soon as there is a newer complete one of its host and paths. Without one the newest stays,
and of the older ones those that a newer one does not hold: it was neither made from them nor in the same run.
"""

from collections import defaultdict
from collections.abc import Iterable

from pyrestic.format.snapshot import PARTIAL_TAG
from pyrestic.ids import ID
from pyrestic.repository.snapshots import StoredSnapshot


def find_lasting(found: Iterable[StoredSnapshot]) -> set[ID]:
    """Return the partial snapshots that nothing replaces."""
    groups: defaultdict[tuple[str, frozenset[str]], list[StoredSnapshot]] = defaultdict(list)
    for stored in found:
        groups[stored.snapshot.hostname, frozenset(stored.snapshot.paths)].append(stored)
    return {identifier for group in groups.values() for identifier in _find_lasting(group)}


def is_kept_by_tag(stored: StoredSnapshot, tags: tuple[tuple[str, ...], ...]) -> bool:
    """Tell whether a list of tags to keep means partial snapshots, because it names their tag."""
    return any(PARTIAL_TAG in wanted and set(wanted) <= set(stored.snapshot.tags) for wanted in tags)


def _find_lasting(group: list[StoredSnapshot]) -> list[ID]:
    def age(stored: StoredSnapshot) -> tuple[int, bool, ID]:
        return stored.snapshot.time_ns, not stored.snapshot.is_partial, stored.id

    lasting: list[ID] = []
    newer: StoredSnapshot | None = None
    for stored in sorted(group, key=age, reverse=True):
        if not stored.snapshot.is_partial:
            break
        if newer is None or not _holds(newer, stored):
            lasting.append(stored.id)
        newer = stored
    return lasting


def _holds(newer: StoredSnapshot, older: StoredSnapshot) -> bool:
    """Tell whether a partial snapshot has all that an older one has."""
    one, other = newer.snapshot, older.snapshot
    if one.parent is not None and one.parent in (older.id.hex(), other.original):
        return True
    return one.parent == other.parent and _find_start(newer) == _find_start(older)


def _find_start(stored: StoredSnapshot) -> str:
    """Return what is the same for all partial snapshots of one run: when it started."""
    return stored.snapshot.summary.backup_start if stored.snapshot.summary is not None else stored.snapshot.time
