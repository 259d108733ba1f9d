"""What a folder on disk lacks of its snapshots, for `back`: shown, and restored."""

import os
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from pyrestic.cli.commands.snapshots import zone_name
from pyrestic.cli.options import Settings
from pyrestic.cli.table import format_table
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import LocalFileError
from pyrestic.format.node import Node
from pyrestic.ids import ID, short
from pyrestic.localfs.tree_facts import HistoryIndex
from pyrestic.operations.dump import find_node
from pyrestic.operations.restore_beside import find_missing, open_below, restore_missing
from pyrestic.operations.restore_root import Contents, Named
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.repository.timespec import show_moment
from pyrestic.units import format_bytes
from pyrestic.vfs.deleted import find_deleted
from pyrestic.vfs.history import age, tree_of
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
        self.unreadable = 0
        """How many folders and snapshots could not be read."""
        self._tree: ID | None = None
        self._newest: set[bytes] = set()

    @property
    def count(self) -> int:
        """The number of entries; of a folder that is gone, only itself counts."""
        return len(self._losses)

    @property
    def described(self) -> str:
        """The number and length of the entries, for a question."""
        total = format_bytes(sum(loss.size for loss in self._losses))
        return f"{self.count} {'entry' if self.count == 1 else 'entries'} ({total})"

    def look(self, node: Node, last: StoredSnapshot, *, older: bool) -> None:
        """Find what the disk lacks of the folder in a snapshot, and, with `older`, of all that older snapshots had."""
        self._tree = tree_of(node)
        found: dict[bytes, tuple[Node, StoredSnapshot]] = {}
        if self._tree is not None:
            found = {at: (node, last) for at, node in find_missing(self._repository, self._tree, self._path)}
        self._newest = set(found)
        if older:
            for at, each in self._find_older().items():
                found.setdefault(at, each)
        folders = {tree for node, _ in found.values() if (tree := tree_of(node)) is not None}
        totals = self._trees.summarize(folders)

        def size(node: Node) -> int:
            tree = tree_of(node)
            return node.size if tree is None or tree not in totals else totals[tree].size

        self._losses = [_Loss(at, node, size(node), last) for at, (node, last) in sorted(found.items())]

    def _find_older(self) -> dict[bytes, tuple[Node, StoredSnapshot]]:
        """Return what older snapshots had and the disk lacks, what a folder had lost before it went included."""
        deleted = find_deleted(self._repository, self._snapshots, self._location, self._index, self._terminal)
        self.unreadable = deleted.unreadable
        found: dict[bytes, tuple[Node, StoredSnapshot]] = {}

        def add(below: bytes, node: Node, last: StoredSnapshot) -> None:
            if below not in found or age(found[below][1]) < age(last):
                found[below] = node, last

        for entry in deleted.entries:
            below = b"/" + posixpath.relpath(entry.location, self._location)
            path = os.path.join(os.fsencode(self._path), below.lstrip(b"/"))
            if not os.path.lexists(path):
                if not self._is_behind_other(below):
                    node = find_node(self._repository, entry.last.snapshot.tree_id, entry.location)
                    if node is not None:
                        add(below, node, entry.last)
            elif entry.tree is not None and os.path.isdir(path) and not os.path.islink(path):
                # The disk has the folder again, but maybe not what was in it.
                for deeper, node in find_missing(self._repository, entry.tree, os.fsdecode(path)):
                    add(below + deeper, node, entry.last)
        return found

    def _is_behind_other(self, below: bytes) -> bool:
        """Tell whether the disk has something else than a folder above an entry."""
        path = os.fsencode(self._path)
        for name in below.strip(b"/").split(b"/")[:-1]:
            path = os.path.join(path, name)
            if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
                return True
        return False

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

    def restore(self) -> None:
        """Restore everything that is missing, and say so; raise PyresticError if something could not be restored."""

        def warn(message: str) -> None:
            self._terminal.complain(f"Warning: {message}")

        count = 0
        if self._newest and self._tree is not None:
            count = restore_missing(self._repository, Contents(self._tree), self._path, self._terminal, warn=warn)
        by_folder: dict[bytes, list[tuple[bytes, Node]]] = {}
        for loss in self._losses:
            if loss.location not in self._newest:
                folder, name = posixpath.split(loss.location)
                by_folder.setdefault(folder, []).append((name, loss.node))
        # Folders before what lies in them.
        for folder, named in sorted(by_folder.items()):
            path = os.path.join(self._path, os.fsdecode(folder.lstrip(b"/")))
            root = open_below(self._path, folder)
            count += restore_missing(self._repository, Named(named), path, self._terminal, warn=warn, open_root=root)
        if count < self.count:
            raise LocalFileError(f"{self.count - count} entries were not restored: something is in their places by now")
        if self._terminal.json:
            for loss in self._losses:
                self._terminal.print_json(self._json(loss))
        else:
            self._terminal.note(f"restored {self.described}, {count} files and folders in all")

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
