"""A repository over one backend: its config and key, its unpacked files, its blobs.

Opening needs a password and reads one key file and the config. Callers that need blobs load the index separately
(restic design document, "Keys, Encryption and MAC" and "Repository Layout").

Slow imports, above all numpy, run during a wait: for the second lock check or the key derivation. That is why some
imports of this module are inside functions.
"""

import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from typing_extensions import Buffer

from pyrestic.backend.base import Backend, FileInfo, IndexCopyCache
from pyrestic.backend.fence import Fence, find_fence
from pyrestic.engines import Engines
from pyrestic.errors import (
    DamageError,
    HashMismatchError,
    NoRepositoryError,
    NotFoundError,
    PyresticError,
)
from pyrestic.format.compress import Compression, decode_unpacked, encode_unpacked, is_encoded
from pyrestic.format.config import Config
from pyrestic.format.crypto import MasterKey, import_ciphers
from pyrestic.format.keyfile import ScryptParams
from pyrestic.format.node import Node
from pyrestic.format.tree import parse_tree
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, hash_id, parse_id
from pyrestic.report import Progress, Reporter
from pyrestic.repository.adaptive_map import map_files
from pyrestic.repository.background import Background
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.config_file import open_config
from pyrestic.repository.direct_read import find_near_reader
from pyrestic.repository.keys import OpenedKey, add_key, find_key
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.rereading import read_again
from pyrestic.repository.unfinished import find_unfinished_key

if TYPE_CHECKING:
    from pyrestic.format.index_file import Columns, PackRows
    from pyrestic.repository.index import Index
    from pyrestic.repository.index_columns import Segment
    from pyrestic.repository.index_copy import IndexCopy, ReadIndex
    from pyrestic.repository.index_reading import IndexValues
    from pyrestic.repository.loader import Loader
    from pyrestic.repository.saver import IndexWriter, Saver
    from pyrestic.repository.snapshots import SnapshotList

T = TypeVar("T")
CONFIG = Handle(FileType.CONFIG, "")
DEFAULT_PACK_LENGTH = 16 << 20
MIN_PACK_LENGTH = 4 << 20
MAX_PACK_LENGTH = 128 << 20
_HEAD_START_SECONDS = 0.05
"""How long imports wait at most for the key derivation to begin."""


class RepositoryOptions(msgspec.Struct, frozen=True):
    """Write settings: compression of blobs, target length of packs in bytes, whether to skip reading back."""

    compression: Compression = Compression.AUTO
    pack_length: int = DEFAULT_PACK_LENGTH
    no_extra_verify: bool = False


class IndexFileInfo(NamedTuple):
    """An index file: the packs that it lists, and the number of blobs in them."""

    id: ID
    packs: list[ID]
    blob_count: int


