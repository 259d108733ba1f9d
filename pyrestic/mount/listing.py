"""Listings of folders together with the attributes of what is in them (READDIRPLUS of FUSE).

mfusepy knows listings of names only. What the kernel makes of the attributes is up to it and to libfuse: they may still
ask for a name as soon as somebody looks at it.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any, Final

import mfusepy

LISTING_WANTED: Final = 1
"""The bit of libfuse's fuse_readdir_flags by which the kernel asks for attributes."""
ALL_GIVEN: Final = 2
"""The bit of libfuse's fuse_fill_dir_flags that says that all attributes are there."""


class ListingFuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy's server for operations whose `readdir` returns names with all their attributes."""

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
        for name, attributes, _ in self.operations.readdir(os.fsdecode(path), info.contents.fh):
            ctypes.memset(ctypes.byref(status), 0, ctypes.sizeof(status))
            mfusepy.set_st_attrs(status, attributes, use_ns=True)
            if fill(buffer, os.fsencode(name), status, 0, ALL_GIVEN):
                break
        return 0
