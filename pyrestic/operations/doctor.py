"""Tries every operation that a repository needs of its place, and measures how fast the place is.

The files for that are packs that nothing refers to; they are removed at the end. If a kill leaves some, prune
removes them.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pyrestic.backend.base import Backend
from pyrestic.errors import BackendError, FormatError, NotFoundError, PyresticError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from pyrestic.report import Progress, Reporter

CONNECTIONS = (1, 5, 20)
"""The numbers of connections whose throughput is measured."""
FILE_BYTES = 1 << 20

_ASKED = 5
_WORTHWHILE = 1.3
"""Advice must promise this factor of throughput."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An operation that was tried: how long it took, and its failure, "" if it succeeded."""

    name: str
    seconds: float
    failure: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Bytes per second with this number of connections."""

    connections: int
    upload: float
    download: float


@dataclass(slots=True)
class Examination:
    """What was found at a place."""

    trials: list[Trial] = field(default_factory=list)
    request_seconds: float | None = None
    """How long one small request takes, None if none succeeded."""
    throughputs: list[Throughput] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether every operation succeeded."""
        return not any(trial.failure for trial in self.trials)


class PlaceDoctor:
    """Examines one place.

    `opened` opens it with a number of connections, None for the usual one; `option` is the name of that setting.
    """

    def __init__(
        self,
        opened: Callable[[int | None], AbstractContextManager[Backend]],
        option: str,
        report: Reporter,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._opened = opened
        self._option = option
        self._report = report
        self._clock = clock
        self._result = Examination()

    def examine(self, sample_bytes: int) -> Examination:
        """Try the operations, and then move this many bytes in each direction for each number of connections."""
        with self._opened(None) as backend:
            usual = backend.connections
            self._try_operations(backend)
        if self._result.well and sample_bytes:
            self._measure(usual, sample_bytes)
            self._advise(usual)
        return self._result

    def _try_operations(self, backend: Backend) -> None:
        data, other = os.urandom(1000), os.urandom(1100)
        handle = Handle(FileType.PACK, hash_id(data).hex())
        absent = Handle(FileType.PACK, hash_id(other).hex())
        listing = "listing the files"
        if not self._try(
            listing, lambda: _expect(absent.name not in _names(backend), "it lists a file that is absent")
        ):
            return
        if not self._try("storing a file", lambda: backend.save(handle, data), "The key must be allowed to write."):
            return
        try:
            self._try("reading it", lambda: _expect(backend.load(handle) == data, _OTHER))
            self._try("reading a range of it", lambda: _expect(backend.load(handle, 5, 7) == data[5:12], _OTHER))
            self._try("refusing a range beyond its end", lambda: _refuses(lambda: backend.load(handle, 999, 2)))
            self._try("telling its length", lambda: _expect(backend.stat(handle).length == len(data), _OTHER))
            self._try("listing it", lambda: _expect(handle.name in _names(backend), "the listing lacks it"))
            self._try("replacing it", lambda: self._replace(backend, handle, other), _APPEND_ONLY)
            self._try("reporting that a file is absent", lambda: _misses(lambda: backend.load(absent)))
            self._measure_requests(backend, handle)
        finally:
            self._try("removing it", lambda: self._remove(backend, handle), _APPEND_ONLY)

    def _try(self, name: str, operation: Callable[[], object], remedy: str = "") -> bool:
        started = self._clock()
        failure, hint = "", ""
        try:
            operation()
        except PyresticError as error:
            failure, hint = str(error), error.hint or remedy
        self._result.trials.append(Trial(name, self._clock() - started, failure, hint))
        return not failure

    @staticmethod
    def _replace(backend: Backend, handle: Handle, other: bytes) -> None:
        backend.save(handle, other)
        _expect(backend.load(handle) == other, "it still has the content from before")

    @staticmethod
    def _remove(backend: Backend, handle: Handle) -> None:
        backend.remove(handle)
        _misses(lambda: backend.load(handle))
        _expect(handle.name not in _names(backend), "it is still listed")

    def _measure_requests(self, backend: Backend, handle: Handle) -> None:
        seconds = []
        with contextlib.suppress(PyresticError):
            for _ in range(_ASKED):
                started = self._clock()
                backend.stat(handle)
                seconds.append(self._clock() - started)
        self._result.request_seconds = statistics.median(seconds) if seconds else None

    def _measure(self, usual: int, sample_bytes: int) -> None:
        numbers = sorted({*CONNECTIONS, usual})
        files = sum(_count_files(connections, sample_bytes) for connections in numbers)
        progress = Progress("measuring", "B", 2 * files * FILE_BYTES)
        with self._report.show(progress):
            for connections in numbers:
                with (
                    self._opened(connections) as backend,
                    self._stored(backend, connections, sample_bytes, progress) as (handles, seconds),
                ):
                    down = self._moved(_loader(backend), handles, connections, progress)
                    moved = len(handles) * FILE_BYTES
                    self._result.throughputs.append(Throughput(connections, moved / seconds, moved / down))

    @contextlib.contextmanager
    def _stored(
        self, backend: Backend, connections: int, sample_bytes: int, progress: Progress
    ) -> Iterator[tuple[list[Handle], float]]:
        """Store files for a with block; yield them, and the seconds that storing them took."""
        block = os.urandom(FILE_BYTES)
        files = {}
        for _ in range(_count_files(connections, sample_bytes)):
            data = os.urandom(32) + block[32:]
            files[Handle(FileType.PACK, hash_id(data).hex())] = data

        def save(handle: Handle) -> int:
            backend.save(handle, files[handle])
            return FILE_BYTES

        def remove(handle: Handle) -> int:
            with contextlib.suppress(BackendError):
                backend.remove(handle)
            return 0

        try:
            yield list(files), self._moved(save, list(files), connections, progress)
        finally:
            self._moved(remove, list(files), connections, progress)

    def _moved(
        self, move: Callable[[Handle], int], handles: Sequence[Handle], connections: int, progress: Progress
    ) -> float:
        """Apply a function that returns the bytes it moved to all files, and return the seconds."""
        started = self._clock()
        with ThreadPoolExecutor(connections, thread_name_prefix="doctor") as pool:
            for length in pool.map(move, handles):
                progress.done += length
        return max(self._clock() - started, 1e-6)

    def _advise(self, usual: int) -> None:
        now = next(each for each in self._result.throughputs if each.connections == usual)
        best = max(
            self._result.throughputs, key=lambda each: min(each.upload / now.upload, each.download / now.download)
        )
        gain = min(best.upload / now.upload, best.download / now.download)
        if gain >= _WORTHWHILE:
            self._result.advice.append(
                f"-o {self._option}={best.connections} would be {gain:.1f} times as fast as {usual} "
                "connections, in both directions"
            )


_INVENTED = "it lists a file that does not exist"
_OTHER = "it is not what was stored"
_APPEND_ONLY = "The key, or the server, may only add files: then forget and prune cannot free space."


def _count_files(connections: int, sample_bytes: int) -> int:
    """Return how many files are moved: at least one for each connection."""
    return max(connections, sample_bytes // FILE_BYTES)


def _loader(backend: Backend) -> Callable[[Handle], int]:
    return lambda handle: len(backend.load(handle))


def _names(backend: Backend) -> set[str]:
    return {info.name for info in backend.list(FileType.PACK)}


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BackendError(otherwise)


def _refuses(load: Callable[[], object]) -> None:
    try:
        load()
    except FormatError:
        return
    raise BackendError("it returns bytes that do not exist")


def _misses(load: Callable[[], object]) -> None:
    try:
        load()
    except NotFoundError:
        return
    raise BackendError("it returns a file that does not exist")
