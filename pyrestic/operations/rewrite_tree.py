"""Rewrites the trees of a snapshot, with some nodes changed or removed.

An unchanged tree keeps its ID. A tree that could not be encoded identically, because it contains unknown fields, is
rejected, unless the caller accepts the loss.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from pyrestic.errors import DamageError, FormatError, MissingBlobError, NotFoundError, PyresticError
from pyrestic.format.gojson import quote_name
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import encode_tree, parse_tree, reproducible
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, ID_LENGTH, parse_id
from pyrestic.repository.repository import Repository
from pyrestic.repository.trail import Trail

RewriteNode = Callable[[Node, bytes], Node | None]
"""Takes a node and its location in the snapshot, returns its replacement, None for nothing."""
FailedTree = Callable[[bytes], list[Node] | None]
"""Takes the location of an unreadable folder, returns the nodes to use instead, None to drop it."""

_NO_TREE = bytes(ID_LENGTH)


def quote(location: bytes) -> str:
    """Return a location in a snapshot as restic shows it in messages."""
    return f'"{quote_name(location)}"'


@dataclass(slots=True)
class _Folder:
    """A folder on the path: its old tree, its remaining nodes, and its kept ones."""

    tree: ID
    nodes: list[Node]
    rest: Iterator[Node]
    kept: list[Node] = field(default_factory=list)
    entered: Node | None = None
    """The node of the subfolder that is being rewritten."""


class TreeRewriter:
    """Rewrites trees of one repository; trees shared by snapshots are rewritten once."""

    def __init__(
        self,
        repository: Repository,
        rewrite_node: RewriteNode,
        *,
        keep_empty: Callable[[bytes], bool] = lambda _: True,
        failed_tree: FailedTree | None = None,
        remember: bool = True,
    ) -> None:
        """`keep_empty` decides whether to keep empty folders; with `failed_tree`, unknown fields may get lost.

        Without `remember`, every node is passed to `rewrite_node` as often as it occurs.
        """
        self._repository = repository
        self._rewrite_node = rewrite_node
        self._keep_empty = keep_empty
        self._failed_tree = failed_tree
        self._rewritten: dict[ID, ID] | None = {} if remember else None
        self._trail = Trail()

    def rewrite(self, root: ID) -> ID | None:
        """Return the tree that replaces a root, None if nothing does; it is stored with the next flush.

        Raises PyresticError: FormatError for a tree that could not be written back as it is.
        """
        self._trail = Trail()
        first = self._open(b"/", root)
        if not isinstance(first, _Folder):
            return first
        stack = [first]
        while True:
            folder = stack[-1]
            below = self._step(folder)
            if below is not None:
                stack.append(below)
            elif folder.entered is None:
                stack.pop()
                done = self._close(folder)
                self._trail.leave()
                if not stack:
                    return done
                self._take(stack[-1], done)

    def _step(self, folder: _Folder) -> _Folder | None:
        """Continue to the next subfolder and return it, or to the end."""
        for node in folder.rest:
            location = self._trail.join(node.raw_name)
            changed = self._rewrite_node(node, location)
            if changed is None:
                continue
            if changed.type != DIRECTORY:
                folder.kept.append(changed)
                continue
            folder.entered = changed
            below = self._open(location, _NO_TREE if changed.subtree is None else parse_id(changed.subtree))
            if isinstance(below, _Folder):
                self._trail.enter(node.raw_name)
                return below
            self._take(folder, below)
        return None

    def _take(self, folder: _Folder, tree: ID | None) -> None:
        """Record the new tree of the entered folder."""
        node, folder.entered = folder.entered, None
        if node is not None and tree is not None:
            subtree = tree.hex()
            folder.kept.append(node if node.subtree == subtree else msgspec.structs.replace(node, subtree=subtree))

    def _open(self, location: bytes, tree: ID) -> _Folder | ID | None:
        """Return a folder to be rewritten, or the replacement of its tree if known."""
        known = None if self._rewritten is None else self._rewritten.get(tree)
        if known is not None:
            return known
        try:
            if tree == _NO_TREE:
                raise MissingBlobError(f"the folder {quote(location)} has no tree")
            data = self._repository.load_blob(BlobHandle(BlobType.TREE, tree))
            nodes = parse_tree(data)
        except (DamageError, NotFoundError):
            if self._failed_tree is None:
                raise
            instead = self._failed_tree(location)
            return None if instead is None else self._save(instead)
        if self._failed_tree is None and not reproducible(data, nodes):
            raise FormatError(f"cannot encode tree at {quote(location)} without losing information")
        return _Folder(tree, nodes, iter(nodes))

    def _close(self, folder: _Folder) -> ID | None:
        """Store the rest of a folder and return its tree, None if it is dropped."""
        if not folder.kept and not self._keep_empty(self._trail.location):
            return None
        # An unchanged tree is not written again: it may contain unknown fields.
        tree = folder.tree if folder.kept and folder.kept == folder.nodes else self._save(folder.kept)
        if self._rewritten is not None:
            self._rewritten[folder.tree] = tree
        return tree

    def _save(self, nodes: list[Node]) -> ID:
        return self._repository.saver.save(BlobType.TREE, encode_tree(nodes)).id


def describe_error(error: PyresticError, name: str) -> PyresticError:
    """Return the error of a snapshot that could not be rewritten."""
    return type(error)(f'unable to rewrite snapshot ID "{name}": {error}', hint=error.hint)
