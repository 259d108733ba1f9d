"""Which version `back` restores: that of a time, the one that a person chooses, or the newest that differs."""

import io
import os
import stat
import time

from pyrestic.cli.questions import Questions
from pyrestic.cli.table import format_table
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UsageError
from pyrestic.format.gojson import SECOND
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node
from pyrestic.operations.dump import dump_file
from pyrestic.repository.repository import Repository
from pyrestic.repository.timespec import show_moment
from pyrestic.runner.wording import show_age
from pyrestic.units import format_bytes
from pyrestic.vfs.history import History, Version, age

_MOST_COMPARED_BYTES = 16 << 20
_SHOWN = 20


def find_version_at(history: History, moment_ns: int) -> Version:
    """Return the version that was there at a time; raise UsageError if there was none."""
    shown = os.fsdecode(history.location)
    span = next((span for span in history.spans if span.first.snapshot.time_ns <= moment_ns), None)
    if span is None:
        oldest = min((version.first for version in history.versions), key=age)
        raise UsageError(
            f"no snapshot of {shown} is as old as {show_moment(moment_ns)}",
            hint=f"The oldest is of {show_moment(oldest.snapshot.time_ns)}.",
        )
    version = next((version for version in history.versions if span in version.spans), None)
    if version is None:
        raise UsageError(
            f"{shown} was not there at {show_moment(moment_ns)}",
            hint=f"`pyrestic history {shown}` shows when it was.",
        )
    return version


def find_differing(repository: Repository, history: History, path: str) -> Version | None:
    """Return the newest version that differs from what is on disk; None if the newest is on disk and the only one."""
    return next((one for one in history.versions if not is_on_disk(repository, one, path)), None)


def is_on_disk(repository: Repository, version: Version, path: str) -> bool:
    """Tell whether a file or link on disk is this version; a folder never is, and nor is what cannot be read."""
    node = version.node
    try:
        status = os.lstat(path)
        if node is None or node.type == DIRECTORY:
            return False
        if node.type == SYMLINK:
            return stat.S_ISLNK(status.st_mode) and os.readlink(os.fsencode(path)) == node.raw_linktarget
        if node.type != FILE or not stat.S_ISREG(status.st_mode) or status.st_size != node.size:
            return False
        if any(span.state.mtime_ns == status.st_mtime_ns for span in version.spans):
            return True
        return node.size <= _MOST_COMPARED_BYTES and _read(path) == _content(repository, node)
    except (OSError, PyresticError):
        return False


def choose_version(
    repository: Repository, terminal: Terminal, questions: Questions, history: History, path: str, default: Version
) -> Version:
    """Show the versions and ask which one is wanted; raise UsageError for a number that is not in the list."""
    versions = history.versions
    now = time.time()
    rows = [
        [
            str(number),
            show_age(now - version.state.mtime_ns / SECOND),
            show_moment(version.state.mtime_ns),
            format_bytes(version.state.size),
            _change(version),
            "on disk" if is_on_disk(repository, version, path) else "",
        ]
        for number, version in enumerate(versions[:_SHOWN], 1)
    ]
    more = [f"{len(versions) - _SHOWN} older versions: `pyrestic history` lists them, --at TIME names one"]
    terminal.print(f"{os.fsdecode(history.location)}:")
    columns = ["#", "Age", "Modified", "Size", "Change", ""]
    terminal.print(*format_table(columns, rows, more * (len(versions) > _SHOWN), quoted=terminal.is_terminal))
    if len(versions) == 1:
        return default
    answer = questions.ask("Which version", flag="--at TIME", default=str(versions.index(default) + 1))
    if not answer.isdecimal() or not 1 <= int(answer) <= len(versions):
        raise UsageError(f"there is no version {answer}", hint=f"Give a number from 1 to {len(versions)}.")
    return versions[int(answer) - 1]


def _change(version: Version) -> str:
    change = version.change
    return "" if not change else f"{'-' if change < 0 else '+'}{format_bytes(abs(change))}"


def _content(repository: Repository, node: Node) -> bytes:
    content = io.BytesIO()
    dump_file(repository, node, content)
    return content.getvalue()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MOST_COMPARED_BYTES + 1)
