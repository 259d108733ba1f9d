"""Sources of a backup: which paths were named, and how they come together as one tree.

Restic keeps the way to every source: `backup /home/me/a /etc` gives a tree with `home` and `etc` at its top. A relative
path is kept as it was typed, without its leading dots, and `.` or `/` stand for what is in them.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.errors import UsageError


@dataclass(slots=True)
class SourceTree:
    """A folder of the snapshot to be. A leaf takes over `path` whole, others hold only the named children.

    `path` of others is where their own metadata comes from. `explicit` leaves were named and cannot be excluded.
    `origin` is where a folder at the top was found, which may differ for equal names.
    """

    path: bytes = b""
    is_leaf: bool = False
    explicit: bool = False
    origin: bytes = b""
    children: "dict[bytes, SourceTree]" = field(default_factory=dict)


class Totals(NamedTuple):
    """What a scan counted."""

    files: int
    directories: int
    length: int
    """Bytes of all files."""


def clean(path: bytes) -> bytes:
    """Return a path without doubled slashes, `.` and resolvable `..`, like Go's filepath.Clean."""
    normal = os.path.normpath(path)
    return normal[1:] if normal.startswith(b"//") else normal


def working_directory(environment: Mapping[str, str], sources: Iterable[bytes] = ()) -> bytes:
    """Return the working directory as the shell shows it: $PWD, if that is where we are, may go through links.

    Absolute paths of sources begin with it, as in restic, so both tools find each other's parent snapshots. Where it
    was removed absolute sources need none, and it is the root; raise UsageError if another source is among them.
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
    """Return the parts a path has in a snapshot: relative ones count as if they began at the root."""
    if not path.startswith(b"/"):
        path = b"/" + path
    return [part for part in clean(path).split(b"/") if part]


def _root_of(path: bytes) -> bytes:
    """Return the folder that holds the first component of a source."""
    if path.startswith(b"/"):
        return b"/"
    ups = [part for part in path.split(b"/") if part == b".."]
    return b"/".join(ups) or b"."


def resolve(targets: Iterable[bytes]) -> SourceTree:
    """Return the tree of all targets; raise UsageError for targets that cannot be read or come together."""
    tree = SourceTree()
    seen = set()
    for path, explicit in _expand(targets):
        if path not in seen:
            seen.add(path)
            _add_top(tree, path, explicit=explicit)
    _unroll(tree)
    return tree


def _expand(targets: Iterable[bytes]) -> Iterable[tuple[bytes, bool]]:
    """Replace targets without a name of their own (`.`, `/`, `../..`) by what is in them."""
    for target in targets:
        path = clean(target)
        if _components(path):
            yield path, True
            continue
        try:
            names = read_directory(path)
        except OSError as error:
            raise UsageError(f"{os.fsdecode(path)} cannot be read: {error.strerror}") from error
        for name in names:
            yield (name if path == b"." else os.path.join(path, name)), False


def _add_top(tree: SourceTree, path: bytes, *, explicit: bool) -> None:
    components = _components(path)
    first = clean(os.path.join(_root_of(path), components[0]))
    name = components[0]
    number = 0
    # Sources of different places that begin alike (`a` and `../a`) stand side by side under different names.
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
    """Where a source lies inside another one, replace the outer leaf by its entries."""
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
) -> None:
    """Count what a backup of the tree will see, telling `found` the totals so far at every folder and at the end.

    Paths that cannot be read are passed over; `failed` is told the path and what could not be done.
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
                files += 1
                length += status.st_size
            elif stat.S_ISDIR(status.st_mode):
                paths.extend((os.path.join(path, name), False) for name in read_directory(path))
                directories += 1
                found(Totals(files, directories, length))
        except OSError as error:
            failed(path, verb, error)
    found(Totals(files, directories, length))
