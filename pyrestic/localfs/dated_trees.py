"""Finds backups that other programs keep as folders with complete files, one for each date.

Unchanged files are hard links to those of the date before. These are the folders of Back In Time, of rsnapshot, and of
scripts around rsync or cp.
"""

import datetime as dt
import itertools
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pyrestic.errors import UsageError
from pyrestic.localfs.scan import SourceTree, clean, place_one, read_directory, resolve

LAYOUTS = ("backintime", "rsnapshot", "dated")
_SECOND = 10**9
_MAX_BYTES = 1 << 20
_DATE = re.compile(
    rb"(?<!\d)(\d{4})-?([01]\d)-?([0-3]\d)(?:[T_. -]?([0-2]\d)[:.h-]?([0-5]\d)(?:[:.m-]?([0-5]\d))?(Z?))?(?!\d)"
)
"""A date, and a time if there is one, in a name such as 2026-03-01, home-20260301-1430 or 2026-03-01T14:30:00."""
_ROTATED = re.compile(rb"[A-Za-z][\w-]*\.\d+")
"""A name such as hourly.0 or daily.6."""
_BACK_IN_TIME = re.compile(rb"\d{8}-\d{6}(-\d{3})?")
_THIS_MACHINE = b"localhost"
_TOP_FOLDERS = frozenset(b"bin boot data etc home lib media mnt opt root srv tmp usr var".split())
"""Folders at the top of a machine's files."""


class DatedFolder(NamedTuple):
    """The backup of one date: its folder, the paths that were backed up, and where their files are now.

    `root` is the folder that stands for `/`, b"" if the files of the only path are in the folder itself.
    """

    time_ns: int
    folder: bytes
    paths: tuple[bytes, ...]
    root: bytes = b""

    def find_sources(self) -> SourceTree:
        """Return the sources of a backup of this date; raise UsageError if they cannot be read."""
        return resolve(self.paths, self.root) if self.root else place_one(self.paths[0], self.folder)


class DatedTree(NamedTuple):
    """The backups of one machine, the oldest first; `host` is "" for this one."""

    host: str
    dates: list[DatedFolder]


def find_dated_trees(folder: bytes, layout: str, paths: Sequence[bytes]) -> list[DatedTree]:
    """Return the backups below a folder; raise UsageError if there are none.

    Without a layout it is recognized. `paths` are the original paths to import; by default all that can be recognized.
    """
    folder = os.path.abspath(folder)
    finders = {"backintime": _find_back_in_time, "rsnapshot": _find_rotated, "dated": _find_dated}
    for name in [layout] if layout else LAYOUTS:
        trees = [tree for tree in finders[name](folder, paths) if tree.dates]
        if trees:
            return [_sort(tree) for tree in trees]
    hint = "They are folders of Back In Time, folders such as hourly.0 and daily.3, or folders with a date as name."
    raise UsageError(f"{os.fsdecode(folder)} contains no dated backups", hint=hint)


def _sort(tree: DatedTree) -> DatedTree:
    dates = sorted(tree.dates)
    for one, other in itertools.pairwise(dates):
        if one.time_ns // _SECOND == other.time_ns // _SECOND:
            names = " and ".join(os.fsdecode(date.folder) for date in (one, other))
            raise UsageError(f"{names} have the same time")
    return tree._replace(dates=dates)


# Back In Time


def _find_back_in_time(folder: bytes, paths: Sequence[bytes]) -> Iterator[DatedTree]:
    """Yield the backups of each profile; the folder is that of one, or above several: backintime/HOST/USER/PROFILE."""
    below = os.path.join(folder, b"backintime")
    if os.path.isdir(below):
        folder = below
    levels = 3 if b"backintime" in folder.split(b"/") else 0
    folders = [folder]
    for _ in range(levels + 1):
        for profile in folders:
            by_host: dict[str, list[DatedFolder]] = {}
            for name in _list_folders(profile):
                date = os.path.join(profile, name)
                if _BACK_IN_TIME.fullmatch(name) and _is_folder(os.path.join(date, b"backup")):
                    info = _read_settings(os.path.join(date, b"info"))
                    host = _name_host(os.fsencode(info.get("snapshot_machine", "")))
                    by_host.setdefault(host, []).append(_read_back_in_time(name, date, info, paths))
            yield from (DatedTree(host, [date for date in dates if date.paths]) for host, dates in by_host.items())
        folders = [
            os.path.join(above, name)
            for above in folders
            for name in _list_folders(above)
            if not _BACK_IN_TIME.fullmatch(name) and name != b"new_snapshot"
        ]


def _read_back_in_time(name: bytes, date: bytes, info: Mapping[str, str], paths: Sequence[bytes]) -> DatedFolder:
    root = os.path.join(date, b"backup")
    if not paths:
        settings = _read_settings(os.path.join(date, b"config"))
        profile = info.get("snapshot_profile_id", "1")
        wanted = re.compile(rf"profile{re.escape(profile)}\.snapshots\.include\.\d+\.value")
        paths = [clean(os.fsencode(value)) for key, value in settings.items() if wanted.fullmatch(key)]
    found = _existing(root, paths) or (() if paths else _guess_paths(root))
    return DatedFolder(_parse_date(name) or 0, date, found, root)


