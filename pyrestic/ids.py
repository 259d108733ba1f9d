"""IDs: SHA-256 hashes, as 32 bytes inside the program and as 64 hex digits outside."""

import hashlib
from typing import TypeAlias

from typing_extensions import Buffer

from pyrestic.errors import FormatError

ID: TypeAlias = bytes
"""32 bytes. Blob IDs hash the plaintext, file IDs the stored bytes (restic design document, "Repository Format")."""

ID_LENGTH = 32
SHORT_HEX_DIGITS = 8


def hash_id(data: Buffer) -> ID:
    """Return the SHA-256 of data."""
    return hashlib.sha256(data).digest()


def parse_id(text: str) -> ID:
    """Return the ID written as 64 lower-case hex digits; raise FormatError for anything else."""
    try:
        parsed = bytes.fromhex(text)
    except ValueError:
        parsed = b""
    if len(parsed) != ID_LENGTH or parsed.hex() != text:
        raise FormatError(f"{text[:80]!r} is not an ID of 64 hex digits")
    return parsed


def split_ids(joined: bytes) -> list[ID]:
    """Return concatenated IDs."""
    return [joined[start : start + ID_LENGTH] for start in range(0, len(joined), ID_LENGTH)]


def short(identifier: ID) -> str:
    """Return the first eight hex digits, the form for display."""
    return identifier[: SHORT_HEX_DIGITS // 2].hex()
