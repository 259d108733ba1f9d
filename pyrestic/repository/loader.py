"""Loads blobs: one at a time, or many in as few ranged requests as useful.

A blob may be in several packs; if one copy is damaged or its pack is missing, the next is tried. For many blobs, the
wanted ranges of each pack are merged across gaps of up to 1 MiB (a request costs more than some extra data) into
requests of at most 32 MiB. The thread that made a request decodes it, so the number of threads bounds the memory.

If thousands of backups have left a small pack each, a walk through trees is thousands of small requests. On a local
disk, handing a request to another thread costs as much as the request, so fast requests are handed over in groups.
Longer ranges of local packs are read in pieces: see direct_read.py.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from typing_extensions import Buffer

from pyrestic.backend.base import Backend
from pyrestic.errors import BackendError, DamageError, MissingBlobError, PyresticError
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, short
from pyrestic.repository.batch_decoder import Batch, BatchDecoder
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.direct_read import PIECE_BYTES, find_near_reader
from pyrestic.repository.rereading import READS, forget_copy

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.engine_types import BatchCodec
    from pyrestic.repository.index import Index, PackedBlob

MAX_GAP = 1 << 20
MAX_REQUEST = 32 << 20
SMALL_BLOB = 64 << 10
GROUP_REQUESTS = 16
GROUP_BYTES = 1 << 20
QUICK_SECONDS = 0.001
ENGINE_BLOBS = 1000
ENGINE_BYTES = 64 << 20
"""From this number of small blobs, or bytes of any, an engine is worth its compilation."""
PAIRS_BYTES = 4 << 20
"""Length of pieces if the plaintexts in them are hashed two at a time."""

Outcome: TypeAlias = tuple[BlobHandle, bytes | PyresticError]
"""A blob with its plaintext, or with the reason why there is none."""
T = TypeVar("T")


def plain_of(outcome: bytes | PyresticError) -> bytes:
    """Return the plaintext of an outcome, or raise its error."""
    if isinstance(outcome, PyresticError):
        raise outcome
    return outcome


class PackRange(NamedTuple):
    """One request: the bytes of a pack from the first to the last blob, blobs in order of offset."""

    pack: ID
    blobs: "list[PackedBlob]"

    @property
    def offset(self) -> int:
        """Start of the request, in bytes."""
        return self.blobs[0].offset

    @property
    def length(self) -> int:
        """Bytes requested."""
        return self.blobs[-1].offset + self.blobs[-1].length - self.blobs[0].offset

    @property
    def has_small_blobs(self) -> bool:
        """Whether its blobs are small on average."""
        return self.length < SMALL_BLOB * len(self.blobs)


Decode: TypeAlias = Callable[[PackRange, Buffer, bool], Iterator[T]]
"""Decodes the blobs of a fetched request, with an engine if the last argument says so."""


def split_ranges(blobs: "list[PackedBlob]", max_request: int = MAX_REQUEST) -> Iterator[PackRange]:
    """Split the wanted blobs of one pack, in order of offset, into requests of limited length, or single blobs."""
    run: list[PackedBlob] = []
    for blob in blobs:
        if run:
            gap = blob.offset - (run[-1].offset + run[-1].length)
            if gap > MAX_GAP or blob.offset + blob.length - run[0].offset > max_request:
                yield PackRange(run[0].pack, run)
                run = []
        run.append(blob)
    if run:
        yield PackRange(run[0].pack, run)


def plan(index: "Index", handles: Iterable[BlobHandle]) -> tuple[list[PackRange], list[BlobHandle]]:
    """Return the requests that fetch each blob once, packs in order of first use, and the unknown blobs."""
    chosen: list[PackedBlob] = []
    missing: list[BlobHandle] = []
    packs: set[ID] = set()
    for handle in dict.fromkeys(handles):
        places = index.find_all(handle)
        if not places:
            missing.append(handle)
            continue
        # Prefer a copy in a pack that is required anyway.
        place = next((p for p in places if p.pack in packs), places[0])
        packs.add(place.pack)
        chosen.append(place)
    return plan_places(chosen), missing


def plan_places(places: "Iterable[PackedBlob]") -> list[PackRange]:
    """Return the requests that fetch blobs from these locations, packs in order of first use."""
    wanted: dict[ID, list[PackedBlob]] = {}
    for place in places:
        wanted.setdefault(place.pack, []).append(place)
    ranges: list[PackRange] = []
    for blobs in wanted.values():
        blobs.sort(key=lambda blob: blob.offset)
        ranges.extend(split_ranges(blobs))
    return ranges


def _look_ahead(ranges: Iterable[PackRange]) -> tuple[Iterable[PackRange], bool]:
    """Return the same ranges and whether they are worth an engine, without consuming all of them."""
    rest = iter(ranges)
    seen: list[PackRange] = []
    blobs, length = ENGINE_BLOBS, ENGINE_BYTES
    while blobs > 0 and length > 0 and (request := next(rest, None)) is not None:
        seen.append(request)
        blobs -= len(request.blobs)
        length -= request.length
    return chain(seen, rest), blobs <= 0 or length <= 0


def missing_blob(handle: BlobHandle) -> MissingBlobError:
    """Return the error for a blob that is missing from the index."""
    return MissingBlobError(
        f"blob {handle} is not in the index of the repository",
        hint="Run check to see what is affected; repair index finds blobs that only the index has lost.",
    )


class Loader:
    """Loads blobs of one repository; thread-safe."""

    def __init__(self, backend: Backend, codec: BlobCodec, index: "Index") -> None:
        self._backend = backend
        self._codec = codec
        self._index = index
        self._near = find_near_reader(backend)
        self._decoder = BatchDecoder(codec)
        self._quick = False
        """Recent small requests were faster than handing them to threads."""

    def load(self, handle: BlobHandle) -> bytes:
        """Return the verified plaintext of a blob from any pack with an intact copy.

        Raises MissingBlobError if it is missing from the index, else the error of the last copy that was tried.
        """
        places = self._index.find_all(handle)
        if not places:
            raise missing_blob(handle)
        failure: PyresticError | None = None
        # Later rounds bypass a cache whose copy was damaged.
        for _ in range(READS):
            for place in places:
                try:
                    return self._load_place(place)
                except (DamageError, BackendError) as error:
                    failure = error
                    forget_copy(self._backend, Handle(FileType.PACK, place.pack.hex()))
        assert failure is not None  # noqa: S101 - places is not empty
        raise failure

    def load_many(self, ranges: Iterable[PackRange], work: Callable[[Batch], T]) -> Iterator[T]:
        """Load all blobs of the ranges in batches, and iterate the results of `work` for them.

        `work` runs on the thread that decoded the batch, this one or another, several at a time; when it returns, the
        batch's buffer is reused. An exception of `work` ends the run and is raised here.
        """
        ranges, are_many = _look_ahead(ranges)

        def decode(request: PackRange, fetched: Buffer, with_engine: bool) -> Iterator[T]:
            return map(work, self._decode(request, fetched, with_engine=with_engine))

        return self._run(ranges, decode, self._codec.engine if are_many else None)

    def load_each(self, handles: Iterable[BlobHandle], *, limit_bytes: int | None = None) -> Iterator[Outcome]:
        """Load blobs, each once, and iterate their plaintexts or errors in the order in which they come.

        With `limit_bytes`, requests end when their blobs reach that total length; the first is always made.
        """
        ranges, missing = plan(self._index, handles)
        for handle in missing:
            yield handle, missing_blob(handle)
        limited = ranges if limit_bytes is None else _up_to(ranges, limit_bytes)
        # Batches of an engine would have to be copied, and several would be held at once.
        yield from self._run(limited, self._decode_each, None)

    def _run(self, ranges: Iterable[PackRange], decode: "Decode[T]", engine: "BatchCodec | None") -> Iterator[T]:
        """Fetch ranges on several threads, and iterate what `decode` makes of them there."""
        stop = threading.Event()
        count = ahead = self._backend.connections
        # For long blobs, only the hash takes time.
        pairs = engine is not None and engine.hashes_pairs
        if self._near is not None:
            length = PAIRS_BYTES if pairs else PIECE_BYTES
            ranges = (piece for request in ranges for piece in split_ranges(request.blobs, length))
            # Pieces take little memory, and a thread that finishes before the awaited one finds more to do.
            ahead = 2 * count

        def load(group: list[PackRange], with_engine: bool) -> Iterator[T]:
            return iter(list(self._load(group, decode, stop, with_engine=with_engine)))

        def load_small(group: list[PackRange]) -> Iterator[T]:
            fetched = self._fetch_group(group)
            # Decoded by the calling thread: threads that decode small blobs in parallel only pass the GIL around.
            return chain.from_iterable(decode(*each, False) for each in zip(group, fetched, strict=True))

        with ThreadPoolExecutor(count, "load") as pool:
            running: deque[Future[Iterator[T]]] = deque()
            try:
                for group in self._groups(ranges):
                    if len(running) == ahead:
                        yield from running.popleft().result()
                    is_small = group[0].has_small_blobs
                    if is_small and engine is None:
                        running.append(pool.submit(load_small, group))
                    else:
                        running.append(pool.submit(load, group, pairs or is_small))
                while running:
                    yield from running.popleft().result()
            finally:
                stop.set()

    def _groups(self, ranges: Iterable[PackRange]) -> Iterator[list[PackRange]]:
        """Iterate the work items of a thread: one request, or several small ones if they are fast."""
        group: list[PackRange] = []
        length = 0
        for request in ranges:
            if group and not (request.has_small_blobs and length + request.length <= GROUP_BYTES):
                yield group
                group, length = [], 0
            group.append(request)
            length += request.length
            if not (self._quick and request.has_small_blobs and len(group) < GROUP_REQUESTS):
                yield group
                group, length = [], 0
        if group:
            yield group

    def _fetch_group(self, group: list[PackRange]) -> list[bytes]:
        started = time.monotonic()
        fetched = [self._fetch(request) for request in group]
        self._quick = time.monotonic() - started < QUICK_SECONDS * len(group)
        return fetched

    def _load(
        self, group: list[PackRange], decode: "Decode[T]", stop: threading.Event, *, with_engine: bool
    ) -> Iterator[T]:
        """Fetch and decode requests; with an engine, most of that releases the GIL."""
        seconds = 0.0
        for request in group:
            started = time.monotonic()
            fetched = self._borrow(request)
            seconds += time.monotonic() - started
            for result in decode(request, fetched, with_engine):
                if stop.is_set():
                    return
                yield result
        if group[0].has_small_blobs:
            self._quick = seconds < QUICK_SECONDS * len(group)

    def _fetch(self, request: PackRange) -> bytes:
        """Return the bytes of a range, none if the pack cannot be read."""
        try:
            return self._load_bytes(request.pack, request.blobs[0].type, request.offset, request.length)
        except (BackendError, DamageError):
            return b""

    def _borrow(self, request: PackRange) -> Buffer:
        """Return the result of _fetch, in a buffer that this thread's next call may reuse."""
        if self._near is None or request.blobs[0].type is BlobType.TREE:
            return self._fetch(request)
        try:
            return self._near.read(request.pack, request.offset, request.length)
        except (BackendError, DamageError):
            return b""

    def _decode(self, request: PackRange, fetched: Buffer, *, with_engine: bool) -> Iterator[Batch]:
        blobs, data, start = request.blobs, memoryview(fetched), request.offset
        if with_engine or request.has_small_blobs:
            yield from self._decoder.decode(blobs, data, start, self._decode_one, with_engine=with_engine)
            return
        # Joining long blobs would only take memory.
        for blob in blobs:
            yield from self._decoder.decode([blob], data, start, self._decode_one, with_engine=False)

    def _decode_each(self, request: PackRange, fetched: Buffer, _: bool) -> Iterator[Outcome]:
        data, start = memoryview(fetched), request.offset
        for blob in request.blobs:
            sealed = data[blob.offset - start : blob.offset - start + blob.length]
            yield blob.handle, self._decode_one(blob, sealed)

    def _decode_one(self, blob: "PackedBlob", sealed: memoryview) -> bytes | PyresticError:
        """Return the plaintext of a blob, from another pack if necessary, or the error."""
        try:
            return self._codec.decode(blob.type, blob.id, sealed, blob.plain_length)
        except DamageError:
            try:
                return self.load(blob.handle)
            except PyresticError as error:
                return error

    def _load_place(self, place: "PackedBlob") -> bytes:
        sealed = self._load_bytes(place.pack, place.type, place.offset, place.length)
        try:
            return self._codec.decode(place.type, place.id, sealed, place.plain_length)
        except DamageError as error:
            raise type(error)(f"{error} in pack {short(place.pack)}") from error

    def _load_bytes(self, pack: ID, blob_type: BlobType, offset: int, length: int) -> bytes:
        handle = Handle(FileType.PACK, pack.hex())
        if blob_type is BlobType.TREE:
            # The cache should keep entire tree packs; a backend without a cache has no such method.
            load_metadata = getattr(self._backend, "load_metadata", None)
            if load_metadata is not None:
                return bytes(load_metadata(handle, offset, length))
        return self._backend.load(handle, offset, length)


def _up_to(ranges: list[PackRange], limit: int) -> Iterator[PackRange]:
    """Iterate requests until their blobs reach a total length."""
    for request in ranges:
        yield request
        limit -= sum(blob.plain_length or blob.length for blob in request.blobs)
        if limit <= 0:
            return
