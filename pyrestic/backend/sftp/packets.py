"""The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02, with OpenSSH's extensions): values <-> bytes.

A packet is a length, a type, and fields: numbers of 4 or 8 bytes, strings with their length before them. All packets
but the first of each side have the ID of a request. Every byte of a reply may be wrong, so each reader here returns a
value or raises TransientError.
"""

import stat
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

from pyrestic.errors import AccessError, TransientError

VERSION = 3
BROKEN_ATTEMPTS = 4
"""Number of invalid replies in a row that end an operation: waiting seldom turns another server into ours."""
HEADER = struct.Struct(">IBI")
"""Length of all that follows it, type, ID of the request."""
LENGTH = struct.Struct(">I")
_LONG = struct.Struct(">Q")
_READ = struct.Struct(">QI")


class RequestType(IntEnum):
    """The types of requests."""

    INIT = 1
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    STAT = 17
    RENAME = 18
    EXTENDED = 200


class ReplyType(IntEnum):
    """The types of replies."""

    VERSION = 2
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRIBUTES = 105
    EXTENDED = 201


class StatusCode(IntEnum):
    """The codes of a status reply."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


class OpenFlag(IntFlag):
    """The flags of a request to open a file."""

    READ = 1
    WRITE = 2
    CREATE = 8
    EXCLUSIVE = 32


class RemoteAttributes(NamedTuple):
    """The attributes of a file, None for each that the server does not tell."""

    length: int | None
    mode: int | None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, as far as the server tells."""
        return self.mode is None or not stat.S_IFMT(self.mode) or stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, as far as the server tells."""
        return self.mode is None or not stat.S_IFMT(self.mode) or stat.S_ISDIR(self.mode)


class RemoteSpace(NamedTuple):
    """What is free on a file system."""

    free_bytes: int
    free_files: int


class RequestLimits(NamedTuple):
    """The longest requests that a server takes."""

    read_bytes: int
    write_bytes: int


_HAS_LENGTH, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 1, 2, 4, 8, 0x80000000


def broken_protocol(how: str) -> TransientError:
    """Return the error for a reply that is invalid."""
    return TransientError(f"the SFTP server broke the protocol: {how}", attempts=BROKEN_ATTEMPTS)


def text_field(text: str) -> bytes:
    """Encode a path or a name."""
    return bytes_field(text.encode("utf-8", "surrogateescape"))


def bytes_field(data: bytes) -> bytes:
    """Encode a string."""
    return LENGTH.pack(len(data)) + data


def mode_field(mode: int | None) -> bytes:
    """Encode attributes with permission bits only, or without any."""
    return LENGTH.pack(0) if mode is None else LENGTH.pack(_HAS_MODE) + LENGTH.pack(mode)


def number_field(number: int) -> bytes:
    """Encode a number of four bytes."""
    return LENGTH.pack(number)


def read_fields(offset: int, length: int) -> bytes:
    """Encode offset and length of a request to read."""
    return _READ.pack(offset, length)


def write_fields(offset: int, length: int) -> bytes:
    """Encode the offset of a request to write, and the length of its data."""
    return _READ.pack(offset, length)


class ReplyFields:
    """Reads the fields of a reply in order; each method raises TransientError if they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        end = self._at + count
        if end > len(self._data):
            raise broken_protocol("a reply ends in the middle of a field")
        self._at, start = end, self._at
        return self._data[start:end]

    def number(self) -> int:
        """Return a number of four bytes."""
        return int.from_bytes(self.take(4))

    def long(self) -> int:
        """Return a number of eight bytes."""
        return int.from_bytes(self.take(8))

    def string(self) -> bytes:
        """Return a string."""
        return self.take(self.number())

    def text(self) -> str:
        """Return a string as text, without loss."""
        return self.string().decode("utf-8", "surrogateescape")

    def attributes(self) -> RemoteAttributes:
        """Return attributes."""
        flags = self.number()
        length = self.long() if flags & _HAS_LENGTH else None
        if flags & _HAS_OWNER:
            self.take(8)
        mode = self.number() if flags & _HAS_MODE else None
        if flags & _HAS_TIMES:
            self.take(8)
        if flags & _HAS_MORE:
            for _ in range(self.number()):
                self.string()
                self.string()
        return RemoteAttributes(length, mode)


def parse_version(body: bytes) -> dict[str, str]:
    """Return the extensions and their versions from the first reply; raise AccessError for another protocol version."""
    fields = ReplyFields(body)
    version = fields.number()
    if version < VERSION:
        raise AccessError(f"the server speaks version {version} of SFTP, not {VERSION}")
    extensions = {}
    while not fields.is_at_end:
        name = fields.text()
        extensions[name] = fields.text()
    return extensions


def parse_names(body: bytes) -> list[tuple[str, RemoteAttributes]]:
    """Return the names and attributes of a part of a folder."""
    fields = ReplyFields(body)
    found = []
    for _ in range(fields.number()):
        name = fields.text()
        fields.string()
        found.append((name, fields.attributes()))
    return found


def parse_status(body: bytes) -> tuple[int, str]:
    """Return code and message; some servers leave out the message."""
    fields = ReplyFields(body)
    code = fields.number()
    return code, "" if fields.is_at_end else fields.string().decode("utf-8", "replace")


def parse_space(body: bytes) -> RemoteSpace:
    """Return the free space from the reply to statvfs@openssh.com."""
    fields = ReplyFields(body)
    numbers = [fields.long() for _ in range(11)]
    _, fragment_bytes, _, _, free, _, _, free_files, *_ = numbers
    return RemoteSpace(fragment_bytes * free, free_files)


def parse_limits(body: bytes) -> RequestLimits:
    """Return the limits from the reply to limits@openssh.com; 0 means that there is none."""
    fields = ReplyFields(body)
    _, read_bytes, write_bytes, _ = (fields.long() for _ in range(4))
    return RequestLimits(read_bytes, write_bytes)
