"""Selects the files of a backup and of a restore."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pyrestic.errors import UsageError
from pyrestic.localfs.markers import MarkerRule
from pyrestic.localfs.patterns import PatternList, check_patterns

RejectPath = Callable[[bytes], bool]
RejectStatus = Callable[[bytes, os.stat_result], bool]
Select = Callable[[bytes, bool], tuple[bool, bool]]
"""Takes a location and whether it is a folder; tells whether it is selected and whether something below it may be."""

CACHE_TAG = "CACHEDIR.TAG:Signature: 8a477f597d28d172789f06886806bc55"
_KEPT_FOLDERS = 16_384


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of one kind, case-sensitive and case-insensitive.

    `option` is "exclude" or "include", for errors.
    """

    exact: Sequence[str] = ()
    any_case: Sequence[str] = ()
    option: str = "exclude"

    def lists(self) -> list[PatternList]:
        """Return the compiled lists; raise UsageError with all malformed patterns of a list."""
        check_patterns(self.any_case, f"--i{self.option}")
        check_patterns(self.exact, f"--{self.option}")
        found = []
        if self.any_case:
            found.append(PatternList(self.any_case, ignore_case=True))
        if self.exact:
            found.append(PatternList(self.exact))
        return found


class BackupSelector:
    """Decides by path, then by stat; one rule suffices to reject. Thread-safe.

    Rules see absolute paths; relative ones start from the working directory.
    """

    def __init__(
        self,
        by_path: Sequence[RejectPath] = (),
        by_status: Sequence[RejectStatus] = (),
        working_directory: bytes | None = None,
    ) -> None:
        self._by_path = by_path
        self._by_status = by_status
        self._working_directory = os.getcwdb() if working_directory is None else working_directory
        self._folders: dict[bytes, bytes] = {}

    @property
    def looks_at_paths(self) -> bool:
        """Whether there are rules for paths."""
        return bool(self._by_path)

    @property
    def looks_at_status(self) -> bool:
        """Whether there are rules for stat results."""
        return bool(self._by_status)

    def by_path(self, path: bytes) -> bool:
        """Tell whether a path is selected, before the file is examined."""
        if not path.startswith(b"/"):
            path = self._absolute(path)
        for reject in self._by_path:  # noqa: SIM110 - a generator would cost more than the rules
            if reject(path):
                return False
        return True

    def by_status(self, path: bytes, status: os.stat_result) -> bool:
        """Tell whether a file is selected."""
        if not path.startswith(b"/"):
            path = self._absolute(path)
        for reject in self._by_status:  # noqa: SIM110
            if reject(path, status):
                return False
        return True

    def _absolute(self, path: bytes) -> bytes:
        folder, _, name = path.rpartition(b"/")
        prefix = self._folders.get(folder)
        if prefix is None:
            if len(self._folders) >= _KEPT_FOLDERS:
                self._folders.clear()
            prefix = self._folders[folder] = absolute(folder, self._working_directory).rstrip(b"/") + b"/"
        return absolute(path, self._working_directory) if name in (b"", b".", b"..") else prefix + name


def absolute(path: bytes, working_directory: bytes) -> bytes:
    """Return the cleaned absolute form of a path, without disk access."""
    cleaned = os.path.normpath(os.path.join(working_directory, path))
    return cleaned[1:] if cleaned.startswith(b"//") else cleaned


def reject_patterns(patterns: Patterns) -> list[RejectPath]:
    """Return rules that exclude matching paths; raise UsageError for a malformed pattern."""
    return [compiled.matches for compiled in patterns.lists()]


def reject_folders(folders: Iterable[str]) -> list[RejectPath]:
    """Return rules that exclude folders with their content, such as our own cache; "" means no folder."""
    return [_reject_folder(os.fsencode(os.path.abspath(folder))) for folder in folders if folder]


def _reject_folder(folder: bytes) -> RejectPath:
    prefix = folder.rstrip(b"/") + b"/"
    return lambda path: path.startswith(prefix) or path == folder


