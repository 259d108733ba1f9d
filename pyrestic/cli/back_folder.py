"""What a folder on disk lacks of its snapshots, for `back`: shown, and restored."""

import os
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from pyrestic.cli.commands.snapshots import zone_name
from pyrestic.cli.options import Settings
from pyrestic.cli.table import format_table
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import DamageError
from pyrestic.format.node import Node
from pyrestic.ids import short
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.operations.dump import find_node
from pyrestic.operations.restore_beside import find_missing, restore_missing
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.repository.timespec import show_moment
from pyrestic.units import format_bytes
from pyrestic.vfs.deleted import find_deleted, top_level
from pyrestic.vfs.history import Version, age, tree_of
from pyrestic.vfs.tree_summaries import Trees


class _Loss(NamedTuple):
    """An entry that the disk lacks: where it belongs below the folder, and the last snapshot that has it."""

    location: bytes
    node: Node
    size: int
    last: StoredSnapshot


class FolderLosses:
    """What a folder of this machine lacks; `location` is its path in the snapshots, `path` that on disk."""

    def __init__(
        self,
        repository: Repository,
        terminal: Terminal,
        snapshots: Sequence[StoredSnapshot],
        index: HistoryIndex | None,
        location: bytes,
        path: str,
    ) -> None:
        self._repository = repository
        self._terminal = terminal
        self._snapshots = snapshots
        self._trees = Trees(repository, index, terminal)
        self._index = index
        self._location = location
        self._path = path
        self._losses: list[_Loss] = []
        self._unreadable = 0

    @property
    def count(self) -> int:
        """The number of entries; of a folder that is gone, only itself counts."""
        return len(self._losses)

    @property
    def described(self) -> str:
        """The number and length of the entries, for a question."""
        total = format_bytes(sum(loss.size for loss in self._losses))
        return f"{self.count} {'entry' if self.count == 1 else 'entries'} ({total})"

    def look(self, version: Version, *, older: bool) -> None:
        """Find what the disk lacks of a version, and, with `older`, of everything that older snapshots had."""
        node = version.node
        tree = None if node is None else tree_of(node)
        found: dict[bytes, tuple[Node, StoredSnapshot]] = {}
        if tree is not None:
            found = {at: (node, version.last) for at, node in find_missing(self._repository, tree, self._path)}
        if older:
            found |= {at: each for at, each in self._find_older().items() if at not in found}
        folders = {tree for node, _ in found.values() if (tree := tree_of(node)) is not None}
        totals = self._trees.summarize(folders)

        def size(node: Node) -> int:
            tree = tree_of(node)
            return node.size if tree is None or tree not in totals else totals[tree].size

        self._losses = [_Loss(at, node, size(node), last) for at, (node, last) in sorted(found.items())]

    def _find_older(self) -> dict[bytes, tuple[Node, StoredSnapshot]]:
        """Return what older snapshots had and the disk lacks, without what lies in something of it."""
        deleted = find_deleted(self._repository, self._snapshots, self._location, self._index, self._terminal)
        self._unreadable = deleted.unreadable
        found: dict[bytes, tuple[Node, StoredSnapshot]] = {}
        for entry in top_level(deleted.entries):
            below = b"/" + posixpath.relpath(entry.location, self._location)
            if self._is_there(below):
                continue
            node = find_node(self._repository, entry.last.snapshot.tree_id, entry.location)
            if node is not None and (below not in found or age(found[below][1]) < age(entry.last)):
                found[below] = node, entry.last
        return found

    def _is_there(self, below: bytes) -> bool:
        """Tell whether the disk has the entry, or something else than a folder above it."""
        path = os.fsencode(self._path)
        for name in below.strip(b"/").split(b"/"):
            path = os.path.join(path, name)
            if not os.path.lexists(path):
                return False
            if not os.path.isdir(path) or os.path.islink(path):
                return True
        return True

    def show(self, settings: Settings) -> None:
        """Print a table of what is missing, what was seen last comes first."""
        if self._terminal.json:
            return
        if not self._losses:
            self._terminal.note(f"{self._path} lacks nothing")
            return
        rows = [
            [
                show_moment(loss.last.snapshot.time_ns),
                short(loss.last.id),
                format_bytes(loss.size),
                os.fsdecode(loss.location.lstrip(b"/")) + "/" * (tree_of(loss.node) is not None),
            ]
            for loss in sorted(self._losses, key=lambda loss: age(loss.last), reverse=True)
        ]
        self._terminal.print(f"Missing in {self._path}:")
        footers = (f"Timestamps shown in {zone_name(settings.environment)}", self.described)
        columns = ["Last seen", "Snapshot", "Size", "Path"]
        self._terminal.print(*format_table(columns, rows, footers, quoted=self._terminal.is_terminal))

    def restore_version(self, state_folder: str) -> None:
        """Restore everything that is missing, and say so; raise PyresticError if something could not be restored."""
        by_folder: dict[str, list[tuple[bytes, Node]]] = {}
        for loss in self._losses:
            folder, name = posixpath.split(loss.location)
            path = os.path.join(self._path, os.fsdecode(folder.lstrip(b"/")))
            by_folder.setdefault(os.path.normpath(path), []).append((name, loss.node))
        count = restore_missing(
            self._repository,
            by_folder,
            self._terminal,
            warn=lambda message: self._terminal.complain(f"Warning: {message}"),
            state_folder=state_folder,
        )
        if self._terminal.json:
            for loss in self._losses:
                self._terminal.print_json(self._json(loss))
        else:
            self._terminal.note(f"restored {self.described}, {count} files and folders in all")
        if self._unreadable:
            raise DamageError(f"{self._unreadable} folders or snapshots could not be read, so more may be missing")

    def _json(self, loss: _Loss) -> dict[str, object]:
        path = os.path.join(self._path, os.fsdecode(loss.location.lstrip(b"/")))
        return {
            "message_type": "restored_version",
            "path": path,
            "action": "restored",
            "to": path,
            "snapshot_id": loss.last.id.hex(),
            "size": loss.size,
        }
