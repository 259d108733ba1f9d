"""Finding snapshots: by their names, and by host, tags, paths and time."""

import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.errors import FormatError, PyresticError, UsageError
from pyrestic.format import snapshot as snapshot_format
from pyrestic.format.snapshot import Snapshot
from pyrestic.handle import FileType
from pyrestic.ids import ID, parse_id, short
from pyrestic.report import Reporter
from pyrestic.repository.manyfiles import map_files
from pyrestic.repository.moments import show_moment
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshotname import SnapshotName, parse_name


class StoredSnapshot(NamedTuple):
    """A snapshot and the ID of its file."""

    id: ID
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Which snapshots are meant. Within `tags` each list asks for all of its tags, and one list has to match.

    An empty tag fits a snapshot without any. `paths` all have to be among the snapshot's. Times are in
    nanoseconds since 1970, and a snapshot of just that time is meant; `not_after_ns` counts for the latest alone.
    """

    hosts: tuple[str, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()
    not_after_ns: int | None = None
    after_ns: int | None = None
    before_ns: int | None = None

    @property
    def empty(self) -> bool:
        """Nothing is asked for."""
        return not (self.hosts or self.tags or self.paths) and self.after_ns is None and self.before_ns is None

    def matches(self, snapshot: Snapshot) -> bool:
        """Tell whether the snapshot is meant."""
        return (
            (not self.hosts or snapshot.hostname in self.hosts)
            and (not self.tags or any(has_tags(snapshot.tags, wanted) for wanted in self.tags))
            and set(self.paths) <= set(snapshot.paths)
            and (self.after_ns is None or snapshot.time_ns >= self.after_ns)
            and (self.before_ns is None or snapshot.time_ns <= self.before_ns)
        )

    def absolute(self) -> "SnapshotFilter":
        """Return the filter with its paths made absolute, as `latest` needs them."""
        paths = tuple(os.path.normpath(os.path.join(os.getcwd(), path)) for path in self.paths)
        return dataclasses.replace(self, paths=paths)


def has_tags(tags: list[str], wanted: tuple[str, ...]) -> bool:
    """Tell whether all wanted tags are there; an empty one asks that there be none."""
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


def load_snapshots(repository: Repository, report: Reporter) -> list[StoredSnapshot]:
    """Return all snapshots in no order; those that cannot be read go to report.error."""
    identifiers = list(repository.list_ids(FileType.SNAPSHOT))

    def load(identifier: ID) -> StoredSnapshot | None:
        try:
            return StoredSnapshot(identifier, load_snapshot(repository, identifier))
        except PyresticError as error:
            report.error(f"snapshot {short(identifier)}", error)
            return None

    found = map_files(load, identifiers, repository.backend.connections)
    return [stored for stored in found if stored is not None]


def find_latest(repository: Repository, wanted: SnapshotFilter, report: Reporter) -> StoredSnapshot | None:
    """Return the newest snapshot that matches, or None."""
    return next(iter(_newest_first(repository, wanted, report)), None)


def _newest_first(repository: Repository, wanted: SnapshotFilter, report: Reporter) -> list[StoredSnapshot]:
    wanted = wanted.absolute()
    limit = wanted.not_after_ns
    matching = [
        found
        for found in load_snapshots(repository, report)
        if wanted.matches(found.snapshot) and (limit is None or found.snapshot.time_ns <= limit)
    ]
    return sorted(matching, key=lambda found: -found.snapshot.time_ns)


def find_id(repository: Repository, file_type: FileType, prefix: str) -> ID:
    """Return the ID of the file that begins with a hex prefix; raise UsageError if none or several do."""
    if len(prefix) == 64:
        try:
            return parse_id(prefix)
        except FormatError:
            pass
    matches = [identifier for identifier in repository.list_ids(file_type) if identifier.hex().startswith(prefix)]
    if not matches or not prefix:
        raise UsageError(f'no matching ID found for prefix "{prefix}"')
    if len(matches) > 1:
        raise UsageError(f'multiple IDs with prefix "{prefix}" found', hint="Give more digits.")
    return matches[0]


def find_snapshot(
    repository: Repository, name: str, wanted: SnapshotFilter, report: Reporter
) -> tuple[StoredSnapshot, str]:
    """Return the snapshot that a name means, and the folder after a colon, or "".

    A name is an ID or the beginning of one, or one of those of `parse_name`, which the filter counts for. Raises
    UsageError if there is no such snapshot.
    """
    parsed = parse_name(name, time.time_ns())
    if parsed.id is None:
        return _find_relative(repository, parsed, wanted, report), parsed.folder
    found = find_id(repository, FileType.SNAPSHOT, parsed.id)
    return StoredSnapshot(found, load_snapshot(repository, found)), parsed.folder


def _find_relative(
    repository: Repository, name: SnapshotName, wanted: SnapshotFilter, report: Reporter
) -> StoredSnapshot:
    if name.not_after_ns is not None:
        limits = [limit for limit in (name.not_after_ns, wanted.not_after_ns) if limit is not None]
        wanted = dataclasses.replace(wanted, not_after_ns=min(limits))
    found = _newest_first(repository, wanted, report)
    if name.back < len(found):
        return found[name.back]
    if not found and name.not_after_ns is None:
        raise UsageError(f"snapshot filter {describe(wanted)}: no snapshot found")
    when = "" if name.not_after_ns is None else f" at or before {show_moment(name.not_after_ns)}"
    there = f"only {len(found)}" if found else "none"
    raise UsageError(f"there is no snapshot {name.text}: snapshot filter {describe(wanted)} leaves {there}{when}")


def find_snapshots(
    repository: Repository, names: list[str], wanted: SnapshotFilter, report: Reporter
) -> Iterator[StoredSnapshot]:
    """Iterate the named snapshots, or all that match the filter; what cannot be found is only reported."""
    if not names:
        yield from (found for found in load_snapshots(repository, report) if wanted.matches(found.snapshot))
        return
    seen: set[ID] = set()
    used_filter = False
    for name in names:
        try:
            parsed = parse_name(name, 0)
            used_filter = used_filter or (parsed.id is None and parsed.text == name)
            found = _find_named(repository, name, wanted, report)
        except PyresticError as error:
            report.note(f'Ignoring "{name}": {error}', 0)
            continue
        if found.id not in seen:
            seen.add(found.id)
            yield found
    if not used_filter and not wanted.empty:
        report.note('Ignoring "filters": explicit snapshot ids are given', 0)


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
    """Return the filter as it is named in messages."""
    wanted = wanted.absolute()
    tags = " ".join(f"[{', '.join(tags)}]" for tags in wanted.tags)
    limits = (("After", wanted.after_ns), ("Before", wanted.before_ns))
    times = "".join(f" {word}:[{show_moment(limit)}]" for word, limit in limits if limit is not None)
    return f"(Paths:[{' '.join(wanted.paths)}] Tags:[{tags}] Hosts:[{' '.join(wanted.hosts)}]{times})"
