"""Folders that only this user and root can write to: caches, compiled code, journals and logs.

pyrestic trusts the content of such a folder, and as root writes to it without further checks. So each folder on the
path must belong to this user or to root, and nobody else may write there. A sticky folder such as /tmp, where everybody
may write but nobody may touch the entries of others, is accepted on the path. Links are followed one by one, under the
same rules. A folder in another user's home directory, as after `sudo` without `-H`, is rejected.

Files are opened relative to the descriptor of their folder, never through links. A file is read only if it is a regular
file of this user or of root with a single name that nobody else may write to. New files get a random name first.
"""

import errno
import fcntl
import functools
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from typing_extensions import Buffer

from pyrestic.backend.files import TEMPORARY_MARK, write_all
from pyrestic.errors import UntrustedError

_WALK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe of that name would block forever.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_MAX_LINKS = 40
_ACCESS_LIST = "system.posix_acl_access"


class PrivateFolder:
    """An open private folder. `path` is its path without links; methods raise OSError, and UntrustedError."""

    def __init__(self, descriptor: int, path: str) -> None:
        """Take ownership of the descriptor of a checked folder."""
        self.descriptor = descriptor
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def open_folder(self, name: str, *, create: bool = False) -> "PrivateFolder":
        """Return a subfolder, created if it is missing."""
        if create:
            self.make_folder(name)
        descriptor = os.open(name, _FOLDER, dir_fd=self.descriptor)
        path = os.path.join(self.path, name)
        try:
            _refuse(os.fstat(descriptor), descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return PrivateFolder(descriptor, path)

    def make_folder(self, name: str) -> bool:
        """Create a subfolder unless it exists; return whether it was created."""
        try:
            os.mkdir(name, _FOLDER_MODE, dir_fd=self.descriptor)
        except FileExistsError:
            return False
        return True

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Return a descriptor of an existing file; raise FileNotFoundError."""
        path = os.path.join(self.path, name)
        try:
            descriptor = os.open(name, flags | _FILE, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UntrustedError(f"{path} is not used: it is a link") from error
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UntrustedError(f"{path} is not used: it is not a regular file")
            if status.st_nlink != 1:
                raise UntrustedError(f"{path} is not used: the file has other hard links")
            _refuse(status, descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_or_create_file(self, name: str, flags: int) -> int:
        """Return a descriptor of a file, created if it is missing."""
        while True:
            try:
                return self.open_file(name, flags)
            except FileNotFoundError:
                pass
            try:
                created = flags | _FILE | os.O_CREAT | os.O_EXCL
                return os.open(name, created, _FILE_MODE, dir_fd=self.descriptor)
            except FileExistsError:
                # Another process has created it meanwhile.
                continue

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the content of a file, or its first max_bytes; raise FileNotFoundError."""
        with open(self.open_file(name), "rb") as file:
            return file.read(max_bytes)

    def replace(self, name: str, parts: Iterable[Buffer]) -> None:
        """Replace the content of a file with the concatenated parts; on an error the file does not change."""
        temporary = f"{name}{TEMPORARY_MARK}{int.from_bytes(os.urandom(8))}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, _FILE_MODE, dir_fd=self.descriptor)
        try:
            try:
                for part in parts:
                    write_all(descriptor, memoryview(part))
            finally:
                os.close(descriptor)
            self.rename(temporary, name)
        except BaseException:
            self.remove(temporary)
            raise

    def rename(self, old: str, new: str) -> None:
        """Rename a file; the new name may be in use."""
        os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file; no error if it is missing."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            pass

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Block other processes that lock the same file, for the duration of a with block."""
        descriptor = self.open_or_create_file(name, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def open_private(path: str, *, create: bool = False) -> PrivateFolder:
    """Return the folder at a path, created with its parents if requested and missing.

    Raises UntrustedError if another user could have written to it, FileNotFoundError and other OSErrors.
    """
    if not os.path.isabs(path):
        path = os.path.join(os.getcwd(), path)
    return _Walk(path).open(create=create)


def distrust(path: str) -> UntrustedError | None:
    """Return the reason why a path is not trusted, None if it is, or if it is unreachable for another reason."""
    try:
        open_private(path).close()
    except UntrustedError as error:
        return error
    except OSError:
        pass
    return None


class _Walk:
    """The path from the root to a folder, one step at a time."""

    def __init__(self, path: str) -> None:
        self._steps = path.split("/")[::-1]
        self._place = "/"
        self._folder = os.open("/", _WALK)
        self._links = 0

    def open(self, *, create: bool) -> PrivateFolder:
        """Walk the path and return its last folder."""
        try:
            _refuse(os.fstat(self._folder), self._folder, "/", sticky=True)
            while self._steps:
                name = self._steps.pop()
                if name not in ("", "."):
                    self._step(name, create=create)
            descriptor = os.open(".", _FOLDER, dir_fd=self._folder)
        finally:
            os.close(self._folder)
        found = PrivateFolder(descriptor, self._place)
        _refuse(os.fstat(descriptor), descriptor, self._place)
        return found

    def _step(self, name: str, *, create: bool) -> None:
        path = os.path.normpath(os.path.join(self._place, name))
        try:
            entry = os.open(name, _WALK, dir_fd=self._folder)
        except FileNotFoundError:
            if not create:
                raise
            try:
                os.mkdir(name, _FOLDER_MODE, dir_fd=self._folder)
            except FileExistsError:
                pass
            entry = os.open(name, _WALK, dir_fd=self._folder)
        try:
            status = os.fstat(entry)
            if stat.S_ISLNK(status.st_mode):
                self._follow(entry, status, path)
                return
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
            _refuse(status, entry, path, sticky=True)
            self._folder, entry, self._place = entry, self._folder, path
        finally:
            os.close(entry)

    def _follow(self, link: int, status: os.stat_result, path: str) -> None:
        """Insert the steps of a link; in a folder like /tmp anybody may own it."""
        if status.st_uid not in _trusted_users():
            raise UntrustedError(f"nothing is stored in {path}: that link belongs to another user")
        self._links += 1
        if self._links > _MAX_LINKS:
            raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)
        target = os.readlink("", dir_fd=link)
        self._steps += target.split("/")[::-1]
        if target.startswith("/"):
            os.close(self._folder)
            self._folder, self._place = os.open("/", _WALK), "/"


def _trusted_users() -> tuple[int, int]:
    return (0, os.geteuid())


def _refuse(status: os.stat_result, descriptor: int, path: str, *, sticky: bool = False) -> None:
    """Raise UntrustedError if the open folder is not exclusive to this user or root.

    `sticky` accepts folders where everybody may write but nobody may touch the entries of others.
    """
    if status.st_uid not in _trusted_users():
        raise UntrustedError(f"nothing is stored in {path}: it belongs to another user")
    if sticky and status.st_mode & stat.S_ISVTX:
        return
    by_group = status.st_mode & 0o020 and not _is_of_own_group(status, descriptor)
    if status.st_mode & 0o002 or by_group:
        raise UntrustedError(f"nothing is stored in {path}: other users may write to it")


def _is_of_own_group(status: os.stat_result, descriptor: int) -> bool:
    """Tell whether the group with write access has this user as its only member.

    Many systems give each user such a group, with write access to everything that the user creates.
    """
    try:
        os.getxattr(f"/proc/self/fd/{descriptor}", _ACCESS_LIST)
    except OSError as error:
        return error.errno in (errno.ENODATA, errno.ENOTSUP) and _has_own_group(os.geteuid(), status.st_gid)
    # With an access control list, the group bits of the mode apply to every entry of the list.
    return False


@functools.lru_cache(maxsize=16)
def _has_own_group(user: int, group: int) -> bool:
    # Rarely needed.
    import grp
    import pwd

    try:
        person, members = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:
        return False
    named = members.gr_name == person.pw_name and set(members.gr_mem) <= {person.pw_name}
    return person.pw_gid == group and named
