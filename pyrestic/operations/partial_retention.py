"""Which partial snapshots a policy keeps: none counts for a rule, and each lasts until something better exists.

A partial snapshot goes as soon as there is a newer complete one of its host and paths. Without one, the last of each
run stays. One that a later run continued may have files that have moved since; that run removes it if it has none.
"""

from collections import defaultdict
from collections.abc import Iterable

from pyrestic.format.snapshot import PARTIAL_TAG
from pyrestic.ids import ID
from pyrestic.repository.snapshots import StoredSnapshot


def find_lasting(found: Iterable[StoredSnapshot], *, now_ns: int, by_tags: bool = False) -> set[ID]:
    """Return the partial snapshots that nothing replaces; `by_tags` means that other tags are other backups."""
    groups: defaultdict[tuple[str, frozenset[str], frozenset[str]], list[StoredSnapshot]] = defaultdict(list)
    for stored in found:
        snapshot = stored.snapshot
        tags = frozenset(snapshot.tags) - {PARTIAL_TAG} if by_tags else frozenset[str]()
        groups[snapshot.hostname, frozenset(snapshot.paths), tags].append(stored)
    return {identifier for group in groups.values() for identifier in _find_lasting(group, now_ns)}


def is_kept_by_tag(stored: StoredSnapshot, tags: tuple[tuple[str, ...], ...]) -> bool:
    """Tell whether a list of tags to keep means partial snapshots, because it names their tag."""
    return any(PARTIAL_TAG in wanted and set(wanted) <= set(stored.snapshot.tags) for wanted in tags)


def _find_lasting(group: list[StoredSnapshot], now_ns: int) -> list[ID]:
    def age(stored: StoredSnapshot) -> tuple[int, bool, ID]:
        return stored.snapshot.time_ns, not stored.snapshot.is_partial, stored.id

    lasting: list[ID] = []
    complete: list[StoredSnapshot] = []
    newer: StoredSnapshot | None = None
    for stored in sorted(group, key=age, reverse=True):
        if stored.snapshot.is_partial:
            replaced = newer is not None and _is_same_run(newer, stored)
            if not replaced and all(_is_parent(one, stored) for one in complete):
                lasting.append(stored.id)
            newer = stored
        elif stored.snapshot.time_ns <= now_ns:
            # One from the future was made while the clock was wrong, and may be older.
            complete.append(stored)
    return lasting


def _is_parent(one: StoredSnapshot, other: StoredSnapshot) -> bool:
    """Tell whether one is the parent of the other; so it is older, whatever the clock said."""
    return other.snapshot.parent is not None and other.snapshot.parent in (one.id.hex(), one.snapshot.original)


def _is_same_run(newer: StoredSnapshot, older: StoredSnapshot) -> bool:
    """Tell whether one run made two partial snapshots: then the newer one has all that the older one has."""
    return newer.snapshot.parent == older.snapshot.parent and _find_start(newer) == _find_start(older)


def _find_start(stored: StoredSnapshot) -> str:
    """Return what is the same for all partial snapshots of one run: when it started."""
    return stored.snapshot.summary.backup_start if stored.snapshot.summary is not None else stored.snapshot.time
