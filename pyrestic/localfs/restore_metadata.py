"""Restores the metadata of files from nodes: owner, extended attributes, times, mode, in this order.

A change of owner clears set-user-ID bits and file capabilities, so it comes first; a mode may forbid the other steps,
so it comes last. Nothing here follows a symbolic link: files and folders are opened without following links and changed
through the descriptor, other objects by name below an open folder.
"""

import errno
import grp
import os
import pwd
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from pyrestic.engine_types import PlainMetadata
from pyrestic.errors import FormatError
from pyrestic.format.gojson import SECOND, parse_time
from pyrestic.format.node import CHARACTER_DEVICE, DEVICE, DIRECTORY, FILE, SYMLINK, Node

CAPABILITY = "security.capability"
"""The extended attribute with a program's capabilities."""
DEVICES = (DEVICE, CHARACTER_DEVICE)
SET_ID = stat.S_ISUID | stat.S_ISGID

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PATH_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA)
_NO_CHANGE = (1 << 32) - 1
_KNOWN_GENERIC = ("windows.creation_time", "windows.file_attributes", "windows.security_descriptor")

Target = int | bytes
"""An open descriptor, or a path."""


@lru_cache(maxsize=1024)
def user_id(name: str) -> int | None:
    """Return the number of a user on this machine, None if there is no such user."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=1024)
def group_id(name: str) -> int | None:
    """Return the number of a group on this machine, None if there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class MetadataRules:
    """`ownership_by_name`: owners are looked up by name, and unknown names use the number.
    `attributes` selects extended attributes by name, None means all; others are neither set nor removed.
    Without `privileged`, devices, set-user-ID and set-group-ID bits of files, and capabilities are skipped.
    """

    ownership_by_name: bool = False
    attributes: Callable[[str], bool] | None = None
    privileged: bool = True


