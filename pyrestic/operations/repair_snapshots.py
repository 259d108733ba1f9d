"""Repair snapshots: write them anew without what cannot be read any more.

Files keep those parts of their content that the index names, folders whose tree cannot be read become empty, and a
snapshot whose root cannot be read goes.
"""

from collections.abc import Callable, Iterable

import msgspec

from pyrestic.errors import PyresticError
from pyrestic.format.node import FILE, INVALID, IRREGULAR, Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import parse_id, short
from pyrestic.operations.describe import describe_snapshot
from pyrestic.operations.replace_snapshot import Replacement, ReplaceOptions, Replacer, ReplaceResult
from pyrestic.operations.rewrite_tree import TreeRewriter, describe_error, quote
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot

TAG = "repaired"


def repair_snapshots(
    repository: Repository,
    wanted: Iterable[StoredSnapshot],
    options: ReplaceOptions,
    report: Reporter,
    ensure_locked: Callable[[], None],
) -> ReplaceResult:
    """Repair those of the snapshots that need it; the index has to be loaded. Raises PyresticError."""
    rules = _Rules(repository, report)
    rewriter = TreeRewriter(repository, rules.rewrite_node, failed_tree=rules.failed_tree)
    replacer = Replacer(repository, options, report, ensure_locked)
    for stored in wanted:
        report.note(f"\n{describe_snapshot(stored)}")
        try:
            replacer.replace(stored, Replacement(rewriter.rewrite(stored.snapshot.tree_id)))
        except PyresticError as error:
            raise describe_error(error, short(stored.id)) from error
    return replacer.finish()


class _Rules:
    def __init__(self, repository: Repository, report: Reporter) -> None:
        self._index = repository.index
        self._report = report

    def rewrite_node(self, node: Node, location: bytes) -> Node | None:
        if node.type in (IRREGULAR, INVALID):
            self._report.note(f'  file {quote(location)}: removed node with invalid type "{node.type}"')
            return None
        if node.type != FILE:
            return node
        content: list[str] = []
        size = 0
        for text in node.content or ():
            length = self._index.plain_length(BlobHandle(BlobType.DATA, parse_id(text)))
            if length is not None:
                content.append(text)
                size += length
        if len(content) < len(node.content or ()):
            self._report.note(f"  file {quote(location)}: removed missing content")
        elif size != node.size:
            self._report.note(f"  file {quote(location)}: fixed incorrect size")
        elif node.content is not None:
            return node
        return msgspec.structs.replace(node, content=content, size=size)

    def failed_tree(self, location: bytes) -> list[Node] | None:
        if location == b"/":
            self._report.note(f"  dir {quote(location)}: not readable")
            return None
        self._report.note(f"  dir {quote(location)}: replaced with empty directory")
        return []
