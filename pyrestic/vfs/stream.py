"""The content of a stored file as a binary stream of Python's io module."""

import io
import os

from typing_extensions import Buffer

from pyrestic.vfs.reader import FileReader

_BUFFER_BYTES = 256 << 10


class _RawStream(io.RawIOBase):
    """Reads and seeks; reads raise the errors of FileReader.read."""

    def __init__(self, reader: FileReader) -> None:
        super().__init__()
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        """Whether it is readable: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it is seekable: yes."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        self._refuse_closed()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek to a position and return it; positions beyond the end are allowed and read as empty."""
        self._refuse_closed()
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._reader.length}
        if whence not in starts:
            raise ValueError(f"{whence!r} is not a valid whence")
        position = starts[whence] + offset
        if position < 0:
            raise ValueError(f"invalid position {position}")
        self._position = position
        return position

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer from the position on; return the number of bytes, 0 at the end."""
        self._refuse_closed()
        count = self._reader.read_into(self._position, memoryview(buffer).cast("B"))
        self._position += count
        return count

    def _refuse_closed(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")


class ContentStream(io.BufferedReader):
    """A seekable binary stream of a file's content."""

    def __init__(self, reader: FileReader) -> None:
        super().__init__(_RawStream(reader), _BUFFER_BYTES)
        self.size = reader.length
        """The length of the content in bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes, or everything up to the end for None and -1."""
        # BufferedReader allocates the requested size.
        return super().read(-1 if size is not None and size > self.size else size)
