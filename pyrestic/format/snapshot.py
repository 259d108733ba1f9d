"""Snapshots: a root tree, and when, where, by whom and of what it was made (restic design document, "Snapshots").

IDs and times are kept as the text that stands in the file, so that what is written back is what was read.
"""

from typing import Final

import msgspec

from pyrestic.format import document, gojson
from pyrestic.format.document import HexId, UInt32
from pyrestic.ids import ID

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
"""What Go writes for a time that was never set."""

# Fields that restic writes even if they are empty.
_ALWAYS: Final = frozenset(("time", "tree", "paths"))


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup counted; absent in snapshots made before restic 0.17. Times are RFC 3339, lengths are bytes."""

    backup_start: str = ZERO_TIME
    backup_end: str = ZERO_TIME
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    data_added: int = 0
    """Bytes of new blobs before compression."""
    data_added_packed: int = 0
    """Bytes they take in the repository."""
    total_files_processed: int = 0
    total_bytes_processed: int = 0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, in the order restic writes it. `msgspec.structs.replace` makes a changed copy."""

    time: str
    """When the backup began, RFC 3339 with the zone offset of that place and moment."""
    parent: HexId | None = None
    tree: HexId
    paths: list[str] = []
    hostname: str = ""
    username: str = ""
    uid: UInt32 = 0
    gid: UInt32 = 0
    excludes: list[str] = []
    tags: list[str] = []
    original: HexId | None = None
    """The snapshot this one was first made from by tag, rewrite or copy."""
    program_version: str = ""
    summary: Summary | None = None

    @property
    def tree_id(self) -> ID:
        """ID of the root tree."""
        return bytes.fromhex(self.tree)

    @property
    def time_ns(self) -> int:
        """The time in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.time)


_decoder: Final = msgspec.json.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """Return the JSON as restic writes it, without a newline. Empty fields are left out."""
    fields = {name: value for name, value in msgspec.structs.asdict(snapshot).items() if value or name in _ALWAYS}
    return document.encode(fields)


def parse(data: bytes) -> Snapshot:
    """Return the snapshot in this JSON; unknown fields are dropped. Raise FormatError if it is none."""
    snapshot = document.decode(_decoder, data, "the snapshot")
    gojson.parse_time(snapshot.time)
    return snapshot
