"""mfusepy's server, made to answer quickly what the kernel asks most often.

mfusepy knows listings of names only. Here a listing brings all attributes with the names (READDIRPLUS of FUSE), and
each entry says where the next one is found: otherwise libfuse would keep a list of its own without the attributes, and
the kernel would ask for each file again. What is read is copied once, from where it was decoded to libfuse's memory.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from typing import Any, Final

import mfusepy

LISTING_WANTED: Final = 1
"""The bit of libfuse's fuse_readdir_flags by which the kernel asks for attributes."""
ALL_GIVEN: Final = 2
"""The bit of libfuse's fuse_fill_dir_flags that says that all attributes are there."""
_THREADS_STAY: Final = mfusepy.fuse_version_major >= 3
"""libfuse can be told to keep all threads; that of version 2 ends those beyond ten that have nothing to do."""
_IDLE_THREADS: Final = 1000
"""More than ever have nothing to do."""
_NO_ATTRIBUTE: Final = getattr(errno, "ENODATA", errno.ENOENT)


class Server(mfusepy.FUSE):  # type: ignore[misc]
    """Serves operations of which three differ from mfusepy's.

    `readdir_with_offset` gives names with all their attributes, `read(path, memory, offset, number)` fills memory and
    returns how much of it, and `getxattr(path, name)` takes bytes and returns None where there is no such attribute.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - those of mfusepy
        self._threads = threading.local()
        if _THREADS_STAY:
            options["max_idle_threads"] = _IDLE_THREADS
        super().__init__(*arguments, **options)

    def readdir_fuse_3(
        self,
        path: bytes,
        buffer: int,
        fill: Callable[..., int],
        offset: int,
        info: Any,  # noqa: ANN401 - a pointer of ctypes
        flags: int,
    ) -> int:
        """Give a folder's entries to the kernel; mfusepy looks for this name."""
        if not flags & LISTING_WANTED:
            return int(super().readdir_fuse_3(path, buffer, fill, offset, info, flags))
        status = mfusepy.c_stat()
        size = ctypes.sizeof(status)
        entries = self.operations.readdir_with_offset(os.fsdecode(path), offset, info.contents.fh)
        for name, attributes, following in entries:
            ctypes.memset(ctypes.byref(status), 0, size)
            mfusepy.set_st_attrs(status, attributes, use_ns=True)
            if fill(buffer, os.fsencode(name), status, following, ALL_GIVEN):
                break
        return 0

    def read(self, path: bytes, buffer: Any, size: int, offset: int, info: Any) -> int:  # noqa: ANN401 - pointers of ctypes
        """Put bytes of an open file into libfuse's memory; mfusepy looks for this name."""
        memory = memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buffer.contents))).cast("B")
        return int(self.operations.read(os.fsdecode(path), memory, offset, info.contents.fh))

    def getxattr(self, path: bytes, name: bytes, value: Any, size: int, *_: int) -> int:  # noqa: ANN401 - a pointer of ctypes
        """Give an extended attribute, or its length if there is no room; mfusepy looks for this name.

        Programs that list files ask two or three of these for each, and hardly any file has them: this raises nothing.
        """
        found = self.operations.getxattr(path, name)
        if found is None:
            return -_NO_ATTRIBUTE
        if value:
            if len(found) > size:
                return -errno.ERANGE
            ctypes.memmove(value, found, len(found))
        return len(found)

    def _wrapper(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - those of mfusepy
        """Answer one request, by a thread of libfuse.

        Python makes a state for a thread that calls it and drops it with the answer, and with it what is kept for
        each thread: the keys of ciphers, memory to read into. Holding on to it once keeps it for good.
        """
        if _THREADS_STAY and not hasattr(self._threads, "is_known"):
            self._threads.is_known = True
            ctypes.pythonapi.PyGILState_Ensure()
        return super()._wrapper(function, *arguments, **more)
