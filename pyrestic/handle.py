"""Names of files of a backend (FileType, Handle) and of blobs in packs (BlobType, BlobHandle)."""

from enum import Enum, IntEnum
from typing import Literal, NamedTuple

from pyrestic.ids import ID, short


class FileType(Enum):
    """Types of repository files; the value is restic's word for it."""

    CONFIG = "config"
    KEY = "key"
    LOCK = "lock"
    SNAPSHOT = "snapshot"
    INDEX = "index"
    PACK = "data"


class Handle(NamedTuple):
    """A file in a backend. `name` is 64 hex digits, or "" for the config."""

    type: FileType
    name: str

    def __str__(self) -> str:
        return "<config>" if self.type is FileType.CONFIG else f"<{self.type.value}/{self.name[:10]}>"


class BlobType(IntEnum):
    """Kinds of blobs; the value is the type byte of an uncompressed blob in a pack header."""

    DATA = 0
    TREE = 1

    @property
    def word(self) -> Literal["data", "tree"]:
        """The word in restic's JSON: "data" or "tree"."""
        return "data" if self is BlobType.DATA else "tree"


class BlobHandle(NamedTuple):
    """A blob: its type and the ID of its plaintext."""

    type: BlobType
    id: ID

    def __str__(self) -> str:
        return f"<{self.type.word}/{short(self.id)}>"