def reject_larger_than(limit_bytes: int) -> RejectStatus:
    """Return a rule that excludes everything but folders above a size."""
    return lambda _path, status: status.st_size > limit_bytes and not stat.S_ISDIR(status.st_mode)


def reject_other_devices(targets: Iterable[bytes], working_directory: bytes | None = None) -> RejectStatus:
    """Return a rule that stays on the file systems of the targets; raise UsageError if stat fails for one."""
    base = os.getcwdb() if working_directory is None else working_directory
    return _DeviceRule(absolute(target, base) for target in targets)


def reject_if_present(marker: str, warn: Callable[[str], None]) -> RejectStatus:
    """Return a rule for folders marked by `filename[:header]`; raise UsageError without a file name."""
    name, _, header = marker.partition(":")
    if not name:
        raise UsageError(f"the marker {marker!r} has no file name")
    return MarkerRule(os.fsencode(name), os.fsencode(header), warn)


class _DeviceRule:
    """Rejects everything on another file system than its named source, except for the empty mount point."""

    def __init__(self, targets: Iterable[bytes]) -> None:
        self._named: dict[bytes, int] = {}
        for target in targets:
            try:
                self._named[target] = os.lstat(target).st_dev
            except OSError as error:
                raise UsageError(f"{os.fsdecode(target)} cannot be read: {error.strerror}") from error
        self._folders: dict[bytes, int | None] = {}

    def __call__(self, path: bytes, status: os.stat_result) -> bool:
        """Tell whether to exclude the path."""
        if self._device_for(path) == status.st_dev:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return True
        folder = _parent(path)
        try:
            return self._device_for(folder) != os.lstat(folder).st_dev
        except OSError:
            return True

    def _device_for(self, path: bytes) -> int | None:
        device = self._named.get(path)
        if device is not None:
            return device
        folder = _parent(path)
        if folder not in self._folders:
            if len(self._folders) >= _KEPT_FOLDERS:
                self._folders.clear()
            self._folders[folder] = self._search(folder)
        return self._folders[folder]

    def _search(self, folder: bytes) -> int | None:
        """Return the device of the nearest named source at or above a folder."""
        while folder not in self._named and folder != b"/":
            folder = _parent(folder)
        return self._named.get(folder)


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"


def restore_selector(includes: Patterns, excludes: Patterns) -> Select | None:
    """Return the selector of files to restore, None for all; raise UsageError for bad or conflicting patterns."""
    excluding, including = excludes.lists(), includes.lists()
    if excluding and including:
        raise UsageError("exclude and include patterns are mutually exclusive")
    if excluding:
        return lambda location, is_directory: _exclude(excluding, location, is_directory=is_directory)
    if including:
        return lambda location, is_directory: _include(including, location, is_directory=is_directory)
    return None


def _exclude(lists: list[PatternList], location: bytes, *, is_directory: bool) -> tuple[bool, bool]:
    selected = not any(patterns.matches(location) for patterns in lists)
    return selected, selected and is_directory


def _include(lists: list[PatternList], location: bytes, *, is_directory: bool) -> tuple[bool, bool]:
    selected = below = False
    for patterns in lists:
        matched, may_match_below = patterns.matches_or_below(location)
        selected = selected or matched
        below = below or may_match_below
    return selected, below and is_directory


def attribute_selector(includes: Sequence[str], excludes: Sequence[str]) -> Callable[[str], bool] | None:
    """Return the selector of extended attributes by name, None for all; raise UsageError as restore_selector does."""
    if includes and excludes:
        raise UsageError("exclude and include xattr patterns are mutually exclusive")
    check_patterns(excludes, "--exclude-xattr")
    check_patterns(includes, "--include-xattr")
    if not includes and not excludes:
        return None
    patterns = PatternList(includes or excludes)
    return lambda name: patterns.matches(name.encode("utf-8", "surrogateescape")) == bool(includes)
