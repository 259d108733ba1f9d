"""Addresses of pages: /VERB/SNAPSHOT/PATH, where the path has the raw bytes of the names."""

from urllib.parse import parse_qs, quote, unquote_to_bytes, urlencode

from starlette.requests import Request

from pyrestic.repository.snapshots import StoredSnapshot

_ID_DIGITS = 12
ROOT = b"/"


def short_id(stored: StoredSnapshot) -> str:
    """Return the prefix of a snapshot's ID for addresses."""
    return stored.id.hex()[:_ID_DIGITS]


def address(verb: str, stored: StoredSnapshot, location: bytes = ROOT, /, **query: object) -> str:
    """Return the address of a page about a location in a snapshot; None values of the query are omitted."""
    return with_query(f"/{verb}/{short_id(stored)}{quote(location.rstrip(b'/') or b'/', safe='/')}", **query)


def with_query(path: str, /, **query: object) -> str:
    """Return an address with a query, without None or empty values."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, errors='surrogateescape')}" if given else path


def requested_location(request: Request, before: int = 2) -> bytes:
    """Return the location at the end of an address, after `before` other parts."""
    path: bytes = request.scope["raw_path"].partition(b"?")[0]
    parts = path.split(b"/", before + 1)
    return clean_location(unquote_to_bytes(parts[before + 1])) if len(parts) > before + 1 else b"/"


def clean_location(location: bytes) -> bytes:
    """Return a location with one slash before each name and none at the end."""
    return b"/" + b"/".join(split_location(location))


def below(folder: bytes, name: bytes) -> bytes:
    """Return the location of a name in a folder."""
    return folder.rstrip(b"/") + b"/" + name


def split_location(location: bytes) -> list[bytes]:
    """Return the names on the path to a location."""
    return [part for part in location.split(b"/") if part]


def requested_bytes(request: Request, name: str) -> bytes:
    """Return the raw bytes of a query value, empty if it is missing."""
    query: str = request.scope["query_string"].decode("latin-1")
    return parse_qs(query, errors="surrogateescape").get(name, [""])[0].encode("utf-8", "surrogateescape")


def requested_number(request: Request, name: str, default: int, least: int = 1, most: int = 10_000_000) -> int:
    """Return a number of the query within its limits, the default if it is invalid."""
    text = request.query_params.get(name, "")
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return default
    return max(least, min(most, int(text)))