class MetadataRestorer:
    """Restores metadata; thread-safe. Steps are tried independently, and the first failure is raised as OSError.

    Operations that an ordinary user may not do, such as giving files to others, are counted in `denied` and are no
    failure.
    """

    def __init__(self, rules: MetadataRules | None = None, warn: Callable[[str], None] | None = None) -> None:
        self.denied = 0
        self._rules = rules or MetadataRules()
        self._warn = warn
        self.is_root = os.geteuid() == 0
        """Whether the user may give files to others; for ordinary users, a failure is no error."""
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def apply_to_open(self, descriptor: int, node: Node) -> None:
        """Restore the metadata of an open file or folder; raise OSError, FormatError for an invalid time."""
        self._apply(descriptor, node, follow=True)

    def leaves_out(self, node: Node) -> bool:
        """Tell whether a node is skipped."""
        return node.type in DEVICES and not self._rules.privileged

    def plain(self, node: Node) -> PlainMetadata | None:
        """Return the metadata of a simple node; None if it has more metadata or an invalid time."""
        if node.extended_attributes or node.generic_attributes:
            return None
        try:
            mtime = divmod(parse_time(node.mtime), SECOND)
            atime = mtime if node.atime == node.mtime else divmod(parse_time(node.atime), SECOND)
        except FormatError:
            return None
        return PlainMetadata(*self._owner(node), self._permissions(node), *atime, *mtime)

    def count_denied(self, count: int) -> None:
        """Count files that could not be given to others."""
        with self._lock:
            self.denied += count

    def apply(self, directory: int, name: bytes, node: Node) -> None:
        """Restore the metadata of an entry of an open folder; raise OSError, also if its type differs from the node."""
        if node.type in (FILE, DIRECTORY):
            with _opened(directory, name) as (target, mode):
                if stat.S_IFMT(mode) != stat.S_IFMT(node.st_mode):
                    raise OSError(errno.EINVAL, "it is of another type than in the snapshot")
                self._apply(target, node, follow=True)
        elif node.type == SYMLINK:
            self._apply(b"/proc/self/fd/%d/%s" % (directory, name), node, follow=False)
        else:
            descriptor = os.open(name, _PATH_FLAGS, dir_fd=directory)
            try:
                self._apply(b"/proc/self/fd/%d" % descriptor, node, follow=True)
            finally:
                os.close(descriptor)

    def _apply(self, target: Target, node: Node, *, follow: bool) -> None:
        failures: list[OSError] = []
        mtime = parse_time(node.mtime)
        atime = mtime if node.atime == node.mtime else parse_time(node.atime)
        try:
            os.chown(target, *self._owner(node), follow_symlinks=follow)
        except OSError as error:
            failures.append(error)
        self._apply_attributes(target, node, failures, follow=follow)
        try:
            os.utime(target, ns=(atime, mtime), follow_symlinks=follow)
        except OSError as error:
            failures.append(error)
        if node.type != SYMLINK:
            try:
                os.chmod(target, self._permissions(node))
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    failures.append(error)
        if node.generic_attributes:
            self._warn_of_generic(node.generic_attributes)
        if failures:
            self._judge(failures)

    def _owner(self, node: Node) -> tuple[int, int]:
        uid, gid = node.uid, node.gid
        if self._rules.ownership_by_name:
            named_user, named_group = user_id(node.user), group_id(node.group)
            uid = uid if named_user is None else named_user
            gid = gid if named_group is None else named_group
        # The largest number means "unchanged" to the kernel, which Python writes as -1.
        return -1 if uid == _NO_CHANGE else uid, -1 if gid == _NO_CHANGE else gid

    def _permissions(self, node: Node) -> int:
        """Return the bits for chmod. A folder's set-group-ID bit grants no privileges, so it always stays."""
        allowed = 0o7777 if self._rules.privileged or node.type == DIRECTORY else 0o7777 & ~SET_ID
        return node.st_mode & allowed

    def _apply_attributes(self, target: Target, node: Node, failures: list[OSError], *, follow: bool) -> None:
        wanted: set[str] = set()
        selects = self._rules.attributes
        for attribute in node.extended_attributes or ():
            left_out = attribute.name == CAPABILITY and not self._rules.privileged
            if not left_out and (selects is None or selects(attribute.name)):
                wanted.add(attribute.name)
                with _collecting(failures):
                    os.setxattr(target, attribute.name, attribute.value or b"", follow_symlinks=follow)
        try:
            present = os.listxattr(target, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                failures.append(error)
            return
        for name in present:
            if name not in wanted and (selects is None or selects(name)):
                with _collecting(failures):
                    os.removexattr(target, name, follow_symlinks=follow)

    def _warn_of_generic(self, attributes: Iterable[str]) -> None:
        """Report each attribute that no known restic version writes, once."""
        for name in attributes:
            with self._lock:
                if name in _KNOWN_GENERIC or name in self._warned:
                    continue
                self._warned.add(name)
            if self._warn is not None:
                self._warn(f"the generic attribute {name} is unknown and was not restored")

    def _judge(self, failures: list[OSError]) -> None:
        serious = [error for error in failures if self.is_root or not isinstance(error, PermissionError)]
        if serious:
            raise serious[0]
        self.count_denied(1)


@contextmanager
def _collecting(failures: list[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            failures.append(error)
    except ValueError:
        failures.append(OSError(errno.EINVAL, "an extended attribute has an impossible name"))


@contextmanager
def _opened(directory: int, name: bytes) -> Iterator[tuple[Target, int]]:
    """Open a file or folder; yield a handle to change it, and its mode. /proc reaches one that may not be read."""
    try:
        descriptor = os.open(name, _OPEN_FLAGS, dir_fd=directory)
        target: Target = descriptor
    except PermissionError:
        descriptor = os.open(name, _PATH_FLAGS, dir_fd=directory)
        target = b"/proc/self/fd/%d" % descriptor
    try:
        yield target, os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