def _read_settings(path: bytes) -> dict[str, str]:
    """Return the lines KEY=VALUE of a file, nothing if it is missing, a link, or no file."""
    try:
        # Without O_NONBLOCK, opening a pipe would block forever.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(_MAX_BYTES) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return {}
    return dict(os.fsdecode(line).split("=", 1) for line in text.splitlines() if b"=" in line)


# Folders of rsync and cp


def _find_rotated(folder: bytes, paths: Sequence[bytes]) -> Iterator[DatedTree]:
    """Yield the backups of each machine in folders such as hourly.0; the time is that of the folder."""
    found = [os.path.join(folder, name) for name in _list_folders(folder) if _ROTATED.fullmatch(name)]
    yield from _find_machines({path: os.stat(path).st_mtime_ns for path in found}, paths)


def _find_dated(folder: bytes, paths: Sequence[bytes]) -> Iterator[DatedTree]:
    """Yield the backups in folders whose names have a date."""
    moments = {os.path.join(folder, name): _parse_date(name) for name in _list_folders(folder)}
    yield from _find_machines({path: moment for path, moment in moments.items() if moment is not None}, paths)


def _find_machines(times: Mapping[bytes, int], paths: Sequence[bytes]) -> Iterator[DatedTree]:
    """Yield the backups of each machine, in one of three forms.

    A date has the complete paths (2026-03-01/home/me), those of each machine (hourly.0/laptop/home/me), or the files of
    one path (2026-03-01/notes.txt).
    """
    if not times:
        return
    newest = max(times, key=times.__getitem__)
    if _has_files(newest, paths):
        yield _make_tree("", times, b"", paths or _guess_paths(newest))
        return
    machines = [name for name in _list_folders(newest) if _has_files(os.path.join(newest, name), paths)]
    for name in machines:
        host = "" if name == _THIS_MACHINE else _name_host(name)
        yield _make_tree(host, times, name, paths or _guess_paths(os.path.join(newest, name)))
    if not machines and len(paths) == 1:
        yield DatedTree("", [DatedFolder(moment, path, (paths[0],)) for path, moment in times.items()])
    elif not machines:
        what = "has none of these paths" if paths else "does not show which folder it is a backup of"
        raise UsageError(f"{os.fsdecode(newest)} {what}", hint="Name the folder that was backed up with --path.")


def _has_files(root: bytes, paths: Sequence[bytes]) -> bool:
    """Tell whether a folder stands for `/`: it has one of the paths, or folders that a machine has there."""
    return bool(_existing(root, paths)) if paths else not _TOP_FOLDERS.isdisjoint(_list_folders(root))


def _make_tree(host: str, times: Mapping[bytes, int], below: bytes, paths: Sequence[bytes]) -> DatedTree:
    dates = []
    for path, moment in times.items():
        root = os.path.join(path, below) if below else path
        found = _existing(root, paths)
        if found:
            dates.append(DatedFolder(moment, path, found, root))
    return DatedTree(host, dates)


def _existing(root: bytes, paths: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the paths that exist below a folder, without those behind a link: it may lead to the files of today."""
    if os.path.islink(root):
        return ()
    real = os.path.realpath(root)
    return tuple(
        path
        for path in paths
        if os.path.lexists(root + path)
        and os.path.realpath(os.path.dirname(root + path)) == clean(real + os.path.dirname(path))
    )


def _guess_paths(root: bytes) -> tuple[bytes, ...]:
    """Return what was backed up: the top folders, or what is below where those contain a single folder."""
    return tuple(b"/" + _skip_single(root, name) for name in _list_names(root))


def _skip_single(root: bytes, name: bytes) -> bytes:
    names = _list_names(os.path.join(root, name))
    while len(names) == 1 and _is_folder(os.path.join(root, name, names[0])):
        name = os.path.join(name, names[0])
        names = _list_names(os.path.join(root, name))
    return name


def _list_folders(path: bytes) -> list[bytes]:
    return [name for name in _list_names(path) if _is_folder(os.path.join(path, name))]


def _list_names(path: bytes) -> list[bytes]:
    try:
        return read_directory(path)
    except OSError:
        return []


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _parse_date(name: bytes) -> int | None:
    """Return the time in a name, in ns since 1970, None if there is none; it is local time unless it ends with Z."""
    found = _DATE.search(name)
    if found is None:
        return None
    *digits, zone = found.groups(default=b"")
    year, month, day, hour, minute, second = (int(number or 0) for number in digits)
    try:
        moment = dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC if zone else None)
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * _SECOND if seconds >= 0 else None


def _name_host(name: bytes) -> str:
    """Return the name of a machine as a snapshot has it: another one would be imported again each time."""
    return name.decode("utf-8", "replace")
