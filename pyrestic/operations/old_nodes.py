"""The nodes of the parent snapshot, which tell what an archive need not read again.

After a partial snapshot, the last complete one tells about files that are missing there.
"""

import os
from collections.abc import Iterable

from pyrestic.errors import PyresticError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.handle import BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.scan import SourceTree
from pyrestic.operations.archive_directory import Directory
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository


class OldNodes:
    """Loads the parent's nodes of folders that are begun; for the walking thread."""

    def __init__(self, repository: Repository, report: Reporter, progress: BackupProgress) -> None:
        self._repository = repository
        self._saver = repository.saver
        self._report = report
        self._progress = progress
        self.lost_some = False
        """Whether names of the parent are gone from finished folders, because they moved or are excluded now."""

    def open_root(self, parent: ID | None, complete: ID | None = None, source: SourceTree | None = None) -> Directory:
        """Return the root folder, with the nodes of the parent's tree and those of the last complete one."""
        previous, older = (
            Node(name="", type=DIRECTORY, subtree=tree.hex()) if tree is not None else None
            for tree in (parent, complete)
        )
        root = self._open(b"/", Node(name="", type=DIRECTORY), previous, older)
        root.source = source
        return root

    def open(self, above: Directory, name: bytes, node: Node) -> Directory:
        """Return a folder that is begun, and add it to the one above."""
        previous, older = above.old.pop(node.name, None), above.older.pop(node.name, None)
        above.nodes.append(node)
        self.lost_some = self.lost_some or (previous is not None and previous.type != DIRECTORY)
        return self._open(above.child_location(name), node, previous, older)

    def _open(self, location: bytes, node: Node, previous: Node | None, older: Node | None) -> Directory:
        subtree, older_subtree = (
            one.subtree if one is not None and one.type == DIRECTORY else None for one in (previous, older)
        )
        old = self._load(location, subtree)
        directory = Directory(location, node, previous, old, self.knows_all(old.values()))
        if older_subtree != subtree:
            nodes = self._load(location, older_subtree)
            directory.older = {
                name: one for name, one in nodes.items() if name not in old or one.type == old[name].type == DIRECTORY
            }
        return directory

    def take(self, directory: Directory, node: Node) -> tuple[Node | None, bool]:
        """Return the old node of a file, None if there is none, and whether all of its blobs are known to exist."""
        old = directory.old.pop(node.name, None)
        if old is not None or not directory.older:
            self.lost_some = self.lost_some or (old is not None and old.type == DIRECTORY)
            return old, directory.old_is_known
        return directory.older.pop(node.name, None), False

    def close(self, directory: Directory) -> None:
        """Forget the nodes of a folder that is finished."""
        if directory.old and not self.lost_some:
            # Links and devices are not looked up.
            present = {node.name for node in directory.nodes if isinstance(node, Node)}
            self.lost_some = not directory.old.keys() <= present
        directory.old.clear()
        directory.older.clear()

    def knows_all(self, files: Iterable[Node]) -> bool:
        """Tell whether the repository has all blobs of these files."""
        content = "".join(["".join(node.content) for node in files if node.content])
        return not content or self._saver.knows_all(BlobType.DATA, bytes.fromhex(content))

    def _load(self, location: bytes, subtree: str | None) -> dict[str, Node]:
        if not subtree:
            return {}
        try:
            return {node.name: node for node in self._repository.load_tree(parse_id(subtree))}
        except PyresticError as error:
            self._progress.error_count += 1
            self._report.error(os.fsdecode(location), error)
            return {}
