"""The types of compiled code (engines.py): interfaces of its parts, and the values they exchange."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from typing_extensions import Buffer

from pyrestic.format.compress import Compression
from pyrestic.format.crypto import MasterKey

if TYPE_CHECKING:
    # At run time, only users of arrays need numpy.
    from numpy.typing import NDArray

Numbers: TypeAlias = "Sequence[int] | NDArray[Any]"


class PackHash(Protocol):
    """The hash of a pack whose parts `BatchCodec.verify_part` takes."""

    def finish(self, rest: bytes) -> bytes:
        """Return the SHA-256 of all parts followed by `rest`; no further part may follow."""


class BatchCodec(Protocol):
    """Seals, opens and hashes batches of blobs with one key; not thread-safe.

    `data` and `out` are any contiguous buffers. Blobs are in data at `starts` with `lengths`; `ids` has the
    concatenated SHA-256 of their plaintexts. Numbers may be lists or arrays.
    """

    @property
    def hashes_pairs(self) -> bool:
        """Whether this processor hashes two messages at a time faster than one after the other."""

    def hash_all(self, data: Buffer, starts: Numbers, lengths: Numbers) -> bytes | None:
        """Return the concatenated SHA-256 of the blobs; None if one of them is not inside data."""

    def verify_all(
        self, data: Buffer, starts: Numbers, lengths: Numbers, plain_lengths: Numbers, ids: Buffer
    ) -> list[int]:
        """Return which of many sealed blobs are not known to be intact: `decode` reports the error of each.

        The others have the correct tag, frame, length and hash. A plain length is 0 if a blob is not compressed.
        """

    def begin_hash(self) -> PackHash | None:
        """Return the hash of a pack for the parts of `verify_part`, None if it does not hash pairs."""

    def verify_part(
        self,
        running: Any,  # noqa: ANN401 - what begin_hash of the same engine has made
        data: Buffer,
        starts: Numbers,
        lengths: Numbers,
        plain_lengths: Numbers,
        ids: Buffer,
    ) -> list[int]:
        """Return the result of `verify_all` for the blobs in the next part of a pack, which is also added to `running`.

        That takes little more time than hashing only the sealed bytes or the plaintexts.
        """

    def decode_all(
        self, data: Buffer, starts: Numbers, lengths: Numbers, plain_lengths: Numbers, ids: Buffer, out: Buffer
    ) -> list[int]:
        """Write the concatenated plaintexts of sealed blobs to out; return as `verify_all` does.

        For a damaged blob, its part of out is undefined. Raises ValueError if out is too short.
        """

    def encode_all(
        self,
        data: Buffer,
        starts: Numbers,
        lengths: Numbers,
        ids: Buffer,
        out: Buffer,
        *,
        compress: bool,
        verify: bool,
    ) -> list[int] | None:
        """Seal blobs into out, one after the other, and return the sealed lengths; None if anything is unusual.

        `out` must have the length from `room_for`. With `verify`, each blob is read back: opened, decompressed, its
        hash compared.
        """

    def room_for(self, lengths: Sequence[int]) -> int:
        """Return the maximum length of the result of `encode_all` for blobs of these lengths."""


class BatchCodecMaker(Protocol):
    """Makes a codec for each thread."""

    def make_engine(self, key: MasterKey, compression: Compression) -> BatchCodec:
        """Return a codec; raise OSError if the system's libraries lack a function."""


class FileRecords(NamedTuple):
    """The results for each file: columns in the order of the paths. Times are seconds and nanoseconds since 1970."""

    lengths: list[int]
    """Bytes read, -1 for a file that must be read individually; the other columns are then undefined."""
    starts: list[int]
    """Start offset of the bytes in the buffer."""
    modes: list[int]
    links: list[int]
    uids: list[int]
    gids: list[int]
    inodes: list[int]
    devices: list[int]
    mtimes: list[int]
    mtime_ns: list[int]
    ctimes: list[int]
    ctime_ns: list[int]
    atimes: list[int]
    atime_ns: list[int]
    attributes: list[int]
    """0 for a file without extended attributes."""


class BatchReader(Protocol):
    """Reads batches of small files into one buffer; not thread-safe."""

    buffer: memoryview

    def read(self, folders: Sequence[int], paths: Sequence[bytes]) -> FileRecords:
        """Read files into the buffer, from its start on; a file that does not fit gets the length -1.

        Each path is relative to the open folder of the same number, and no link on it is followed.
        """


class BatchReaderMaker(Protocol):
    """Makes a reader for each thread."""

    def make(self, count: int, limit: int, room: int) -> BatchReader:
        """Return a reader of up to `count` files of up to `limit` bytes, with a buffer of `room` bytes."""


class PlainMetadata(NamedTuple):
    """The metadata of most files: owner, mode, times in seconds and nanoseconds since 1970. -1 keeps an owner."""

    uid: int
    gid: int
    permissions: int
    atime: int
    atime_ns: int
    mtime: int
    mtime_ns: int


class NewFile(NamedTuple):
    """A file to create: its open folder, its name, and the range of its content in the data, in bytes."""

    folder: int
    name: bytes
    start: int
    length: int
    metadata: PlainMetadata


class Stamp(NamedTuple):
    """Identifies an unmodified finished file later: its inode number and change time in nanoseconds."""

    inode: int
    ctime_ns: int


class Written(NamedTuple):
    """The results of files: a stamp for each finished one, None for one that must be written individually.

    `denied` counts those among the finished ones that could not be given to their owners.
    """

    stamps: list[Stamp | None]
    denied: int


class BatchWriter(Protocol):
    """Writes batches of new files; thread-safe."""

    def write(self, files: Sequence[NewFile], data: memoryview, *, need_owner: bool) -> Written:
        """Make files in one go; `data` lies in one piece. Without `need_owner` a file is finished if nothing else than
        its owner is wrong.
        """
