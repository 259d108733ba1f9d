"""mfusepy's server with faster answers to the most frequent requests.

mfusepy only supports listings of names. Here a listing returns all attributes with the names (READDIRPLUS of FUSE), and
each entry has the offset of the next one: otherwise libfuse would keep a list of its own without the attributes, and
the kernel would request each file again. Data is copied once, from the decoded blob to libfuse's buffer.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from typing import Any, Final

import mfusepy

LISTING_WANTED: Final = 1
"""The bit of libfuse's fuse_readdir_flags with which the kernel requests attributes."""
ALL_GIVEN: Final = 2
"""The bit of libfuse's fuse_fill_dir_flags that marks the attributes as complete."""
_THREADS_STAY: Final = mfusepy.fuse_version_major >= 3
"""libfuse can be told to keep all threads; version 2 ends idle threads beyond ten."""
_IDLE_THREADS: Final = 1000
"""More than the number of idle threads at any time."""
_NO_ATTRIBUTE: Final = getattr(errno, "ENODATA", errno.ENOENT)


class MountServer(mfusepy.FUSE):  # type: ignore[misc]
    """Serves operations, three of which differ from mfusepy's.

    `readdir_with_offset` returns names with all their attributes, `read(path, memory, offset, number)` fills the buffer
    and returns the number of bytes, and `getxattr(path, name)` takes bytes and returns None for a missing attribute.
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
        """Pass a folder's entries to the kernel; mfusepy looks for this name."""
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
        """Copy bytes of an open file into libfuse's buffer; mfusepy looks for this name."""
        memory = memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buffer.contents))).cast("B")
        return int(self.operations.read(os.fsdecode(path), memory, offset, info.contents.fh))

    def getxattr(self, path: bytes, name: bytes, value: Any, size: int, *_: int) -> int:  # noqa: ANN401 - a pointer of ctypes
        """Return an extended attribute, or its length if the buffer is empty; mfusepy looks for this name.

        Programs that list files request two or three of these per file, and few files have them: this raises nothing.
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
        """Answer one request on a thread of libfuse.

        Python creates a thread state for each call from a foreign thread and drops it with the answer, and with it all
        thread-local data: cipher contexts, read buffers. Holding a reference once keeps it for good.
        """
        if _THREADS_STAY and not hasattr(self._threads, "is_known"):
            self._threads.is_known = True
            ctypes.pythonapi.PyGILState_Ensure()
        return super()._wrapper(function, *arguments, **more)
