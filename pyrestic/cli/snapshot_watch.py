"""Detects vanished snapshots: a backend, or an attacker, may present an older state or hide some snapshots.

Nothing in a repository can reveal that. So this user's state folder records the newest snapshots seen, and snapshots
that vanish without a command of this user are reported once. A `forget` on another machine looks the same.
"""

import time
from collections.abc import Mapping

from pyrestic.backend.private_folder import distrust
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import LocalFileError
from pyrestic.ids import ID, short
from pyrestic.localfs.snapshot_log import Seen, SeenBook
from pyrestic.localfs.user_folders import find_state_folder
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotList

_SHOWN = 3


class SnapshotWatch:
    """Compares the snapshots that a run lists with those seen before, once."""

    def __init__(self, environment: Mapping[str, str], terminal: Terminal, repository: Repository) -> None:
        folder = find_state_folder(environment)
        self._terminal = terminal
        self._repository = repository
        kept = bool(folder) and distrust(folder) is None
        self._book = SeenBook(folder, repository.config.id) if kept else None
        self._present: dict[ID, Seen] | None = None
        self._gone: set[ID] = set()

    def look(self, snapshots: SnapshotList) -> None:
        """Receive all snapshots of the repository; report the ones seen before that are gone."""
        if self._book is None or self._present is not None:
            return
        try:
            known = self._book.read()
        except LocalFileError as error:
            self._give_up(error)
            return
        self._present = {
            stored.id: Seen(stored.snapshot.time_ns, stored.snapshot.hostname) for stored in snapshots.found
        }
        present = self._present.keys() | {each.id for each in snapshots.unreadable}
        removed = self._repository.removed_snapshots
        self._gone = known.keys() - present - removed
        if self._gone:
            self._tell({each: known[each] for each in self._gone})

    def close(self, *, dry_run: bool) -> None:
        """Record the snapshots seen, stored and removed."""
        saved, removed = self._repository.saved_snapshots, self._repository.removed_snapshots
        if self._book is None or dry_run or (self._present is None and not saved and not removed):
            return
        now = time.time_ns()
        seen = {**(self._present or {}), **{each: Seen(now, "") for each in saved if each not in (self._present or {})}}
        try:
            self._book.update(seen, self._gone | removed)
        except LocalFileError as error:
            self._give_up(error)

    def _give_up(self, error: LocalFileError) -> None:
        self._book = None
        self._terminal.note(f"could not record the snapshots seen: {error}", 2)

    def _tell(self, gone: Mapping[ID, Seen]) -> None:
        newest = sorted(gone, key=lambda each: -gone[each].time_ns)
        shown = ", ".join(f"{short(each)} of {_show_time(gone[each])}" for each in newest[:_SHOWN])
        more = f" and {len(newest) - _SHOWN} more" if len(newest) > _SHOWN else ""
        text = f"Warning: snapshots seen earlier from this machine are gone: {shown}{more}."
        if self._is_older_state(gone[newest[0]]):
            text += " No snapshot as new is left, so this may be an older state of the repository."
        self._terminal.complain(
            f"{text} If no other machine, user or program ran forget, someone is hiding or deleting them."
        )

    def _is_older_state(self, newest: Seen) -> bool:
        """Tell whether no remaining snapshot is as new."""
        return all(seen.time_ns < newest.time_ns for seen in (self._present or {}).values())


def _show_time(seen: Seen) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seen.time_ns // 1_000_000_000))
