"""Replaces a snapshot with a rewritten one: the new one is stored first, then the old one may be removed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pyrestic.format.snapshot import Summary
from pyrestic.handle import FileType
from pyrestic.ids import ID, short
from pyrestic.operations.describe import go_time
from pyrestic.report import Reporter
from pyrestic.repository.new_snapshot import save_snapshot
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot


@dataclass(frozen=True, slots=True)
class Replacement:
    """The changes of a snapshot. Without a tree, nothing of it remains; "" and None keep the old values."""

    tree: ID | None
    summary: Summary | None = None
    hostname: str = ""
    time: str = ""
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class ReplaceOptions:
    """How to replace: only report, remove the old ones, or the tag of the new ones if the old ones stay."""

    tag: str
    dry_run: bool = False
    forget: bool = False
    keep_empty: bool = False
    """A snapshot that would become empty is kept; otherwise it is removed."""


@dataclass(slots=True)
class ReplaceResult:
    """The result, or the prediction: old and new IDs (none in a dry run), and the snapshots removed as empty."""

    replaced: list[tuple[ID, ID | None]] = field(default_factory=list)
    emptied: list[ID] = field(default_factory=list)
    losses: int = 0
    """Number of files and folders that lost unreadable data."""
    removed_unreadable: list[ID] = field(default_factory=list)
    """Snapshots whose own files were unreadable, which a repair removes."""

    @property
    def count(self) -> int:
        """Number of modified snapshots."""
        return len(self.replaced) + len(self.emptied)


class Replacer:
    """Replaces snapshots of one repository, one after the other."""

    def __init__(
        self, repository: Repository, options: ReplaceOptions, report: Reporter, ensure_locked: Callable[[], None]
    ) -> None:
        """`ensure_locked` raises if the lock was lost; it is called before a snapshot is stored or removed."""
        self._repository = repository
        self._options = options
        self._report = report
        self._ensure_locked = ensure_locked
        self.result = ReplaceResult()

    def replace(self, old: StoredSnapshot, new: Replacement) -> None:
        """Store the replacement, if it differs. Blobs saved so far are stored first. Raises PyresticError."""
        self._repository.flush()
        if new.tree is None:
            if not self._options.keep_empty:
                self._drop(old)
        elif _differs(old, new):
            if self._options.dry_run:
                self._announce(new)
                self.result.replaced.append((old.id, None))
            else:
                self._store(old, new, new.tree)

    def finish(self) -> ReplaceResult:
        """Report the number of modified snapshots."""
        would, count = self._options.dry_run, self.result.count
        self._report.note("")
        if count:
            self._report.note(f"{'would modify' if would else 'modified'} {count} snapshots")
        else:
            self._report.note(f"no snapshots {'would be' if would else 'were'} modified")
        return self.result

    def _drop(self, old: StoredSnapshot) -> None:
        self.result.emptied.append(old.id)
        if self._options.dry_run:
            self._report.note("would delete empty snapshot")
            return
        self._remove(old)
        self._report.note(f"removed empty snapshot {short(old.id)}")

    def _announce(self, new: Replacement) -> None:
        self._report.note("would save new snapshot")
        if self._options.forget:
            self._report.note("would remove old snapshot")
        if new.time:
            self._report.note(f"would set time to {go_time(new.time)}")
        if new.hostname:
            self._report.note(f"would set hostname to {new.hostname}")

    def _store(self, old: StoredSnapshot, new: Replacement, tree: ID) -> None:
        changes: dict[str, Any] = {"original": old.id.hex(), "tree": tree.hex()}
        if new.summary is not None:
            changes["summary"] = new.summary
        tags = old.snapshot.tags
        if not self._options.forget and self._options.tag not in tags:
            changes["tags"] = [*tags, self._options.tag]
        if new.time:
            self._report.note(f"setting time to {go_time(new.time)}")
            changes["time"] = new.time
        if new.hostname:
            self._report.note(f"setting host to {new.hostname}")
            changes["hostname"] = new.hostname
        self._ensure_locked()
        identifier = save_snapshot(self._repository, msgspec.structs.replace(old.snapshot, **changes))
        self.result.replaced.append((old.id, identifier))
        self._report.note(f"saved new snapshot {short(identifier)}")
        if self._options.forget:
            self._remove(old)
            self._report.note(f"removed old snapshot {short(old.id)}")

    def _remove(self, old: StoredSnapshot) -> None:
        self._ensure_locked()
        self._repository.remove(FileType.SNAPSHOT, old.id)


def _differs(old: StoredSnapshot, new: Replacement) -> bool:
    snapshot = old.snapshot
    same_summary = new.summary is None or new.summary == snapshot.summary
    return new.tree != snapshot.tree_id or bool(new.time or new.hostname) or not same_summary
