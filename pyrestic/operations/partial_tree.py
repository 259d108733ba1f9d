"""The tree of a backup that has not reached everything: what is complete, and the parent's state of the rest.

Finished folders have their new state. A folder that was begun has its new metadata, its finished entries, and the
parent's nodes of all other names: those that were not reached, are being read, could not be read, or may be gone.
Folders and sources that were not reached keep the parent's nodes. Without a parent there is what is finished, with the
folders above it. So each file that the parent has is there, except in finished folders, which are as on disk.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from pyrestic.errors import DamageError
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.format.tree import ImpossibleNamesError, TreePart, encode_tree, parse_part
from pyrestic.localfs.scan import SourceTree
from pyrestic.operations.archive_directory import Directory

MOST_REWRITTEN = 10_000
"""A folder with more entries is not part of a checkpoint before it is finished, unless a subfolder is: its tree would
be stored again each time."""


class PartialTree:
    """Makes merged trees of one backup. `load` returns the nodes of a tree, `save` stores one; both use hex IDs."""

    def __init__(self, load: Callable[[str], list[Node]], save: Callable[[bytes], str]) -> None:
        self._load = load
        self._save = save

    def merge(self, begun: Iterable[Directory], *, most_rewritten: int | None = None) -> str | None:
        """Return the ID of the root tree, None if nothing is finished.

        `begun` are the folders that were begun and not finished: subfolders before the folders that contain them, the
        root last. `most_rewritten` is the number of entries above which a folder is left in its old state.
        """
        made: dict[int, Node] = {}
        node = None
        for directory in begun:
            node = self._merge_one(directory, made, most_rewritten)
            if node is not None:
                made[id(directory.node)] = node
        return node.subtree if node is not None else None

    def _merge_one(self, directory: Directory, made: dict[int, Node], most_rewritten: int | None) -> Node | None:
        """Return the node of a folder that was begun; None if nothing in it is finished, or it is too large."""
        finished: list[Node | TreePart] = []
        has_subfolder = False
        for entry in directory.nodes:
            node = made.get(id(entry), entry) if isinstance(entry, Node) else entry
            if isinstance(node, Node) and node.type == DIRECTORY:
                if node.subtree is None:
                    continue
                has_subfolder = True
            if node is not None:
                finished.append(node)
        length = len(directory.nodes) + len(directory.old)
        too_large = most_rewritten is not None and length > most_rewritten
        if not finished or (too_large and not has_subfolder and not directory.in_checkpoint):
            return None
        directory.in_checkpoint = True
        old = self._old_nodes(directory.previous)
        if directory.source is not None:
            old = self._restrict(old, directory.source)
        return msgspec.structs.replace(directory.node, subtree=self._save(encode_tree(overlay(finished, old))))

    def _old_nodes(self, previous: Node | None) -> list[Node]:
        """Return the parent's nodes of a folder; raise BackendError. What is damaged in the parent stays lost."""
        if previous is None or previous.type != DIRECTORY or previous.subtree is None:
            return []
        try:
            return self._load(previous.subtree)
        except ImpossibleNamesError as error:
            return error.nodes
        except DamageError:
            # It was reported when the folder was begun.
            return []

    def _restrict(self, old: list[Node], source: SourceTree) -> list[Node]:
        """Return the nodes in a folder above the sources that belong to them: the parent may have others."""
        kept = []
        for node in old:
            child = source.children.get(node.raw_name)
            if child is None:
                continue
            if not child.is_leaf and node.type == DIRECTORY:
                inside = self._old_nodes(node)
                left = self._restrict(inside, child)
                if not left:
                    continue
                if left != inside:
                    node = msgspec.structs.replace(node, subtree=self._save(encode_tree(left)))
            kept.append(node)
        return kept


def overlay(finished: Sequence[Node | TreePart], old: list[Node]) -> list[Node | TreePart]:
    """Return the finished entries of a folder and the old nodes of all other names, in order."""
    if not old:
        return list(finished)
    named = {node.raw_name: node for node in old}
    for entry in finished:
        for node in parse_part(entry) if isinstance(entry, TreePart) else (entry,):
            named[node.raw_name] = node
    return [named[name] for name in sorted(named)]
