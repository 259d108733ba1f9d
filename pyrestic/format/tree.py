"""Trees: the sorted entries of one folder as JSON (restic design document, "Trees and Data")."""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from operator import attrgetter, lt
from typing import NamedTuple

import msgspec

from pyrestic.errors import FormatError
from pyrestic.format import document as json_document
from pyrestic.format import gojson
from pyrestic.format.node import DIRECTORY, FILE, Hex, Node
from pyrestic.ids import ID, ID_LENGTH, split_ids


class _Tree(msgspec.Struct):
    # `repair snapshots` of restic 0.16 to 0.18 wrote null for an emptied folder.
    nodes: list[Node] | None


class _NodeLinks(msgspec.Struct, gc=False):
    """The fields of a node that name blobs: decoding only these is faster."""

    type: str
    content: list[Hex] | None = None
    subtree: Hex | None = None


class _TreeLinks(msgspec.Struct):
    nodes: list[_NodeLinks] | None


class ImpossibleNamesError(FormatError):
    """A tree has entries that cannot be restored; `nodes` are the others."""

    def __init__(self, message: str, nodes: list[Node]) -> None:
        super().__init__(message)
        self.nodes = nodes


class Links(NamedTuple):
    """The blobs of a tree: the trees of its folders, and the content of its files."""

    trees: list[ID]
    content: list[ID]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Tree)
_links_decoder = msgspec.json.Decoder(_TreeLinks)
_raw_targets = attrgetter("linktarget_raw")
_IMPOSSIBLE_NAMES = {"", ".", ".."}


class TreePart(NamedTuple):
    """Consecutive nodes of a tree, encoded, which takes a third of their memory.

    `first` and `last` are names, unquoted.
    """

    first: bytes
    last: bytes
    document: bytes


def encode_tree(entries: Sequence[Node | TreePart]) -> bytes:
    """Return the bytes of a tree; raise FormatError unless names ascend strictly by their bytes."""
    pieces: list[bytes] = []
    last = b""
    for part in _parts(entries):
        if not last < part.first:
            raise _disorder(last, part.first)
        last = part.last
        pieces += (b",", part.document)
    return b"".join((b'{"nodes":[', *pieces[1:], b"]}\n"))


def _parts(entries: Sequence[Node | TreePart]) -> Iterator[TreePart]:
    """Iterate the given parts, and parts made of the nodes between them."""
    nodes: list[Node] = []
    for entry in entries:
        if isinstance(entry, Node):
            nodes.append(entry)
            continue
        if nodes:
            yield encode_part(nodes)
            nodes = []
        yield entry
    if nodes:
        yield encode_part(nodes)


def encode_part(nodes: list[Node]) -> TreePart:
    """Return nodes, at least one, as a part of a tree; raises as encode_tree does."""
    names = _comparable_names(nodes)
    if not all(map(lt, names, islice(names, 1, None))):
        ordered = [gojson.unquote_name(node.name) for node in nodes]
        raise next(_disorder(one, other) for one, other in pairwise(ordered) if one >= other)
    if any(map(_raw_targets, nodes)):
        nodes = [node if node.linktarget_raw is None else _with_raw_target(node) for node in nodes]
    try:
        document = _encoder.encode(nodes)
    except UnicodeEncodeError:
        document = _encoder.encode([_with_raw_names(node) for node in nodes])
    first, last = (gojson.unquote_name(node.name) for node in (nodes[0], nodes[-1]))
    return TreePart(first, last, gojson.escape(document)[1:-1])


def parse_part(part: TreePart) -> list[Node]:
    """Return the nodes of a part of a tree."""
    return parse_tree(b'{"nodes":[' + part.document + b"]}")


def _disorder(one: bytes, other: bytes) -> FormatError:
    shown, next_shown = (name.decode("utf-8", "backslashreplace") for name in (one, other))
    found = f"{shown!r} before {next_shown!r}" if other else "one has no name"
    return FormatError(f"the entries of a folder are not in order: {found}")


def _with_raw_names(node: Node) -> Node:
    """Replace owner and attribute names with undecodable bytes (surrogate escapes) by what Go writes."""
    attributes = [
        msgspec.structs.replace(attribute, name=_raw_name(attribute.name))
        for attribute in node.extended_attributes or ()
    ]
    return msgspec.structs.replace(
        node, user=_raw_name(node.user), group=_raw_name(node.group), extended_attributes=attributes or None
    )