class Repository:
    """An opened repository, from `create` or `open`."""

    def __init__(
        self,
        backend: Backend,
        key: OpenedKey,
        config: Config,
        options: RepositoryOptions,
        engines: Engines | None = None,
        fence: Fence | None = None,
    ) -> None:
        self.backend = backend
        self.fence = fence or find_fence(backend)
        self.config = config
        self.key: MasterKey = key.master
        self.key_id: ID = key.id
        self.listed_keys: tuple[ID, ...] = key.listed
        """The key files at the time of opening."""
        self.options = options
        self.index_files: list[IndexFileInfo] = []
        self.engines = engines or Engines.none()
        self.codec = BlobCodec(self.key, config.version, options.compression, self.engines)
        self.near = find_near_reader(backend)
        self._saver: Saver | None = None
        self.snapshot_watches: list[Callable[[SnapshotList], None]] = []
        self.saved_snapshots: set[ID] = set()
        self.removed_snapshots: set[ID] = set()
        self._parsing = threading.Lock()

    @classmethod
    def create(
        cls,
        backend: Backend,
        password: str,
        *,
        version: int = 2,
        polynomial: int | None = None,
        hostname: str,
        username: str,
        created: str,
        params: ScryptParams | None = None,
        options: RepositoryOptions | None = None,
        engines: Engines | None = None,
    ) -> "Repository":
        """Create a repository in an empty location and return it opened; raise UsageError if one exists.

        If an earlier attempt was killed before it stored the config, and the password opens its key, that key is used.
        """
        key = find_unfinished_key(backend, password)
        config = Config.create(version, polynomial)
        backend.create()
        if key is None:
            master = MasterKey.random()
            key = add_key(
                backend, master, password, hostname=hostname, username=username, created=created, params=params
            )
        repository = cls(backend, key, config, options or RepositoryOptions(), engines)
        # The config is what makes this a repository: it comes last.
        backend.save(CONFIG, repository.codec.seal(config.encode()))
        return repository

    @classmethod
    def open(
        cls,
        backend: Backend,
        password: str,
        *,
        key_hint: str = "",
        options: RepositoryOptions | None = None,
        report: Reporter | None = None,
        wrap: Callable[[Backend, Config], Backend] = lambda backend, _: backend,
        overlap: Overlap[Any] | None = None,
        engines: Engines | None = None,
    ) -> "Repository":
        """Open the repository; raise NoRepositoryError, WrongPasswordError, DamageError or UnsupportedError.

        `wrap` may put a backend around the given one once the repository is known, such as its cache. `overlap`
        has what is done while the key is derived.
        """
        try:
            sealed = backend.load(CONFIG)
        except NotFoundError as error:
            raise NoRepositoryError(
                f"there is no repository here: {error}", hint="Is the location right? Run init to create a new one."
            ) from error
        begun, stopped = threading.Event(), threading.Event()

        def search() -> OpenedKey:
            try:
                return find_key(
                    backend, password, hint=key_hint, report=report, engines=engines, begun=begun, stopped=stopped
                )
            finally:
                begun.set()

        found = Background(search, "key")
        try:
            # Imports hold the GIL, and the key derivation should start as early as possible.
            begun.wait(_HEAD_START_SECONDS)
            import_ciphers()
            if overlap is not None:
                overlap.while_key_is_derived()
            key = found.result()
        finally:
            stopped.set()
        config = open_config(backend, key, sealed)
        return cls(wrap(backend, config), key, config, options or RepositoryOptions(), engines, find_fence(backend))

    @cached_property
    def index(self) -> "Index":
        """The index of all blobs; empty until an index is loaded."""
        from pyrestic.repository.index import Index

        return Index()

    @cached_property
    def loader(self) -> "Loader":
        """The loader of blobs."""
        from pyrestic.repository.loader import Loader

        return Loader(self.backend, self.codec, self.index)

    @cached_property
    def index_writer(self) -> "IndexWriter":
        """Records stored packs in index files."""
        from pyrestic.repository.saver import IndexWriter

        return IndexWriter(self._save_index)

    @property
    def saver(self) -> "Saver":
        """The saver of blobs; its threads start on first use."""
        if self._saver is None:
            from pyrestic.repository.saver import Saver

            self._saver = Saver(
                backend=self.backend,
                codec=self.codec,
                index=self.index,
                index_writer=self.index_writer,
                pack_length=self.options.pack_length,
                verify=not self.options.no_extra_verify,
            )
        return self._saver

    def load_index(self, report: Reporter, *, anew: bool = False) -> None:
        """Read all index files and use them; raise DamageError if one cannot be used. `anew` as in read_index."""
        self.use_index(self.read_index(report, anew=anew))

    def load_new_index(self) -> None:
        """Read and use the index files added since; raise DamageError if one cannot be used."""
        from pyrestic.repository.index_copy import ReadIndex

        known = {info.id for info in self.index_files}
        new = [identifier for identifier in self.list_ids(FileType.INDEX) if identifier not in known]
        self.use_index(ReadIndex([(identifier, self.load_index_file(identifier)) for identifier in new]))

    def use_index(self, read: "ReadIndex") -> None:
        """Use the result of `read_index`, which is emptied, and store a copy of it if worthwhile."""
        if read.copy is not None:
            self._use_copy(read.copy)
        self.index_files += [IndexFileInfo(one, columns.packs, len(columns.ids)) for one, columns in read.files]
        columns = [columns for _, columns in read.files]
        read.files.clear()
        for small in read.small:
            self.index_files.append(IndexFileInfo(small.id, [pack.id for pack in small.packs], small.blob_count))
            for pack in small.packs:
                self.index.add_pack(pack.id, pack.blobs)
        self.index.add_columns(columns)
        whole = self.index.whole_segment()
        if read.keep and whole is not None and (read.copy is None or whole[0] is not read.copy.segment):
            self._keep_copy(*whole)

    def read_index(self, report: Reporter, *, anew: bool = False) -> "ReadIndex":
        """Return the content of all index files; raise DamageError if one cannot be used.

        Uses the copy in the cache, unless `anew` requires the files themselves.
        """
        from pyrestic.repository.index_columns import detach
        from pyrestic.repository.index_copy import ReadIndex, load_copy
        from pyrestic.repository.index_reading import is_small, read_values

        listed = sorted(self.list_files(FileType.INDEX))
        files = [parse_id(info.name) for info in listed]
        cache = self.backend if isinstance(self.backend, IndexCopyCache) and not anew else None
        copy = load_copy(cache, self.codec, set(files)) if cache is not None else None
        if copy is None and not anew and is_small(listed):

            def load(one: ID) -> "IndexValues":
                return read_values(one, self.load_unpacked(FileType.INDEX, one), self.config.version)

            return ReadIndex([], small=self._load_all(report, files, load))
        if copy is not None:
            copied = {file.id for file in copy.files}
            files = [file for file in files if file not in copied]
        columns = self._load_all(report, files, lambda one: detach(self.load_index_file(one)))
        read = list(zip(files, columns, strict=True))
        return ReadIndex(read, copy, keep=cache is not None)

    def _load_all(self, report: Reporter, files: list[ID], load: Callable[[ID], T]) -> list[T]:
        """Return the results of `load` for index files, whose number is shown."""
        progress = Progress("index files loaded", "files", len(files), only_on_terminal=True)
        loaded = []
        with report.show(progress):
            for one in map_files(load, files, self.backend.connections):
                loaded.append(one)
                progress.done += 1
        return loaded

    def _use_copy(self, copy: "IndexCopy") -> None:
        self.index.add_segment(copy.segment, copy.packs)
        start = 0
        for file in copy.files:
            packs = copy.packs[start : start + file.pack_count]
            start += file.pack_count
            self.index_files.append(IndexFileInfo(file.id, packs, file.blob_count))

    def _keep_copy(self, segment: "Segment", packs: list[ID]) -> None:
        from pyrestic.repository.index_copy import CopiedFile, IndexCopy, is_worth_while, save_copy

        files = [CopiedFile(file.id, len(file.packs), file.blob_count) for file in self.index_files]
        if isinstance(self.backend, IndexCopyCache) and is_worth_while(segment, files):
            save_copy(self.backend, self.codec, IndexCopy(files, packs, segment))

    def load_index_file(self, identifier: ID) -> "Columns":
        """Return the content of one index file; raise DamageError."""
        from pyrestic.repository.index_reading import read_columns

        data = self.load_unpacked(FileType.INDEX, identifier)
        # The GIL lets one thread parse at a time anyway; partly parsed files take ten times their columns.
        with self._parsing:
            return read_columns(identifier, data, self.config.version)

    def list_files(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate files of a type with their lengths in bytes."""
        return self.backend.list(file_type)

    def list_ids(self, file_type: FileType) -> Iterator[ID]:
        """Iterate the IDs of the files of a type."""
        return (parse_id(info.name) for info in self.backend.list(file_type))

    def load_unpacked(self, file_type: FileType, identifier: ID) -> bytes:
        """Return the verified plaintext of an index, snapshot or lock file; raise DamageError or BackendError."""
        handle = Handle(file_type, identifier.hex())
        return read_again(self.backend, handle, lambda: self._load_unpacked(file_type, identifier))

    def load_config(self) -> bytes:
        """Return the plaintext of the config file as stored now."""
        return read_again(self.backend, CONFIG, lambda: self.codec.open(self.backend.load(CONFIG)))

    def save_unpacked(self, file_type: FileType, data: bytes, remember: Callable[[ID], object] = lambda _: None) -> ID:
        """Store an index, snapshot or lock file and return its ID; `remember` is called with the ID before that."""
        sealed = self.codec.seal(encode_unpacked(data, self.config.version))
        if not self.options.no_extra_verify and not is_encoded(self.codec.open(sealed), data, self.config.version):
            raise PyresticError(f"a {file_type.value} file could not be read back before it was stored")
        identifier = hash_id(sealed)
        remember(identifier)
        self.backend.save(Handle(file_type, identifier.hex()), sealed)
        if file_type is FileType.SNAPSHOT:
            self.saved_snapshots.add(identifier)
        return identifier

    def remove(self, file_type: FileType, identifier: ID) -> None:
        """Remove a file; raise NotFoundError or BackendError."""
        if file_type is FileType.SNAPSHOT:
            self.removed_snapshots.add(identifier)
        self.backend.remove(Handle(file_type, identifier.hex()))

    def load_blob(self, handle: BlobHandle) -> bytes:
        """Return the verified plaintext of a blob; raise MissingBlobError, DamageError or BackendError."""
        return self.loader.load(handle)

    def load_tree(self, identifier: ID) -> list[Node]:
        """Return the nodes of a tree; raise MissingBlobError, DamageError or BackendError."""
        return parse_tree(self.loader.load(BlobHandle(BlobType.TREE, identifier)))

    def open_sealed(self, sealed: Buffer) -> bytes:
        """Return the plaintext of sealed bytes; raise UnauthenticError."""
        return self.codec.open(sealed)

    def flush(self) -> None:
        """Store all saved blobs and their index."""
        if self._saver is not None:
            self._saver.flush()

    def close(self) -> None:
        """End all threads and connections. Blobs saved since the last flush are dropped."""
        self.end_saving()
        self.backend.close()

    def end_saving(self) -> None:
        """End the saving threads. Blobs saved since the last flush are dropped."""
        if self._saver is not None:
            self._saver.close()

    def _load_unpacked(self, file_type: FileType, identifier: ID) -> bytes:
        handle = Handle(file_type, identifier.hex())
        sealed = self.backend.load(handle)
        if hash_id(sealed) != identifier:
            raise HashMismatchError(f"file {handle} is damaged: its hash does not match its name")
        try:
            plain = self.codec.open(sealed)
            return decode_unpacked(plain, self.config.version, decompressor=self.codec.decompressor)
        except DamageError as error:
            raise type(error)(f"file {handle} is damaged: {error}") from error

    def _save_index(self, packs: "list[PackRows]") -> None:
        from pyrestic.format import index_file

        identifier = self.save_unpacked(FileType.INDEX, index_file.encode_rows(packs))
        blobs = sum(len(pack.blobs.ids) for pack in packs)
        self.index_files.append(IndexFileInfo(identifier, [pack.id for pack in packs], blobs))
