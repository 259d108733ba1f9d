"""Restores entries of snapshots to where they belong on this machine; nothing that is there is ever replaced.

A version of something that exists comes beside it under a name with its date, or takes its place, and what was there
stays beside it.
"""

import os
import posixpath
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.format.gojson import SECOND
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID
from pyrestic.localfs.move_new import move_new
from pyrestic.operations.missing import MissingOnly
from pyrestic.operations.restore import Restore
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_root import Named
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import walk

_MOST_BYTES = 255
"""Maximum length of a name on most file systems."""


class RestoredVersion(NamedTuple):
    """The result for one version: where it is now, and where the entry is that was in its place, None for none."""

    path: bytes
    kept: bytes | None


def find_missing(repository: Repository, tree: ID, target: str) -> list[tuple[bytes, Node]]:
    """Return the locations and nodes below a tree that a folder lacks; of a missing folder, only itself.

    Raises PyresticError if a tree cannot be read, LocalFileError if the folder cannot.
    """
    missing = MissingOnly(target, None)
    missing.open()
    found = []
    try:
        enter: dict[bytes, bool] = {}
        for location, node, _ in walk(repository, tree, enter=lambda location, _: enter.pop(location)):
            is_folder = node.type == DIRECTORY
            is_missing, below = missing.select(location, is_folder)
            if is_missing:
                found.append((location, node))
            if is_folder:
                enter[location] = below and not is_missing
    finally:
        missing.close()
    return found


def restore_missing(
    repository: Repository,
    things: Mapping[str, Sequence[tuple[bytes, Node]]],
    report: Reporter,
    *,
    warn: Callable[[str], None] | None = None,
    state_folder: str = "",
) -> int:
    """Restore entries with their names into folders that lack them; return the number of files, folders included.

    Raises PyresticError at the end if some could not be restored; they go to `report.error`.
    """
    count = errors = 0
    for folder, named in things.items():
        options = RestoreOptions(missing=True)
        restore = Restore(repository, Named(named), folder, options, report, warn=warn, state_folder=state_folder)
        result = restore.run()
        count += result.counts.files_restored
        errors += result.counts.error_count
    if errors:
        raise PyresticError(f"There were {errors} errors")
    return count


def restore_version(
    repository: Repository,
    node: Node,
    path: str,
    moment_ns: int,
    report: Reporter,
    *,
    in_place: bool = False,
    warn: Callable[[str], None] | None = None,
    state_folder: str = "",
) -> RestoredVersion:
    """Restore a version of the entry at a local path: there if nothing is there, else beside it or in its place.

    `moment_ns` is the date of the version for its name, in nanoseconds since 1970. Raises PyresticError.
    """
    raw = os.fsencode(path)
    folder, name = os.path.split(raw)
    is_there = os.path.lexists(raw)
    chosen = beside_name(name, moment_ns, _names(folder)) if is_there else name
    restore_missing(repository, {os.fsdecode(folder): [(chosen, node)]}, report, warn=warn, state_folder=state_folder)
    restored = os.path.join(folder, chosen)
    if not (is_there and in_place):
        return RestoredVersion(restored, None)
    return RestoredVersion(raw, _swap(folder, name, chosen))


def beside_name(name: bytes, moment_ns: int, taken: Iterable[bytes]) -> bytes:
    """Return a name such as `notes (2026-03-01 18.55).txt` in the local zone, with a number if that is taken."""
    there = set(taken)
    when = time.strftime("%Y-%m-%d %H.%M", time.localtime(moment_ns // SECOND))
    stem, extension = posixpath.splitext(name)
    number = 1
    while True:
        rest = f" ({when}{f' {number}' if number > 1 else ''})".encode() + extension
        if len(rest) >= _MOST_BYTES:
            # The extension alone is too long to be one.
            stem, extension = name, b""
            continue
        chosen = stem[: _MOST_BYTES - len(rest)] + rest
        if chosen not in there:
            return chosen
        number += 1


def _names(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise _failure(folder, "listed", error) from error


def _swap(folder: bytes, name: bytes, restored: bytes) -> bytes:
    """Let a restored entry take the place of another one; return where that is now.

    A file's name means one of the two at every moment.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            present = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            kept = beside_name(name, present.st_mtime_ns, os.listdir(folder))
            if not _keep_link(descriptor, name, kept):
                os.rename(name, kept, src_dir_fd=descriptor, dst_dir_fd=descriptor)
                if not move_new(descriptor, restored, descriptor, name):
                    raise LocalFileError(f"something new is at {os.fsdecode(os.path.join(folder, name))}")
                return os.path.join(folder, kept)
            os.rename(restored, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _failure(os.path.join(folder, name), "replaced", error) from error
    return os.path.join(folder, kept)


def _keep_link(folder: int, name: bytes, kept: bytes) -> bool:
    """Give an entry a second name; return False if that is not possible, as for folders."""
    try:
        os.link(name, kept, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _failure(path: bytes, verb: str, error: OSError) -> LocalFileError:
    reason = error.strerror or str(error)
    return LocalFileError(f"{os.fsdecode(path)} could not be {verb}: {reason[:1].lower() + reason[1:]}")
