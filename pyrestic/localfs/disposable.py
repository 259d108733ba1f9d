"""Finds what few people want in a backup of their home: caches, trash, package stores; and virtual machines."""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

Kind = Literal["caches", "trash", "packages", "virtual machines"]

_KNOWN: tuple[tuple[Kind, str], ...] = (
    ("caches", ".cache"),
    ("caches", ".gradle/caches"),
    ("caches", ".npm"),
    ("caches", ".thumbnails"),
    ("caches", ".var/app/*/cache"),
    ("caches", "snap/*/common/.cache"),
    ("trash", ".local/share/Trash"),
    ("trash", ".Trash-*"),
    ("packages", ".cargo/registry"),
    ("packages", ".conda/pkgs"),
    ("packages", ".local/share/Steam/steamapps"),
    ("packages", ".local/share/containers/storage"),
    ("packages", ".local/share/flatpak"),
    ("packages", ".local/share/pnpm/store"),
    ("packages", ".m2/repository"),
    ("packages", ".rustup"),
    ("packages", ".vagrant.d/boxes"),
    ("packages", "go/pkg/mod"),
    ("virtual machines", ".local/share/gnome-boxes/images"),
    ("virtual machines", ".local/share/libvirt/images"),
    ("virtual machines", "VirtualBox VMs"),
)
"""Folders below a home, by kind; each part may be a pattern."""


class Sized(NamedTuple):
    """A path and its length; `partly` means that it is larger, because the measurement was ended."""

    path: str
    bytes: int
    partly: bool


class Disposable(NamedTuple):
    """A folder that may be left out, its kind, and the pattern that names it and those like it."""

    kind: Kind
    pattern: str
    folder: Sized


class Measurement:
    """Measures folders until a time has passed, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def find_disposable(self, folder: str) -> list[Disposable]:
        """Return what there is of the known folders below one."""
        return [
            Disposable(kind, os.path.join(folder, pattern), self.measure(path))
            for kind, pattern in _KNOWN
            for path in _expand(folder, pattern.split("/"))
        ]

    def list_largest(self, folder: str, without: Sequence[str], count: int) -> list[Sized]:
        """Return the largest entries of a folder, without some paths in them."""
        sizes = [self.measure(entry.path, without) for entry in _scan(folder) if entry.path not in without]
        return sorted(sizes, key=lambda one: one.bytes, reverse=True)[:count]

    def measure(self, path: str, without: Sequence[str] = ()) -> Sized:
        """Return the space that a path takes, without following links."""
        left = frozenset(without)
        total, waiting = _space(path), [path] if _is_folder(path) else []
        while waiting:
            if time.monotonic() > self._deadline:
                return Sized(path, total, partly=True)
            for entry in _scan(waiting.pop()):
                if entry.path in left:
                    continue
                total += _space(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
        return Sized(path, total, partly=False)


def _expand(folder: str, parts: list[str]) -> Iterator[str]:
    """Yield the existing folders for a pattern, without following links."""
    if not parts:
        yield folder
        return
    from fnmatch import fnmatchcase

    names = [parts[0]] if "*" not in parts[0] else sorted(one.name for one in _scan(folder))
    for name in names:
        path = os.path.join(folder, name)
        if fnmatchcase(name, parts[0]) and _is_folder(path):
            yield from _expand(path, parts[1:])


def _scan(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _space(path: str) -> int:
    """Return the bytes that a file takes on the disk, which for one with holes are fewer than its length."""
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
