"""What passes through the door to compiled code (engines.py): interfaces of its parts, and the values they exchange."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from typing_extensions import Buffer

from pyrestic.format.compress import Compression
from pyrestic.format.crypto import MasterKey

if TYPE_CHECKING:
    # At run time only those need numpy who have arrays.
    from numpy.typing import NDArray

Numbers: TypeAlias = "Sequence[int] | NDArray[Any]"


class PackHash(Protocol):
    """The hash of a pack whose parts `BatchCodec.verify_part` takes."""

    def finish(self, rest: bytes) -> bytes:
        """Return the SHA-256 of all parts and of `rest` behind them; no part may come any more."""


class BatchCodec(Protocol):
    """Seals, opens and hashes batches of blobs with one key, for one thread at a time.

    `data` and `out` may be anything that lies in memory in one piece. Blobs lie in data at `starts` with `lengths`;
    `ids` has the SHA-256 of their plaintexts one after the other. Numbers may be lists or arrays.
    """

    @property
    def hashes_pairs(self) -> bool:
        """This processor hashes two messages at a time in less time than one after the other."""

    def hash_all(self, data: Buffer, starts: Numbers, lengths: Numbers) -> bytes | None:
        """Return the SHA-256 of each blob, one after the other; None if one of them does not lie in data."""

    def verify_all(
        self, data: Buffer, starts: Numbers, lengths: Numbers, plain_lengths: Numbers, ids: Buffer
    ) -> list[int]:
        """Return which of many sealed blobs are not known to be intact: `decode` says of each what is wrong.

        The others are what they should be, in tag, frame, length and hash. A plain length is 0 if a blob is not
        compressed.
        """

    def begin_hash(self) -> PackHash | None:
        """Return the hash of a pack whose parts `verify_part` will take, None if it does not hash pairs."""

    def verify_part(
        self,
        running: Any,  # noqa: ANN401 - what begin_hash of the same engine has made
        data: Buffer,
        starts: Numbers,
        lengths: Numbers,
        plain_lengths: Numbers,
        ids: Buffer,
    ) -> list[int]:
        """Return what `verify_all` returns for the blobs in the next part of a pack, all of which `running` takes too.

        That costs little more time than to hash one of them, sealed bytes or plaintexts.
        """

    def decode_all(
        self, data: Buffer, starts: Numbers, lengths: Numbers, plain_lengths: Numbers, ids: Buffer, out: Buffer
    ) -> list[int]:
        """Write the plaintexts of sealed blobs to out, one after the other; return as `verify_all` does.

        Where a blob is not intact its part of out has any bytes. Raises ValueError if out is too short for all.
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

        `out` needs what `room_for` says. With `verify` each is read back: opened, decompressed, its hash compared.
        """

    def room_for(self, lengths: Sequence[int]) -> int:
        """Return how many bytes `encode_all` may need for blobs of these lengths."""


class BatchCodecMaker(Protocol):
    """Makes a codec for each thread."""

    def make_engine(self, key: MasterKey, compression: Compression) -> BatchCodec:
        """Return a codec; raise OSError if the system's libraries have not all that it needs."""


class FileRecords(NamedTuple):
    """What was found of each file: columns in the order of the paths. Times are seconds and nanoseconds since 1970."""

    lengths: list[int]
    """Bytes read, -1 for a file that has to be read in the usual way; only with others the rest means something."""
    starts: list[int]
    """Where the bytes begin in the buffer."""
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
    """Reads many small files at a time into one buffer. Not for two threads at once."""

    buffer: memoryview

    def read(self, folders: Sequence[int], paths: Sequence[bytes]) -> FileRecords:
        """Read files into the buffer, from its start on; of what does not fit there the length is -1.

        Each path is relative to the open folder of the same number, and no link on it is followed.
        """


class BatchReaderMaker(Protocol):
    """Makes a reader for each thread."""

    def make(self, count: int, limit: int, room: int) -> BatchReader:
        """Return a reader of up to `count` files of up to `limit` bytes, with a buffer of `room` bytes."""


class PlainMetadata(NamedTuple):
    """All that most files have: owner, permissions, times in seconds and nanoseconds since 1970. -1 leaves an owner."""

    uid: int
    gid: int
    permissions: int
    atime: int
    atime_ns: int
    mtime: int
    mtime_ns: int


class NewFile(NamedTuple):
    """A file to make: in an open folder, under a name; its content is that part of the data, in bytes."""

    folder: int
    name: bytes
    start: int
    length: int
    metadata: PlainMetadata


class Stamp(NamedTuple):
    """What tells later whether a finished file was touched since: its inode and its time of change in nanoseconds."""

    inode: int
    ctime_ns: int


class Written(NamedTuple):
    """What became of files: a stamp for each that is finished, None for one that is to be written in the usual way.

    `denied` counts those among the finished ones that could not be given to their owners.
    """

    stamps: list[Stamp | None]
    denied: int


class BatchWriter(Protocol):
    """Writes many new files at a time; for any thread."""

    def write(self, files: Sequence[NewFile], data: memoryview, *, need_owner: bool) -> Written:
        """Make files in one go; `data` lies in one piece. Without `need_owner` a file is finished if nothing else than
        its owner is wrong.
        """
