"""Restores entries of snapshots to where they belong on this machine; nothing that is there is ever replaced.

A version of something that exists comes beside it under a name with its date, or takes its place, and what was there
stays beside it.
"""

import os
import posixpath
import stat
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.format.gojson import SECOND
from pyrestic.format.node import DIRECTORY, Node
from pyrestic.ids import ID
from pyrestic.localfs.move_new import move_new
from pyrestic.operations.missing import MissingOnly
from pyrestic.operations.restore import Restore
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.operations.restore_root import Named, Source
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.tree_walk import walk

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
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
    source: Source,
    folder: str,
    report: Reporter,
    *,
    warn: Callable[[str], None] | None = None,
    open_root: Callable[[bool], int] | None = None,
) -> int:
    """Restore what a folder lacks of a source; return the number of restored entries, and of those below them.

    `open_root` is as in Restore. Raises PyresticError at the end if something could not be restored.
    """
    options = RestoreOptions(missing=True)
    result = Restore(repository, source, folder, options, report, warn=warn, open_root=open_root).run()
    if result.counts.error_count:
        raise PyresticError(f"There were {result.counts.error_count} errors")
    return result.counts.files_restored


def open_below(folder: str, below: bytes) -> Callable[[bool], int]:
    """Return a function that opens a folder below another one without following links; it raises OSError."""

    def open_root(_create: bool) -> int:
        current = os.open(folder, _FOLDER_FLAGS)
        for name in filter(None, below.split(b"/")):
            try:
                deeper = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=current)
            finally:
                os.close(current)
            current = deeper
        return current

    return open_root


def restore_version(
    repository: Repository,
    node: Node,
    path: str,
    moment_ns: int,
    report: Reporter,
    *,
    in_place: bool = False,
    warn: Callable[[str], None] | None = None,
) -> RestoredVersion:
    """Restore a version of the entry at a local path: there if nothing is there, else beside it or in its place.

    `moment_ns` is the date of the version for its name, in nanoseconds since 1970. Raises PyresticError.
    """
    raw = os.fsencode(path)
    folder, name = os.path.split(raw)
    is_there = os.path.lexists(raw)
    chosen = beside_name(name, moment_ns, _names(folder)) if is_there else name
    restored = os.path.join(folder, chosen)
    if not restore_missing(repository, Named([(chosen, node)]), os.fsdecode(folder), report, warn=warn):
        raise LocalFileError(f"{os.fsdecode(restored)} was not restored: something of that name is there by now")
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
        chosen = _shorten(stem, _MOST_BYTES - len(rest)) + rest
        if chosen not in there:
            return chosen
        number += 1


def _shorten(name: bytes, length: int) -> bytes:
    """Return at most so many bytes of a name, without a part of a character."""
    if len(name) <= length:
        return name
    try:
        name.decode()
    except UnicodeDecodeError:
        return name[:length]
    return name[:length].decode("utf-8", "ignore").encode()


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
            new = os.stat(restored, dir_fd=descriptor, follow_symlinks=False)
            kept = beside_name(name, present.st_mtime_ns, os.listdir(folder))
            has_folder = stat.S_ISDIR(present.st_mode) or stat.S_ISDIR(new.st_mode)
            if has_folder or not _keep_link(descriptor, name, kept):
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
