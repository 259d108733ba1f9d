"""Finds snapshots by name, and by host, tags, paths and time.

An unreadable snapshot may be the one that a name or a filter selects. So operations that choose one snapshot, or decide
what to remove, fail with an error that names the file; operations that list many report it. Only with explicit consent
(`SnapshotFilter.skip_damaged`) is such a snapshot skipped.
"""

import os
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from pyrestic.errors import BackendError, DamageError, FormatError, NotFoundError, PyresticError, UsageError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import FileType
from pyrestic.ids import ID, parse_id, short
from pyrestic.nearest import suggest
from pyrestic.report import Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.filter_hint import suggest_filter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshot_name import SnapshotName, parse_name
from pyrestic.repository.timespec import show_moment

DAMAGED_SNAPSHOT_HINT: Final = (
    "`recover` makes a new snapshot of what no readable snapshot refers to; then `repair snapshots --forget ID` removes"
    " the damaged file."
)
NO_MATCH: Final = "no snapshot matches the filter. {}"
_SHORT_DIGITS = 8
_SHOWN = 5


class StoredSnapshot(NamedTuple):
    """A snapshot and the ID of its file."""

    id: ID
    snapshot: Snapshot


class SnapshotFilter(msgspec.Struct, frozen=True):
    """Selects snapshots. Each list in `tags` requires all of its tags, and one list must match.

    An empty tag matches a snapshot without tags. All `paths` must be in the snapshot. Times are in nanoseconds since
    1970 and inclusive; `not_after_ns` only applies to the latest. With `skip_damaged`, unreadable snapshots are
    skipped, with a note.
    """

    hosts: tuple[str, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()
    not_after_ns: int | None = None
    after_ns: int | None = None
    before_ns: int | None = None
    skip_damaged: bool = False

    @property
    def empty(self) -> bool:
        """Whether the filter is empty."""
        return not (self.hosts or self.tags or self.paths) and self.after_ns is None and self.before_ns is None

    def matches(self, snapshot: Snapshot) -> bool:
        """Tell whether the snapshot matches."""
        return (
            (not self.hosts or snapshot.hostname in self.hosts)
            and (not self.tags or any(has_tags(snapshot.tags, wanted) for wanted in self.tags))
            and set(self.paths) <= set(snapshot.paths)
            and (self.after_ns is None or snapshot.time_ns >= self.after_ns)
            and (self.before_ns is None or snapshot.time_ns <= self.before_ns)
        )

    def absolute(self) -> "SnapshotFilter":
        """Return the filter with its paths made absolute, as `latest` needs them."""
        paths = tuple(os.path.abspath(path) for path in self.paths)
        return msgspec.structs.replace(self, paths=paths)


def has_tags(tags: list[str], wanted: tuple[str, ...]) -> bool:
    """Tell whether all wanted tags are present; an empty one requires that there are none."""
    for tag in wanted:
        if tag == "" and not tags:
            return True
        if tag not in tags:
            return False
    return True


def load_snapshot(repository: Repository, identifier: ID) -> Snapshot:
    """Return a snapshot; raise NotFoundError, DamageError or BackendError."""
    data = repository.load_unpacked(FileType.SNAPSHOT, identifier)
    try:
        return snapshot_format.parse(data)
    except FormatError as error:
        raise FormatError(f"snapshot {short(identifier)} is damaged: {error}") from error


class Unreadable(NamedTuple):
    """A snapshot whose file exists but cannot be read, and the reason."""

    id: ID
    error: PyresticError


class SnapshotList(msgspec.Struct, frozen=True):
    """All snapshots in any order, and the unreadable ones."""

    found: list[StoredSnapshot]
    unreadable: list[Unreadable]


def read_snapshots(repository: Repository) -> SnapshotList:
    """Return all snapshots and the unreadable ones; raise BackendError if they cannot be listed."""
    identifiers = list(repository.list_ids(FileType.SNAPSHOT))

    def load(identifier: ID) -> StoredSnapshot | Unreadable:
        try:
            return StoredSnapshot(identifier, load_snapshot(repository, identifier))
        except PyresticError as error:
            return Unreadable(identifier, error)

    found: list[StoredSnapshot] = []
    unreadable: list[Unreadable] = []
    for one in map_files(load, identifiers, repository.backend.connections):
        if isinstance(one, StoredSnapshot):
            found.append(one)
        else:
            unreadable.append(one)
    if any(isinstance(one.error, NotFoundError) for one in unreadable):
        # Another program may have removed some since the listing.
        present = set(repository.list_ids(FileType.SNAPSHOT))
        unreadable = [one for one in unreadable if one.id in present]
    snapshots = SnapshotList(found, unreadable)
    for watch in repository.snapshot_watches:
        watch(snapshots)
    return snapshots


def load_snapshots(repository: Repository, report: Reporter) -> list[StoredSnapshot]:
    """Return the readable snapshots, in any order; the others go to report.error."""
    snapshots = read_snapshots(repository)
    for identifier, error in snapshots.unreadable:
        report.error(f"snapshot {short(identifier)}", error)
    return snapshots.found


def load_all_snapshots(
    repository: Repository, report: Reporter, *, what: str, skip_damaged: bool = False
) -> list[StoredSnapshot]:
    """Return all snapshots in any order; raise DamageError or BackendError if one cannot be read.

    `what` completes "so it is not known". With `skip_damaged`, unreadable ones are skipped, with a note.
    """
    snapshots = read_snapshots(repository)
    if not snapshots.unreadable:
        return snapshots.found
    if not skip_damaged:
        raise _incomplete(snapshots.unreadable, what)
    for identifier, error in snapshots.unreadable:
        report.note(f"snapshot {short(identifier)} is left out: {error}", 0)
    return snapshots.found


def _incomplete(unreadable: list[Unreadable], what: str) -> PyresticError:
    identifier, error = unreadable[0]
    more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
    message = f"snapshot {short(identifier)}{more} cannot be read, so it is not known {what}: {error}"
    if isinstance(error, BackendError):
        return BackendError(message, hint=error.hint or "Try again when the repository can be read.")
    hint = "A snapshot named by its ID can be used all the same; commands that only read take --skip-damaged."
    return DamageError(message, hint=f"{hint}\n{DAMAGED_SNAPSHOT_HINT}")


def find_latest(repository: Repository, wanted: SnapshotFilter, report: Reporter) -> StoredSnapshot | None:
    """Return the newest snapshot that matches, or None; raise DamageError or BackendError if one cannot be read."""
    return next(iter(_newest_first(repository, wanted, report, "which snapshot is the latest")), None)


def newest_first(snapshots: list[StoredSnapshot], wanted: SnapshotFilter) -> list[StoredSnapshot]:
    """Return the matching snapshots, newest first."""
    wanted = wanted.absolute()
    limit = wanted.not_after_ns
    matching = [
        found
        for found in snapshots
        if wanted.matches(found.snapshot) and (limit is None or found.snapshot.time_ns <= limit)
    ]
    return sorted(matching, key=lambda found: -found.snapshot.time_ns)


def oldest_first(found: Iterable[StoredSnapshot]) -> list[StoredSnapshot]:
    """Return the snapshots in the order of their times."""
    return sorted(found, key=lambda stored: (stored.snapshot.time_ns, stored.id))


def _newest_first(repository: Repository, wanted: SnapshotFilter, report: Reporter, what: str) -> list[StoredSnapshot]:
    return newest_first(load_all_snapshots(repository, report, what=what, skip_damaged=wanted.skip_damaged), wanted)


def find_id(repository: Repository, file_type: FileType, prefix: str) -> ID:
    """Return the ID of the file with a hex prefix; raise UsageError if none or several match."""
    if len(prefix) == 64:
        try:
            return parse_id(prefix)
        except FormatError:
            pass
    known = [identifier.hex() for identifier in repository.list_ids(file_type)]
    matches = [parse_id(name) for name in known if name.startswith(prefix)]
    if len(matches) < (1 if prefix else 2):  # An empty prefix never means the only file.
        # As many digits of each as were given, so that a typo is visible.
        length = min(max(len(prefix), _SHORT_DIGITS), 64)
        hint = suggest(prefix, (name[:length] for name in known), "IDs")
        raise UsageError(f'no matching ID found for prefix "{prefix}"', hint=hint)
    if len(matches) > 1:
        digits = max(len(prefix) + 4, _SHORT_DIGITS)
        shown = ", ".join(match.hex()[:digits] for match in sorted(matches)[:_SHOWN])
        more = ", …" if len(matches) > _SHOWN else ""
        raise UsageError(f'multiple IDs with prefix "{prefix}" found', hint=f"Give more digits: {shown}{more}")
    return matches[0]


def find_snapshot(
    repository: Repository, name: str, wanted: SnapshotFilter, report: Reporter
) -> tuple[StoredSnapshot, str]:
    """Return the snapshot of a name, and the folder after a colon, or "".

    A name is an ID or a prefix, or one of those of `parse_name`, which respect the filter. Raises UsageError if there
    is no such snapshot, DamageError or BackendError if an unreadable one may be selected.
    """
    parsed = parse_name(name, time.time_ns())
    if parsed.id is None:
        return _find_relative(repository, parsed, wanted, report), parsed.folder
    found = find_id(repository, FileType.SNAPSHOT, parsed.id)
    try:
        return StoredSnapshot(found, load_snapshot(repository, found)), parsed.folder
    except DamageError as error:
        error.hint = error.hint or DAMAGED_SNAPSHOT_HINT
        raise


def _find_relative(
    repository: Repository, name: SnapshotName, wanted: SnapshotFilter, report: Reporter
) -> StoredSnapshot:
    if name.not_after_ns is not None:
        limits = [limit for limit in (name.not_after_ns, wanted.not_after_ns) if limit is not None]
        wanted = msgspec.structs.replace(wanted, not_after_ns=min(limits))
    found = _newest_first(repository, wanted, report, f'which snapshot "{name.text}" is')
    if name.back < len(found):
        return found[name.back]
    if not found and name.not_after_ns is None:
        hint = suggest_filter(wanted, read_snapshots(repository).found)
        raise UsageError(f"snapshot filter {describe(wanted)}: no snapshot found", hint=hint)
    when = "" if name.not_after_ns is None else f" at or before {show_moment(name.not_after_ns)}"
    there = f"only {len(found)}" if found else "none"
    message = f"there is no snapshot {name.text}: snapshot filter {describe(wanted)} leaves {there}{when}"
    raise UsageError(message, hint="" if name.not_after_ns is None else _name_oldest(repository, wanted))


def _name_oldest(repository: Repository, wanted: SnapshotFilter) -> str:
    """Return a hint with the oldest snapshot that the filter leaves without its time limit, "" for none."""
    there = newest_first(read_snapshots(repository).found, msgspec.structs.replace(wanted, not_after_ns=None))
    if not there:
        return ""
    return f"The oldest snapshot is {short(there[-1].id)} of {show_moment(there[-1].snapshot.time_ns)}."


class Selection(msgspec.Struct, frozen=True):
    """The selected snapshots, the number of unusable names or snapshot files, and what was unused.

    `filter_unused` means that both snapshot names and a filter were given.
    """

    snapshots: list[StoredSnapshot]
    failures: int
    filter_unused: bool = False


def select_snapshots(repository: Repository, names: list[str], wanted: SnapshotFilter, report: Reporter) -> Selection:
    """Return the named snapshots, or all that match the filter; missing and unreadable ones are reported and counted.

    For commands that only read. Raises BackendError if the snapshots cannot be listed.
    """
    if not names:
        return _select_matching(repository, wanted, report)
    found: list[StoredSnapshot] = []
    failures = 0
    for name in dict.fromkeys(names):
        try:
            found.append(_find_named(repository, name, wanted, report))
        except PyresticError as error:
            report.note(f'Ignoring "{name}": {error}', 0)
            failures += 1
    return Selection(_without_repetition(found), failures, _tell_unused_filter(names, wanted, report))


def find_snapshots(repository: Repository, names: list[str], wanted: SnapshotFilter, report: Reporter) -> Selection:
    """Return the named snapshots, or all that match the filter; invalid names are reported and counted.

    For commands that change or remove snapshots. Raises DamageError or BackendError if an unreadable snapshot may be
    selected.
    """
    if not names:
        loaded = load_all_snapshots(repository, report, what="which snapshots are meant")
        return Selection(_matching(loaded, wanted, report), 0)
    found: list[StoredSnapshot] = []
    failures = 0
    for name in dict.fromkeys(names):
        try:
            found.append(_find_named(repository, name, wanted, report))
        except (UsageError, NotFoundError) as error:
            report.note(f'Ignoring "{name}": {error}', 0)
            failures += 1
    return Selection(_without_repetition(found), failures, _tell_unused_filter(names, wanted, report))


def _select_matching(repository: Repository, wanted: SnapshotFilter, report: Reporter) -> Selection:
    snapshots = read_snapshots(repository)
    for identifier, error in snapshots.unreadable:
        if wanted.skip_damaged:
            report.note(f"snapshot {short(identifier)} is left out: {error}", 0)
        else:
            report.error(f"snapshot {short(identifier)}", error)
    failures = 0 if wanted.skip_damaged else len(snapshots.unreadable)
    return Selection(_matching(snapshots.found, wanted, report), failures)


def _matching(there: list[StoredSnapshot], wanted: SnapshotFilter, report: Reporter) -> list[StoredSnapshot]:
    found = [one for one in there if wanted.matches(one.snapshot)]
    if not found and (hint := suggest_filter(wanted, there)):
        report.note(NO_MATCH.format(hint), 0)
    return found


def _without_repetition(found: list[StoredSnapshot]) -> list[StoredSnapshot]:
    return list({stored.id: stored for stored in found}.values())


def _tell_unused_filter(names: list[str], wanted: SnapshotFilter, report: Reporter) -> bool:
    """Report an unused filter, and return whether there is one."""
    if wanted.empty:
        return False
    for name in names:
        try:
            parsed = parse_name(name, 0)
        except UsageError:
            continue
        if parsed.id is None and parsed.text == name:
            return False
    report.note('Ignoring "filters": explicit snapshot ids are given', 0)
    return True


def _find_named(repository: Repository, name: str, wanted: SnapshotFilter, report: Reporter) -> StoredSnapshot:
    if name == "latest":
        latest = find_latest(repository, wanted, report)
        if latest is None:
            raise UsageError(f"no snapshot matched given filter {describe(wanted)}")
        return latest
    if name.startswith("latest:"):
        raise UsageError("<snapshot>:<subfolder> syntax not allowed")
    found, folder = find_snapshot(repository, name, wanted, report)
    if folder:
        raise UsageError("<snapshot>:<subfolder> syntax not allowed")
    return found


def describe(wanted: SnapshotFilter) -> str:
    """Return the filter as messages name it."""
    wanted = wanted.absolute()
    tags = " ".join(f"[{', '.join(tags)}]" for tags in wanted.tags)
    limits = (("After", wanted.after_ns), ("Before", wanted.before_ns))
    times = "".join(f" {word}:[{show_moment(limit)}]" for word, limit in limits if limit is not None)
    return f"(Paths:[{' '.join(wanted.paths)}] Tags:[{tags}] Hosts:[{' '.join(wanted.hosts)}]{times})"
