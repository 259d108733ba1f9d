"""What is compared of a program's output and of the files that it left, without what chance and the clock decide."""

import hashlib
import io
import json
import os
import re
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

from pyrestic.operations.archive_names import safe_zip_name

_HOUR = 3600
_LEFT_OUT = (
    # What is told while a command runs, as far as the clock has a say in it.
    re.compile(r"^…?\d+\.\d+%  \d+ / \d+ snapshots, "),
    re.compile(r"^using temporary cache in "),
    # Rows of docs/differences.md: `key passwd` names the new key.
    re.compile(r"^saved new key as "),
    # A pipe right in the folder that is dumped is an empty file there.
    re.compile(r"^pipe (b'0' )?0$"),
)


def _is_archive(data: bytes) -> bool:
    return data[257:262] == b"ustar" or data.startswith(b"PK\3\4")


def is_left_out(line: str) -> bool:
    return any(one.search(line) for one in _LEFT_OUT)


def _zip_name(name: str) -> str:
    """Return a name in an archive; those that would do harm, which ours change, are all alike."""
    given = name.encode("utf-8", "surrogateescape")
    return "…" if "~" in name or safe_zip_name(given) != given else name


def lines_of(output: bytes) -> list[str]:
    """Return the lines of an output, one word for a page of help, and of an archive the names in it."""
    if _is_archive(output) and not output.startswith(b"PK"):
        with tarfile.open(fileobj=io.BytesIO(output)) as archive:
            return [f"{member.name} {member.type!r} {member.size}" for member in archive]
    if _is_archive(output):
        return [f"{_zip_name(info.filename)} {info.CRC}" for info in zipfile.ZipFile(io.BytesIO(output)).infolist()]
    out = output.decode("utf-8", "replace")
    if "\nUsage:\n" in out or out.startswith("Usage: "):
        return ["help"]
    return out.splitlines()


def parse_message(text: str) -> Any:
    """Return what a line of JSON means, None for other text."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def sort_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def is_result(message: Any) -> bool:
    """Tell whether a message is part of the result: progress is not, nor a scan that was not done in time."""
    if not isinstance(message, dict):
        return True
    return message.get("message_type") not in ("status", "preflight") and message.get("action") != "scan_finished"


def names_below(folder: Path) -> set[tuple[str, int]]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {(str(path.relative_to(folder)), path.stat().st_size) for path in found}


def files_below(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return kind, mode, links, time and content of all but the sources; what is of this hour has no time."""
    found = {}
    recently = time.time() - _HOUR
    for name in sorted(set(os.listdir(folder)) - {"source"}):
        for path in (folder / name, *(folder / name).rglob("*")):
            status = path.lstat()
            mtime = status.st_mtime_ns if status.st_mtime < recently else 0
            content = _content_of(path) if path.is_file() and not path.is_symlink() else ""
            target = os.readlink(path) if path.is_symlink() else ""
            found[os.fsdecode(path.relative_to(folder))] = (oct(status.st_mode), mtime, content, target)
    return found


def _content_of(path: Path) -> Any:
    """Return a digest of a file, and of an archive what is in it."""
    data = path.read_bytes()
    shown = lines_of(data) if _is_archive(data) else []
    return [line for line in shown if not is_left_out(line)] or hashlib.sha256(data).hexdigest()


def narrow(one: Any, two: Any) -> str:
    """Return what differs between two values, as short as it gets."""
    if isinstance(one, list) and isinstance(two, list):
        first, second = [x for x in one if x not in two], [x for x in two if x not in one]
        return f"{first!r:.600} | {second!r:.600}"
    if isinstance(one, dict) and isinstance(two, dict):
        keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
        shown = [f"{key}: {narrow(one.get(key), two.get(key))}" for key in keys[:6]]
        return "; ".join(shown)
    return f"{one!r:.300} | {two!r:.300}"
