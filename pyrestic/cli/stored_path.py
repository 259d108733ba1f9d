"""What a path on the command line means in a snapshot: the stored path, or else the path of this machine.

`SNAPSHOT:PATH` names a stored path, as in restic. People type paths of their machine: relative to the
working folder, or with a tilde. Where the stored path does not exist, that meaning is tried, and a note says so.
"""

import contextlib
import os
import posixpath
from collections.abc import Callable
from typing import TypeVar

from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UsageError
from pyrestic.ids import short
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import StoredSnapshot, read_snapshots
from pyrestic.repository.timespec import show_moment

T = TypeVar("T")
_LOOKED_AT = 500
"""How many of the newest snapshots are searched for a path that one of them lacks."""


def find_meant(
    repository: Repository, terminal: Terminal, found: StoredSnapshot, path: str, find: Callable[[str], T]
) -> T:
    """Return what `find` returns for a stored path, or else for the path of this machine; raise PyresticError.

    `find` raises UsageError for a path that the snapshot lacks. The error then names the nearest names, and the newest
    other snapshot that has the path.
    """
    try:
        return find(path)
    except UsageError as error:
        local = local_path(path)
        try:
            meant = find(local)
        except UsageError:
            elsewhere = ""
            with contextlib.suppress(PyresticError):
                # What cannot be read there is not what was asked for.
                elsewhere = _find_elsewhere(repository, found, (path, local))
            error.hint = "\n".join(filter(None, (error.hint, elsewhere)))
            raise error from None
    terminal.complain(f"snapshot {short(found.id)} has no path {path}: using {local}")
    return meant


def local_path(path: str) -> str:
    """Return the absolute form of a path of this machine."""
    return os.path.abspath(os.path.expanduser(path))


def _find_elsewhere(repository: Repository, found: StoredSnapshot, paths: tuple[str, ...]) -> str:
    """Return a sentence with the newest other snapshot that has one of the paths, "" if none has."""
    # This imports the history search, which only this message needs.
    from pyrestic.vfs.history import age, find_nodes
    from pyrestic.vfs.tree_summaries import Trees

    others = [other for other in read_snapshots(repository).found if other.id != found.id]
    others.sort(key=age, reverse=True)
    trees = Trees(repository, None, NullReporter())
    roots = {other.snapshot.tree_id for other in others[:_LOOKED_AT]}
    for path in dict.fromkeys(posixpath.normpath("/" + path.lstrip("/")) for path in paths):
        names = [name for name in os.fsencode(path).split(b"/") if name]
        nodes = find_nodes(trees, roots, names)
        newest = next((other for other in others if nodes.get(other.snapshot.tree_id) is not None), None)
        if newest is not None:
            return f"Snapshot {short(newest.id)} of {show_moment(newest.snapshot.time_ns)} has {path}."
    return ""
