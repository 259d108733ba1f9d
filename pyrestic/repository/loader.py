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
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import Buffer

from pyrestic.backend.base import Backend
from pyrestic.errors import BackendError, DamageError, MissingBlobError, PyresticError
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import ID, short
from pyrestic.repository.batch_decoder import DeliverMany, ManyDecoder
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.direct_read import PIECE_BYTES, find_near_reader
from pyrestic.repository.rereading import READS, forget_copy

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
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

Deliver = Callable[[BlobHandle, bytes], None]
Fail = Callable[[BlobHandle, PyresticError], None]


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


def plan(index: "Index", handles: Iterable[BlobHandle], fail: Fail) -> list[PackRange]:
    """Return the requests that fetch each blob once, packs in order of first use; unknown blobs go to `fail`."""
    chosen: list[PackedBlob] = []
    packs: set[ID] = set()
    for handle in dict.fromkeys(handles):
        places = index.find_all(handle)
        if not places:
            fail(handle, missing_blob(handle))
            continue
        # Prefer a copy in a pack that is required anyway.
        place = next((p for p in places if p.pack in packs), places[0])
        packs.add(place.pack)
        chosen.append(place)
    return plan_places(chosen)


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
        self._many = ManyDecoder(codec)
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

    def load_many(
        self, ranges: Iterable[PackRange], deliver: Deliver, fail: Fail, deliver_many: DeliverMany | None = None
    ) -> None:
        """Load all blobs of the ranges and pass each to `deliver`, on the calling thread or another one.

        If there is `deliver_many`, it receives small blobs, and others if that is faster, also from several threads at
        a time. A blob without an intact copy goes to `fail`. An exception of `deliver` ends the run and is raised here.
        """
        stop = threading.Event()
        count = ahead = self._backend.connections
        engine = None
        if deliver_many is not None:
            ranges, are_many = _look_ahead(ranges)
            engine = self._codec.engine if are_many else None
        # For long blobs, only the hash takes time.
        pairs = engine is not None and engine.hashes_pairs
        if self._near is not None:
            length = PAIRS_BYTES if pairs else PIECE_BYTES
            ranges = (piece for request in ranges for piece in split_ranges(request.blobs, length))
            # Pieces take little memory, and a thread that finishes before the awaited one finds more to do.
            ahead = 2 * count
        with ThreadPoolExecutor(count, "load") as pool:
            running: deque[tuple[list[PackRange], Future[list[bytes]]]] = deque()
            try:
                for group in self._groups(ranges):
                    if len(running) == ahead:
                        self._finish(*running.popleft(), deliver, fail, deliver_many, stop)
                    is_small = group[0].has_small_blobs
                    if deliver_many is not None and (pairs or (is_small and engine is not None)):
                        running.append((group, pool.submit(self._load_group, group, fail, deliver_many, stop)))
                    elif is_small:
                        running.append((group, pool.submit(self._fetch_group, group)))
                    else:
                        running.append((group, pool.submit(self._load_range, group[0], deliver, fail, stop)))
                while running:
                    self._finish(*running.popleft(), deliver, fail, deliver_many, stop)
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

    def _finish(
        self,
        group: list[PackRange],
        future: "Future[list[bytes]]",
        deliver: Deliver,
        fail: Fail,
        deliver_many: DeliverMany | None,
        stop: threading.Event,
    ) -> None:
        """Wait for a group; small blobs were only fetched, and are decoded here.

        Threads that process small blobs in parallel spend their time passing the GIL to each other.
        """
        for request, data in zip(group, future.result(), strict=False):
            if deliver_many is None:
                self._decode_range(request, data, deliver, fail, stop)
            else:
                self._decode_many(request, data, fail, deliver_many, stop, with_engine=False)

    def _fetch_group(self, group: list[PackRange]) -> list[bytes]:
        started = time.monotonic()
        fetched = [self._fetch(request) for request in group]
        self._quick = time.monotonic() - started < QUICK_SECONDS * len(group)
        return fetched

    def _load_group(
        self, group: list[PackRange], fail: Fail, deliver_many: DeliverMany, stop: threading.Event
    ) -> list[bytes]:
        """Fetch and decode a group of blobs together; most of that releases the GIL."""
        seconds = 0.0
        for request in group:
            if stop.is_set():
                break
            started = time.monotonic()
            fetched = self._borrow(request)
            seconds += time.monotonic() - started
            self._decode_many(request, fetched, fail, deliver_many, stop, with_engine=True)
        self._quick = seconds < QUICK_SECONDS * len(group)
        return []

    def _fetch(self, request: PackRange) -> bytes:
        """Return the bytes of a range, none if the pack cannot be read."""
        try:
            return self._load_bytes(request.pack, request.blobs[0].type, request.offset, request.length)
        except (BackendError, DamageError):
            return b""

    def _load_range(self, request: PackRange, deliver: Deliver, fail: Fail, stop: threading.Event) -> list[bytes]:
        """Fetch and decode; nothing is left for the waiting thread."""
        if not stop.is_set():
            self._decode_range(request, self._borrow(request), deliver, fail, stop)
        return []

    def _borrow(self, request: PackRange) -> Buffer:
        """Return the result of _fetch, in a buffer that this thread's next call may reuse."""
        if self._near is None or request.blobs[0].type is BlobType.TREE:
            return self._fetch(request)
        try:
            return self._near.read(request.pack, request.offset, request.length)
        except (BackendError, DamageError):
            return b""

    def _decode_range(
        self, request: PackRange, fetched: Buffer, deliver: Deliver, fail: Fail, stop: threading.Event
    ) -> None:
        data = memoryview(fetched)
        start = request.offset
        for blob in request.blobs:
            if stop.is_set():
                return
            plain = self._decode(blob, data[blob.offset - start : blob.offset - start + blob.length], fail)
            if plain is not None:
                deliver(blob.handle, plain)

    def _decode_many(
        self,
        request: PackRange,
        fetched: Buffer,
        fail: Fail,
        deliver_many: DeliverMany,
        stop: threading.Event,
        *,
        with_engine: bool,
    ) -> None:
        def one(blob: "PackedBlob", sealed: memoryview) -> bytes | None:
            return self._decode(blob, sealed, fail)

        self._many.decode(
            request.blobs, memoryview(fetched), request.offset, one, deliver_many, stop, with_engine=with_engine
        )

    def _decode(self, blob: "PackedBlob", sealed: memoryview, fail: Fail) -> bytes | None:
        """Return the plaintext of a blob, from another pack if necessary; None if it went to `fail`."""
        try:
            return self._codec.decode(blob.type, blob.id, sealed, blob.plain_length)
        except DamageError:
            try:
                return self.load(blob.handle)
            except PyresticError as error:
                fail(blob.handle, error)
                return None

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
