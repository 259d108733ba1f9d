"""The sources of a backup: the named paths, and their combination into one tree.

Restic keeps the path to every source: `backup /home/me/a /etc` gives a tree with `home` and `etc` at its top. A
relative path is kept as typed, without its leading dots, and `.` or `/` stand for their entries.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.errors import UsageError


@dataclass(slots=True)
class SourceTree:
    """A folder of the new snapshot. A leaf includes all of `path`, other folders only the named children.

    For those, `path` is the source of their own metadata. `explicit` leaves were named and cannot be excluded. `origin`
    is the origin of a top-level folder, which may differ for equal names.
    """

    path: bytes = b""
    is_leaf: bool = False
    explicit: bool = False
    origin: bytes = b""
    children: "dict[bytes, SourceTree]" = field(default_factory=dict)


class Totals(NamedTuple):
    """The totals of a scan."""

    files: int
    directories: int
    length: int
    """Bytes of all files."""


def clean(path: bytes) -> bytes:
    """Return a path without double slashes, `.` and resolvable `..`, like Go's filepath.Clean."""
    normal = os.path.normpath(path)
    return normal[1:] if normal.startswith(b"//") else normal


def working_directory(environment: Mapping[str, str], sources: Iterable[bytes] = ()) -> bytes:
    """Return the working directory as the shell shows it: a valid $PWD may contain links.

    Absolute paths of sources start with it, as in restic, so both tools find each other's parent snapshots. If it was
    removed, absolute sources do not need it, and it is the root; raise UsageError if there is another source.
    """
    shown = environment.get("PWD", "")
    try:
        if shown.startswith("/") and os.path.samefile(shown, "."):
            return os.fsencode(shown)
    except (OSError, ValueError):
        pass
    try:
        return os.getcwdb()
    except FileNotFoundError:
        if all(source.startswith(b"/") for source in sources):
            return b"/"
        raise UsageError("the working folder was removed; name what is to be saved by absolute paths") from None


def read_directory(path: bytes) -> list[bytes]:
    """Return the names in a folder sorted by their bytes; raise OSError. A link is not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return sorted(map(os.fsencode, os.listdir(descriptor)))
    finally:
        os.close(descriptor)


def _components(path: bytes) -> list[bytes]:
    """Return the parts of a path in a snapshot: relative ones count as if they started at the root."""
    if not path.startswith(b"/"):
        path = b"/" + path
    return [part for part in clean(path).split(b"/") if part]


def _root_of(path: bytes) -> bytes:
    """Return the folder that contains the first component of a source."""
    if path.startswith(b"/"):
        return b"/"
    ups = [part for part in path.split(b"/") if part == b".."]
    return b"/".join(ups) or b"."


def resolve(targets: Iterable[bytes], root: bytes = b"") -> SourceTree:
    """Return the tree of all targets; raise UsageError for unreadable or conflicting targets.

    With `root`, the targets are absolute, and their files are below that folder instead of `/`.
    """
    tree = SourceTree()
    seen = set()
    for path, explicit in _expand(targets, root):
        if path not in seen:
            seen.add(path)
            _add_top(tree, path, explicit=explicit)
    if root:
        _move(tree, root)
    _unroll(tree)
    return tree


def place_one(target: bytes, folder: bytes) -> SourceTree:
    """Return the tree of an absolute target whose files are in a folder elsewhere.

    The folders above the target get the metadata of those on this machine, or that of the folder.
    """
    tree = SourceTree()
    _add_top(tree, target, explicit=True)
    node = tree
    while node.children:
        (node,) = node.children.values()
        if node.is_leaf or not os.path.isdir(node.path):
            node.path = folder
    return tree


def _move(node: SourceTree, root: bytes) -> None:
    if node.path:
        node.path = root + node.path
    for child in node.children.values():
        _move(child, root)


def _expand(targets: Iterable[bytes], root: bytes) -> Iterable[tuple[bytes, bool]]:
    """Replace targets without a name of their own (`.`, `/`, `../..`) with their entries."""
    for target in targets:
        path = clean(target)
        if _components(path):
            yield path, True
            continue
        try:
            names = read_directory(root + path)
        except OSError as error:
            raise UsageError(f"{os.fsdecode(path)} cannot be read: {error.strerror}") from error
        for name in names:
            yield (name if path == b"." else os.path.join(path, name)), False


def _add_top(tree: SourceTree, path: bytes, *, explicit: bool) -> None:
    components = _components(path)
    first = clean(os.path.join(_root_of(path), components[0]))
    name = components[0]
    number = 0
    # Sources from different folders with equal first components (`a` and `../a`) get different names.
    while name in tree.children and tree.children[name].origin != first:
        number += 1
        name = components[0] + b"-%d" % number
    child = tree.children.setdefault(name, SourceTree(origin=first))
    _place(child, components[1:], path, first, explicit=explicit)


def _place(node: SourceTree, rest: list[bytes], target: bytes, here: bytes, *, explicit: bool) -> None:
    if not rest:
        if node.is_leaf:
            raise UsageError(f"the source {os.fsdecode(target)} was given twice under different names")
        node.path, node.is_leaf, node.explicit = target, True, explicit
        return
    if not node.is_leaf:
        node.path = here
    child = node.children.setdefault(rest[0], SourceTree())
    _place(child, rest[1:], target, clean(os.path.join(here, rest[0])), explicit=explicit)


def _unroll(node: SourceTree) -> None:
    """If a source is inside another one, replace the outer leaf with its entries."""
    if node.is_leaf and node.children:
        try:
            names = read_directory(node.path)
        except OSError as error:
            raise UsageError(f"{os.fsdecode(node.path)} cannot be read: {error.strerror}") from error
        for name in names:
            child = node.children.setdefault(name, SourceTree())
            if not child.is_leaf:
                child.path, child.is_leaf = os.path.join(node.path, name), True
        node.is_leaf = node.explicit = False
    for child in node.children.values():
        _unroll(child)


def measure(
    tree: SourceTree,
    by_path: Callable[[bytes], bool],
    by_status: Callable[[bytes, os.stat_result], bool],
    found: Callable[[Totals], None],
    stopped: Callable[[], bool],
    failed: Callable[[bytes, str, OSError], None] = lambda *_: None,
    counts: Callable[[os.stat_result], bool] = lambda _: True,
) -> None:
    """Count the files of a backup of the tree, passing the totals so far to `found` at every folder and at the end.

    `counts` tells whether a regular file is counted. Unreadable paths are skipped; `failed` receives the path and the
    failed operation.
    """
    files = directories = length = 0
    stack = [tree]
    paths: list[tuple[bytes, bool]] = []
    while stack:
        node = stack.pop()
        if node.is_leaf:
            paths.append((node.path, node.explicit))
        stack.extend(node.children.values())
    while paths and not stopped():
        path, explicit = paths.pop()
        if not explicit and not by_path(path):
            continue
        verb = "lstat"
        try:
            status = os.lstat(path)
            verb = "open"
            if not explicit and not by_status(path, status):
                continue
            if stat.S_ISREG(status.st_mode):
                if not counts(status):
                    continue
                files += 1
                length += status.st_size
            elif stat.S_ISDIR(status.st_mode):
                paths.extend((os.path.join(path, name), False) for name in read_directory(path))
                directories += 1
                found(Totals(files, directories, length))
        except OSError as error:
            failed(path, verb, error)
    found(Totals(files, directories, length))