def _raw_name(name: str) -> str | msgspec.Raw:
    if name.isascii():
        return name
    return msgspec.Raw(gojson.encode_invalid(name.encode("utf-8", "surrogateescape")))


def _with_raw_target(node: Node) -> Node:
    """Write a target that is not UTF-8 twice, as restic does: with replacements, and in base64."""
    raw = node.raw_linktarget
    target = msgspec.Raw(gojson.encode_invalid(raw))
    return msgspec.structs.replace(node, linktarget=target, linktarget_raw=None if gojson.is_utf8(raw) else raw)


def parse_tree(data: bytes) -> list[Node]:
    """Return the nodes of a tree; unknown keys are ignored.

    Raises FormatError if the JSON does not fit or an ID is invalid. A name that is quoted incorrectly, is empty, `.`,
    `..`, contains a slash or a NUL, or appears twice cannot be restored, and no restic has written it: that raises
    ImpossibleNamesError, which has the other nodes.
    """
    nodes = json_document.decode(_decoder, data, "a tree").nodes or []
    _check_ids(nodes)
    try:
        names = _comparable_names(nodes)
    except FormatError:
        raise _impossible(nodes) from None
    joined = "".join(names)
    if "/" in joined or "\0" in joined or not _IMPOSSIBLE_NAMES.isdisjoint(names) or len(set(names)) != len(names):
        raise _impossible(nodes)
    return nodes


def _impossible(nodes: list[Node]) -> ImpossibleNamesError:
    """Return the error that lists the impossible names, with all other nodes."""
    possible: dict[bytes, Node] = {}
    faults: list[str] = []
    for node in nodes:
        shown = repr(node.name[:200])
        try:
            name = node.raw_name
        except FormatError:
            faults.append(f"an entry with the impossible name {shown}")
            continue
        if b"/" in name or b"\0" in name or name in (b"", b".", b".."):
            faults.append(f"an entry with the impossible name {shown}")
        elif name in possible:
            faults.append(f"two entries with the same name {shown}")
        else:
            possible[name] = node
    more = f" and {len(faults) - 1} more like that" if len(faults) > 1 else ""
    return ImpossibleNamesError(f"a tree holds {faults[0]}{more}", list(possible.values()))


def parse_links(data: bytes) -> Links:
    """Return the blobs of the files and folders of a tree; raise FormatError for an invalid ID.

    The rest of the tree is ignored.
    """
    trees: list[str] = []
    content: list[str] = []
    for node in json_document.decode(_links_decoder, data, "a tree").nodes or ():
        if node.type == FILE:
            content += node.content or ()
        elif node.type == DIRECTORY and node.subtree is not None:
            trees.append(node.subtree)
    return Links(_parse_ids(trees), _parse_ids(content))


def _parse_ids(texts: list[str]) -> list[ID]:
    """Return IDs of texts that have 64 characters."""
    try:
        joined = bytes.fromhex("".join(texts))
    except ValueError:
        joined = b""
    # Whitespace between digits would have been skipped silently.
    if len(joined) != ID_LENGTH * len(texts):
        raise FormatError("a tree holds a content that is not an ID of 64 hex digits")
    return split_ids(joined)


def _comparable_names(nodes: list[Node]) -> list[str]:
    """Return names, unquoted, as text that sorts like their bytes, as code points do, and latin-1 as well."""
    names = [node.name for node in nodes]
    joined = "".join(names)
    if "\\" not in joined and '"' not in joined and "\n" not in joined:
        return names
    return [gojson.unquote_name(name).decode("latin-1") for name in names]


def _check_ids(nodes: list[Node]) -> None:
    """Raise FormatError unless every ID is lower-case hex; decoding has checked their lengths."""
    found: list[str] = []
    for node in nodes:
        if node.content:
            found += node.content
        if node.subtree is not None:
            found.append(node.subtree)
    text = "".join(found)
    try:
        correct = bytes.fromhex(text).hex() == text
    except ValueError:
        correct = False
    if not correct:
        raise FormatError("a tree holds a content that is not an ID of 64 hex digits")


def reproducible(data: bytes, nodes: list[Node]) -> bool:
    """Tell whether encoding nodes returns data; if not, a rewritten tree would lose information."""
    try:
        return encode_tree(nodes) == data
    except FormatError:
        return False
