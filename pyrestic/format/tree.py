"""Trees: the sorted entries of one folder as JSON (restic design document, "Trees and Data")."""

import msgspec

from pyrestic.errors import FormatError
from pyrestic.format import gojson
from pyrestic.format.node import Node


class _Tree(msgspec.Struct):
    nodes: list[Node]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Tree)


def encode_tree(nodes: list[Node]) -> bytes:
    """Return the bytes of a tree; raise FormatError unless names ascend strictly by their bytes."""
    _check_order(nodes)
    if any(node.linktarget_raw is not None for node in nodes):
        nodes = [node if node.linktarget_raw is None else _with_raw_target(node) for node in nodes]
    try:
        document = _encoder.encode(_Tree(nodes))
    except UnicodeEncodeError:
        document = _encoder.encode(_Tree([_with_raw_names(node) for node in nodes]))
    return gojson.escape(document) + b"\n"


def _with_raw_names(node: Node) -> Node:
    """Replace names of owners and attributes that hold undecodable bytes (surrogate escapes) by what Go writes."""
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
    target = msgspec.Raw(gojson.encode_invalid(node.raw_linktarget))
    return msgspec.structs.replace(node, linktarget=target)


def _check_order(nodes: list[Node]) -> None:
    last = b""
    for node in nodes:
        name = gojson.unquote_name(node.name)
        if name <= last:
            raise FormatError(f"the entries {last!r} and {name!r} of a folder are not in order")
        last = name


def parse_tree(data: bytes) -> list[Node]:
    """Return the nodes of a tree; unknown keys are passed over.

    Raises FormatError if the JSON does not fit, or if a name is empty, `.`, `..`, has a slash or a NUL in it or comes
    twice: such a tree cannot be restored, and no restic has written it.
    """
    try:
        nodes = _decoder.decode(data).nodes
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"a tree cannot be read: {error}") from error
    names = [gojson.unquote_name(node.name) for node in nodes]
    for name in names:
        if b"/" in name or b"\0" in name or name in (b"", b".", b".."):
            raise FormatError(f"a tree holds an entry with the impossible name {name!r}")
    if len(set(names)) != len(names):
        raise FormatError("a tree holds two entries with the same name")
    return nodes


def reproducible(data: bytes, nodes: list[Node]) -> bool:
    """Tell whether encoding nodes gives data again; if not, a rewritten tree would lose something."""
    try:
        return encode_tree(nodes) == data
    except FormatError:
        return False
