"""Formats lengths, times and names for pages."""

import stat
from collections.abc import Iterable
from datetime import UTC, datetime

from pyrestic.format.gojson import SECOND
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_KINDS = {
    FILE: "File",
    DIRECTORY: "Folder",
    SYMLINK: "Link",
    "dev": "Block device",
    "chardev": "Device",
    "fifo": "Pipe",
    "socket": "Socket",
}


def show_bytes(count: int) -> str:
    """Return a length in three digits, such as 1.46 KiB, 12.3 MiB or 12 bytes."""
    value, unit = float(count), 0
    # 999.5 would be shown with four digits.
    while abs(value) >= (_STEP if unit == 0 else 999.5) and unit < len(_UNITS) - 1:
        value /= _STEP
        unit += 1
    if unit == 0:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    digits = max(0, 2 - (abs(value) >= 9.995) - (abs(value) >= 99.95))
    return f"{value:.{digits}f} {_UNITS[unit]}"


def show_change(count: int) -> str:
    """Return a change of length with its sign, such as +1.46 KiB or ±0."""
    if not count:
        return "±0"
    return ("+" if count > 0 else "\N{MINUS SIGN}") + show_bytes(abs(count))


def show_count(count: int) -> str:
    """Return a number with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def local_time(time_ns: int) -> datetime:
    """Return a time in the local zone; a time outside the calendar becomes its start or end."""
    try:
        return datetime.fromtimestamp(time_ns // SECOND, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC) if time_ns > 0 else datetime.min.replace(tzinfo=UTC)


def show_time(time_ns: int) -> str:
    """Return day and minute, such as 2026-03-01 14:30."""
    return local_time(time_ns).isoformat(" ", "minutes")[:16]


def machine_time(time_ns: int) -> str:
    """Return the time in the form of a time element's attribute."""
    return local_time(time_ns).isoformat(timespec="seconds")


def show_name(name: bytes) -> str:
    """Return a name as text; bytes that are not UTF-8 and invisible characters become replacement characters."""
    text = name.decode("utf-8", "replace")
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def show_text(text: str) -> str:
    """Return text from the repository that may contain surrogates or invisible characters."""
    return show_name(text.encode("utf-8", "surrogateescape"))


def show_kind(node: Node) -> str:
    """Return the type of a node."""
    return _KINDS.get(node.type, "Unknown")


def show_mode(node: Node) -> str:
    """Return type and permissions in ls's form."""
    return stat.filemode(node.st_mode)


def list_words(words: Iterable[str]) -> str:
    """Return words as a comma-separated list."""
    return ", ".join(words)
