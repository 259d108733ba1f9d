"""The files of stored trees."""

import os
from collections.abc import Iterator

from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID
from pyrestic.repository.repository import Repository


def walk_stored_files(repository: Repository, tree: ID) -> Iterator[tuple[str, Node]]:
    """Iterate the paths, which begin with a slash, and the nodes of all files below a tree."""
    todo = [("", tree)]
    while todo:
        prefix, identifier = todo.pop()
        for node in repository.load_tree(identifier):
            path = f"{prefix}/{os.fsdecode(node.raw_name)}"
            if node.type == DIRECTORY:
                assert node.subtree is not None
                todo.append((path, bytes.fromhex(node.subtree)))
            else:
                yield path, node
