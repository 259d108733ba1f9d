"""Snapshots: a root tree with its time, host, user and sources (restic design document, "Snapshots").

IDs and times keep the text of the file, so that a rewritten snapshot has the same bytes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from pyrestic.errors import FormatError
from pyrestic.format import document, gojson
from pyrestic.format.document import HexId, UInt32
from pyrestic.ids import ID

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
"""Go's zero time."""

PARTIAL_TAG: Final = "pyrestic:partial"
"""Marks the snapshot of a backup that ended early. A field of its own would not survive `tag` and `copy` of restic."""

# Fields that restic writes even if they are empty.
_ALWAYS: Final = frozenset(("time", "tree", "paths"))


Unknown: TypeAlias = dict[str, msgspec.Raw]
"""Fields of later versions, which are kept when a snapshot is rewritten."""

# msgspec supports no bound above 63 bits.
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_MAX_COUNT: Final = (1 << 64) - 1


def _no_fields() -> Unknown:
    return {}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a backup; absent in snapshots made before restic 0.17. Times are RFC 3339, lengths are in bytes."""

    backup_start: str = ZERO_TIME
    backup_end: str = ZERO_TIME
    files_new: _Count = 0
    files_changed: _Count = 0
    files_unmodified: _Count = 0
    dirs_new: _Count = 0
    dirs_changed: _Count = 0
    dirs_unmodified: _Count = 0
    data_blobs: _Count = 0
    tree_blobs: _Count = 0
    data_added: _Count = 0
    """Bytes of new blobs before compression."""
    data_added_packed: _Count = 0
    """Their stored size in bytes."""
    total_files_processed: _Count = 0
    total_bytes_processed: _Count = 0
    # A name that no field has.
    unknown: Unknown = msgspec.field(default_factory=_no_fields, name="\ue000")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, in restic's field order. `msgspec.structs.replace` makes a changed copy."""

    time: str
    """Start of the backup, RFC 3339 with the local zone offset at that time."""
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
    """The snapshot from which tag, rewrite or copy first derived this one."""
    program_version: str = ""
    summary: Summary | None = None
    unknown: Unknown = msgspec.field(default_factory=_no_fields, name="\ue000")

    @property
    def tree_id(self) -> ID:
        """ID of the root tree."""
        return bytes.fromhex(self.tree)

    @property
    def is_partial(self) -> bool:
        """Whether its backup ended early: what it did not reach is as in the parent, or missing without a parent."""
        return PARTIAL_TAG in self.tags

    @property
    def time_ns(self) -> int:
        """The time in nanoseconds since 1970, UTC."""
        return gojson.parse_time(self.time)


_decoder: Final = msgspec.json.Decoder(Snapshot)
_fields_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES: Final = frozenset(Snapshot.__struct_fields__)
_SUMMARY_NAMES: Final = frozenset(Summary.__struct_fields__)


def encode(snapshot: Snapshot) -> bytes:
    """Return the JSON in restic's form, without a newline. Empty fields are omitted, unknown ones come last."""
    fields = {name: value for name, value in _fields(snapshot).items() if value or name in _ALWAYS}
    if snapshot.summary is not None:
        fields["summary"] = {**_fields(snapshot.summary), **snapshot.summary.unknown}
    return document.encode({**fields, **snapshot.unknown})


def _fields(struct: Snapshot | Summary) -> dict[str, Any]:
    fields = msgspec.structs.asdict(struct)
    del fields["unknown"]
    return fields


def parse(data: bytes) -> Snapshot:
    """Return the snapshot in this JSON; raise FormatError if it is invalid."""
    snapshot = document.decode(_decoder, data, "the snapshot")
    gojson.parse_time(snapshot.time)
    _check_counts(snapshot.summary)
    return _with_unknown(snapshot, gojson.replace_invalid_text(data))


def _check_counts(summary: Summary | None) -> None:
    for name, value in _fields(summary).items() if summary is not None else ():
        if isinstance(value, int) and value > _MAX_COUNT:
            raise FormatError(f"the snapshot is not as restic writes it: {name} is {value}")


def _with_unknown(snapshot: Snapshot, data: bytes) -> Snapshot:
    fields = document.decode(_fields_decoder, data, "the snapshot")
    changes: dict[str, Any] = {}
    unknown = _find_unknown(fields, _NAMES)
    if unknown:
        changes["unknown"] = unknown
    if snapshot.summary is not None and "summary" in fields:
        summary_fields = document.decode(_fields_decoder, fields["summary"], "the summary")
        in_summary = _find_unknown(summary_fields, _SUMMARY_NAMES)
        if in_summary:
            changes["summary"] = msgspec.structs.replace(snapshot.summary, unknown=in_summary)
    return msgspec.structs.replace(snapshot, **changes) if changes else snapshot


def without_unknown(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with only the fields that restic shows."""
    if snapshot.summary is not None and snapshot.summary.unknown:
        snapshot = msgspec.structs.replace(snapshot, summary=msgspec.structs.replace(snapshot.summary, unknown={}))
    return msgspec.structs.replace(snapshot, unknown={}) if snapshot.unknown else snapshot


def _find_unknown(fields: Mapping[str, msgspec.Raw], known: frozenset[str]) -> Unknown:
    """Return copies of the unknown fields; restic ignores the case of the names that it knows."""
    return {name: raw.copy() for name, raw in fields.items() if name.lower() not in known - {"unknown"}}
