"""The differences between two versions of a path: lines of text, or the changes in a folder."""

import difflib
import io

from pyrestic.cli.commands.diff import print_change
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import UsageError
from pyrestic.format.node import DIRECTORY, FILE, Node
from pyrestic.ids import parse_id, short
from pyrestic.operations.diff import Diff
from pyrestic.operations.dump import dump_file
from pyrestic.repository.repository import Repository
from pyrestic.repository.timespec import show_moment
from pyrestic.vfs.history import Version

_MOST_BYTES = 4 << 20
_LOOKED_AT = 8000
_SHOWN_LINES = 60

Place = tuple[bytes, Version]
"""A version, and its location."""


def show_difference(repository: Repository, terminal: Terminal, before: Place, after: Place) -> None:
    """Print a unified diff; raise UsageError if there is none, PyresticError if a content cannot be read."""
    old, new = _node(before), _node(after)
    if not repository.index_files:
        repository.load_index(terminal)
    if old.subtree is not None and new.subtree is not None:
        terminal.print(f"--- {_label(before)}", f"+++ {_label(after)}")
        comparison = Diff(repository, parse_id(old.subtree), parse_id(new.subtree), terminal, metadata=True)
        for change in comparison.changes():
            print_change(terminal, change)
        return
    contents = _content(repository, old), _content(repository, new)
    if any(b"\0" in content[:_LOOKED_AT] for content in contents):
        terminal.print(f"Binary files {_label(before)} and {_label(after)} differ")
        return
    for line in _compare(contents[0], contents[1], _label(before), _label(after)):
        terminal.print(line)


def show_change_to_file(repository: Repository, terminal: Terminal, path: str, version: Place) -> None:
    """Print how a version differs from a file on disk, if both are texts of moderate length, and not all of it."""
    node = _node(version)
    try:
        with open(path, "rb") as file:
            present = file.read(_MOST_BYTES + 1)
    except OSError:
        return
    if len(present) > _MOST_BYTES or node.size > _MOST_BYTES:
        return
    wanted = _content(repository, node)
    if any(b"\0" in content[:_LOOKED_AT] for content in (present, wanted)):
        terminal.print(f"{path} and the version of {show_moment(version[1].state.mtime_ns)} are no texts, and differ")
        return
    lines = _compare(present, wanted, f"{path} (on disk)", _label(version))
    terminal.print(*lines[:_SHOWN_LINES])
    if len(lines) > _SHOWN_LINES:
        terminal.print(f"… {len(lines) - _SHOWN_LINES} more lines")


def _node(place: Place) -> Node:
    node = place[1].node
    assert node is not None  # noqa: S101 - versions are no absences
    return node


def _label(place: Place) -> str:
    location, version = place
    shown = location.decode("utf-8", "surrogateescape")
    return f"{shown} ({show_moment(version.state.mtime_ns)}, snapshot {short(version.first.id)})"


def _content(repository: Repository, node: Node) -> bytes:
    if node.type != FILE:
        if node.type == DIRECTORY:
            raise UsageError("a folder and a file cannot be compared")
        return node.raw_linktarget + b"\n"
    if node.size > _MOST_BYTES:
        raise UsageError(
            f"the file has {node.size} bytes, too many to compare line by line",
            hint="Write both versions to files with `pyrestic dump` and compare them.",
        )
    content = io.BytesIO()
    dump_file(repository, node, content)
    return content.getvalue()


def _compare(before: bytes, after: bytes, old: str, new: str) -> list[str]:
    """Return the lines of a unified diff."""
    found = []
    for line in difflib.unified_diff(_lines(before), _lines(after), old, new):
        found.append(line.removesuffix("\n"))
        if not line.endswith("\n"):
            found.append("\\ No newline at end of file")
    return found


def _lines(content: bytes) -> list[str]:
    """Return lines with their ends; only a newline ends a line."""
    *whole, rest = content.decode("utf-8", "surrogateescape").split("\n")
    return [f"{line}\n" for line in whole] + [rest] * bool(rest)
