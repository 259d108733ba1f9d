"""Moves an entry to a place where nothing is, within one file system."""

import errno
import os
import stat

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}


def move_new(folder: int, name: bytes, new_folder: int, new_name: bytes) -> bool:
    """Move an entry of an open folder; return False if something is at the new place. Raises OSError.

    Nothing is ever replaced, except that an empty folder that appears at the last moment may give way to a folder.
    Where the file system has no hard links, the place is looked at before, not at the same time.
    """
    is_folder = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    try:
        if not is_folder:
            try:
                os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            else:
                os.unlink(name, dir_fd=folder)
                return True
        if _exists(new_folder, new_name):
            return False
        _rename(folder, name, new_folder, new_name, is_folder=is_folder)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _rename(folder: int, name: bytes, new_folder: int, new_name: bytes, *, is_folder: bool) -> None:
    try:
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)
    except PermissionError:
        # A folder that moves to another parent has to be writable itself.
        mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        if not is_folder or mode & stat.S_IWUSR:
            raise
        os.chmod(name, mode | stat.S_IWUSR, dir_fd=folder)
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)
        os.chmod(new_name, mode, dir_fd=new_folder)


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
