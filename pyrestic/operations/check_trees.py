"""Checks the trees of snapshots: is each readable, and is every blob in the index?"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from pyrestic.errors import PyresticError
from pyrestic.format.node import DIRECTORY, FILE, INVALID, IRREGULAR, Node
from pyrestic.format.tree import parse_tree
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, ID_LENGTH
from pyrestic.repository.loader import plain_of
from pyrestic.repository.repository import Repository

_ROOTS = 64
_ROUND = 1024
_NULL = bytes(ID_LENGTH)
_FEW = 8
"""Number of files up to which single lookups are as fast as a bulk lookup."""

Fault = Callable[[ID, list[str]], None]
"""Takes a tree and its error."""


def check_trees(
    repository: Repository,
    roots: Iterable[ID],
    fault: Fault,
    root_done: Callable[[], None],
    used: set[BlobHandle] | None = None,
) -> None:
    """Visit every tree below the roots once; record all their blobs in `used`, if given.

    Trees are processed in batches, level by level below some roots, and fetched in as few requests as packs allow.
    """
    seen: set[ID] = set()
    rest = iter(roots)
    while batch := list(islice(rest, _ROOTS)):
        waiting = [*batch]
        while waiting:
            trees = [tree for tree in dict.fromkeys(waiting[-_ROUND:]) if tree not in seen]
            del waiting[-_ROUND:]
            seen.update(trees)
            waiting += _check_round(repository, trees, fault, used)
        for _ in batch:
            root_done()
    if used is not None:
        used.update(BlobHandle(BlobType.TREE, tree) for tree in seen)


def _check_round(repository: Repository, trees: list[ID], fault: Fault, used: set[BlobHandle] | None) -> list[ID]:
    """Check some trees; return those below them."""
    below: list[ID] = []
    for handle, outcome in repository.loader.load_each(BlobHandle(BlobType.TREE, tree) for tree in trees):
        try:
            nodes = parse_tree(plain_of(outcome))
        except PyresticError as error:
            fault(handle.id, [str(error)])
            continue
        below += _check_tree(repository, handle.id, nodes, fault, used)
    return below


def _check_tree(
    repository: Repository, tree: ID, nodes: list[Node], fault: Fault, used: set[BlobHandle] | None
) -> Iterator[ID]:
    faults: list[str] = []
    whole = used is None and _has_contents(repository, nodes)
    for node in nodes:
        if node.type == FILE:
            if not whole:
                faults += _check_content(repository, node, used)
        elif node.type == DIRECTORY:
            subtree = _parse(node.subtree)
            if subtree is None:
                faults.append(f'dir node "{node.name}" has no subtree')
            else:
                yield subtree
        elif node.type in (INVALID, IRREGULAR) or node.type not in _OTHER_TYPES:
            faults.append(f'node "{node.name}" with invalid type "{node.type}"')
    if faults:
        fault(tree, faults)


_OTHER_TYPES = {"symlink", "socket", "chardev", "dev", "fifo"}


def _parse(text: str | None) -> ID | None:
    try:
        identifier = bytes.fromhex(text or "")
    except ValueError:
        return None
    return identifier if len(identifier) == ID_LENGTH and identifier != _NULL else None


def _has_contents(repository: Repository, nodes: list[Node]) -> bool:
    """Tell whether the contents of all files of a tree are intact; not worthwhile for a few files."""
    contents = [node.content for node in nodes if node.type == FILE]
    if len(contents) < _FEW or None in contents:
        return False
    identifiers = bytes.fromhex("".join(text for content in contents for text in content or ()))
    return _NULL not in identifiers and repository.index.has_all(BlobType.DATA, identifiers)


def _check_content(repository: Repository, node: Node, used: set[BlobHandle] | None) -> list[str]:
    if node.content is None:
        return [f'file "{node.name}" has nil blob list']
    faults = []
    for number, text in enumerate(node.content):
        identifier = _parse(text)
        if identifier is None:
            faults.append(f'file "{node.name}" blob {number} has null ID')
            continue
        handle = BlobHandle(BlobType.DATA, identifier)
        if used is not None:
            used.add(handle)
        if not repository.index.has(handle):
            faults.append(f'file "{node.name}" blob {text} not found in index')
    return faults
