"""Lock files: the user of the repository, and whether exclusive (restic design document, "Locks")."""

from typing import Final

import msgspec

from pyrestic.format import document, gojson
from pyrestic.format.document import Int64, UInt32
from pyrestic.format.snapshot import ZERO_TIME

# Fields that restic omits if they are zero.
_OMITTED_IF_ZERO: Final = frozenset(("uid", "gid", "pyrestic_process"))


class LockFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a lock file, in restic's order. Missing fields count as empty."""

    time: str = ZERO_TIME
    """When the lock was created or last refreshed, RFC 3339."""
    exclusive: bool = False
    hostname: str = ""
    username: str = ""
    pid: Int64 = 0
    uid: UInt32 = 0
    gid: UInt32 = 0
    pyrestic_process: str = ""
    """Identifies the process uniquely (see repository.machine); restic ignores this field."""

    @property
    def time_ns(self) -> int:
        """The time in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.time)


_decoder: Final = msgspec.json.Decoder(LockFile)


def encode(lock: LockFile) -> bytes:
    """Return the JSON as restic writes it, without a newline."""
    fields = {
        name: value for name, value in msgspec.structs.asdict(lock).items() if value or name not in _OMITTED_IF_ZERO
    }
    return document.encode(fields)


def parse(data: bytes) -> LockFile:
    """Return the lock in this JSON; unknown fields are dropped. Raise FormatError if it is invalid."""
    lock = document.decode(_decoder, data, "the lock file")
    gojson.parse_time(lock.time)
    return lock
