"""WebDAV queries and their responses (RFC 4918, PROPFIND): XML in, XML out, no files and no network.

Requests are small and cannot make the parser expand or fetch anything: any document type is rejected. A response is
generated piece by piece, so that a folder of any length needs little memory.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import defusedxml
from defusedxml import ElementTree

from pyrestic.errors import UsageError

MAX_BODY_BYTES: Final = 64 << 10
_MAX_NAMES: Final = 200
_MAX_NAME_LENGTH: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAV: Final = "{DAV:}"
_AT_ONCE: Final = 200
_is_plain = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*").fullmatch
_unfit = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

HEAD: Final = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
TAIL: Final = "</D:multistatus>\n"
FINITE_DEPTH: Final = (
    '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>\n'
)


class Asked(NamedTuple):
    """The requested properties, as {namespace}name; None for all. `names_only` requests only their names."""

    properties: tuple[str, ...] | None = None
    names_only: bool = False


class Resource(NamedTuple):
    """A file or folder in a response. `href` is an escaped path; a folder has no length, type and tag."""

    href: str
    name: str
    modified_ns: int | None
    is_folder: bool
    length: int = 0
    kind: str = ""
    tag: str = ""


def parse_propfind(body: bytes) -> Asked:
    """Return the properties that a request asks for, all if it is empty; raise UsageError if it is invalid."""
    if not body.strip():
        return Asked()
    if len(body) > MAX_BODY_BYTES:
        raise UsageError("the request is too long")
    try:
        root = ElementTree.fromstring(body, forbid_dtd=True)
    except (ElementTree.ParseError, defusedxml.DefusedXmlException, ValueError, LookupError) as error:
        # A LookupError means an unknown encoding.
        raise UsageError("the request is not XML, or has a document type") from error
    if root.tag != f"{_DAV}propfind":
        raise UsageError("the request is not a PROPFIND")
    for child in root:
        if child.tag == f"{_DAV}propname":
            return Asked(names_only=True)
        if child.tag == f"{_DAV}allprop":
            return Asked()
        if child.tag == f"{_DAV}prop":
            names = tuple(dict.fromkeys(str(one.tag) for one in child))
            if len(names) > _MAX_NAMES or any(len(name) > _MAX_NAME_LENGTH for name in names):
                raise UsageError("the request asks for too many properties")
            return Asked(names)
    raise UsageError("the request does not name any properties")


def make_answer(resources: Iterable[Resource], asked: Asked) -> Iterator[bytes]:
    """Iterate the pieces of the response for some resources."""
    pieces = [HEAD]
    for number, resource in enumerate(resources, 1):
        pieces.append(_describe(resource, asked))
        if number % _AT_ONCE == 0:
            yield "".join(pieces).encode()
            pieces = []
    yield "".join([*pieces, TAIL]).encode()


def _describe(resource: Resource, asked: Asked) -> str:
    known = _properties(resource)
    missing: list[str] = []
    if asked.names_only:
        found = [f"<D:{name}/>" for name in known]
    elif asked.properties is None:
        found = [f"<D:{name}>{value}</D:{name}>" for name, value in known.items()]
    else:
        found = []
        for wanted in asked.properties:
            name = wanted.removeprefix(_DAV)
            if name != wanted and name in known:
                found.append(f"<D:{name}>{known[name]}</D:{name}>")
            else:
                missing.append(_empty_element(wanted))
    states = [_state(found, "200 OK")] if found or not missing else []
    states += [_state(missing, "404 Not Found")] if missing else []
    return f"<D:response><D:href>{escape(resource.href)}</D:href>{''.join(states)}</D:response>\n"


def _state(properties: list[str], status: str) -> str:
    return f"<D:propstat><D:prop>{''.join(properties)}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"


def _properties(resource: Resource) -> dict[str, str]:
    """Return the DAV: properties by name, as XML; those for locks are empty."""
    found = {
        "resourcetype": "<D:collection/>" if resource.is_folder else "",
        "displayname": escape(_unfit.sub("\ufffd", resource.name)),
        "supportedlock": "",
        "lockdiscovery": "",
    }
    if resource.modified_ns is not None and (moment := http_date(resource.modified_ns)):
        found["getlastmodified"] = moment
    if not resource.is_folder:
        found["getcontentlength"] = str(resource.length)
        found["getcontenttype"] = escape(resource.kind)
        found["getetag"] = escape(resource.tag)
    return found


def http_date(ns: int) -> str:
    """Return a time in nanoseconds since 1970 in HTTP's format, "" if HTTP cannot express it."""
    try:
        return format_datetime(_EPOCH + timedelta(seconds=ns // 1_000_000_000), usegmt=True)
    except OverflowError:
        return ""


def _empty_element(name: str) -> str:
    """Return an empty element with a name {namespace}name from a request."""
    namespace, _, plain = name.removeprefix("{").rpartition("}")
    namespace = _unfit.sub("", namespace)
    if not _is_plain(plain) or "}" in namespace or namespace.startswith("http://www.w3.org/"):
        # Names with other characters, or in XML's own namespaces, are reported as unknown and not repeated.
        return "<D:unknown/>"
    if not namespace:
        return f"<{plain}/>"
    return f'<x:{plain} xmlns:x="{escape(namespace, {chr(34): "&quot;"})}"/>'
