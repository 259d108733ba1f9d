"""Backends around a backend, for tests: one that counts calls, one that fails on cue."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from typing_extensions import Buffer

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.handle import FileType, Handle

B = TypeVar("B", bound=Backend)


class Call(NamedTuple):
    """One call: the method, the type and name of the file ("" for a listing), and how many bytes came or went."""

    method: str
    type: FileType
    name: str = ""
    length: int = 0


class RecordingBackend:
    """Passes everything on and remembers it in `calls`."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.connections = inner.connections
        self.calls: list[Call] = []
        self.closed = False

    def count(self, method: str | None = None, file_type: FileType | None = None) -> int:
        """Return how many calls there were, of one method or type if they are given."""
        return sum(
            (method is None or call.method == method) and (file_type is None or call.type is file_type)
            for call in self.calls
        )

    def create(self) -> None:
        self.inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        self.calls.append(Call("save", handle.type, handle.name, len(memoryview(data))))
        self.inner.save(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        data = self.inner.load(handle, offset, length)
        self.calls.append(Call("load", handle.type, handle.name, len(data)))
        return data

    def stat(self, handle: Handle) -> FileInfo:
        self.calls.append(Call("stat", handle.type, handle.name))
        return self.inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        self.calls.append(Call("list", file_type))
        return self.inner.list(file_type)

    def remove(self, handle: Handle) -> None:
        self.calls.append(Call("remove", handle.type, handle.name))
        self.inner.remove(handle)

    def close(self) -> None:
        self.closed = True
        self.inner.close()


class FlippingBackend:
    """Flips a bit of the first `times` answers for each file, of one type if it is given; `loads` counts them."""

    def __init__(self, inner: Backend, times: int, file_type: FileType | None = None) -> None:
        self.inner = inner
        self.connections = inner.connections
        self._times = times
        self._file_type = file_type
        self._lock = threading.Lock()
        self.loads: dict[FileType, Counter[str]] = {kind: Counter() for kind in FileType}

    def create(self) -> None:
        self.inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        self.inner.save(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        data = self.inner.load(handle, offset, length)
        with self._lock:
            self.loads[handle.type][handle.name] += 1
            count = self.loads[handle.type][handle.name]
        if count > self._times or self._file_type not in (None, handle.type) or not data:
            return data
        flipped = bytearray(data)
        # Not in the middle alone: the last bytes of a pack are its header.
        flipped[-1 - 17 % len(data)] ^= 0x10
        flipped[len(data) // 2] ^= 0x10
        return bytes(flipped)

    def stat(self, handle: Handle) -> FileInfo:
        return self.inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        return self.inner.list(file_type)

    def remove(self, handle: Handle) -> None:
        self.inner.remove(handle)

    def close(self) -> None:
        self.inner.close()


@dataclass
class _Fault:
    method: str
    make: Callable[[], BaseException]
    times: int
    file_type: FileType | None
    after: int
    late: bool


class FaultyBackend:
    """Fails where a test says so; otherwise passes everything on."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.connections = inner.connections
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    def fail(
        self,
        method: str,
        make: Callable[[], BaseException],
        *,
        times: int = 1,
        file_type: FileType | None = None,
        after: int = 0,
        late: bool = False,
    ) -> None:
        """Let the next `times` calls of a method raise what `make` returns.

        `after` successful calls pass first; for "list" it counts the entries that a listing yields before it breaks.
        With `late`, "save" and "remove" do their work before they raise.
        """
        self._faults.append(_Fault(method, make, times, file_type, after, late))

    def create(self) -> None:
        self.inner.create()

    def save(self, handle: Handle, data: Buffer) -> None:
        with self._checked("save", handle.type):
            self.inner.save(handle, data)

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        self._check("load", handle.type)
        return self.inner.load(handle, offset, length)

    def stat(self, handle: Handle) -> FileInfo:
        self._check("stat", handle.type)
        return self.inner.stat(handle)

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        fault = self._take("list", file_type)
        for number, info in enumerate(self.inner.list(file_type)):
            if fault is not None and number == fault.after:
                raise fault.make()
            yield info
        if fault is not None:
            raise fault.make()

    def remove(self, handle: Handle) -> None:
        with self._checked("remove", handle.type):
            self.inner.remove(handle)

    def close(self) -> None:
        self.inner.close()

    @contextlib.contextmanager
    def _checked(self, method: str, file_type: FileType) -> Iterator[None]:
        fault = self._find(method, file_type)
        if fault is not None and not fault.late:
            raise fault.make()
        yield
        if fault is not None:
            raise fault.make()

    def _check(self, method: str, file_type: FileType) -> None:
        with self._checked(method, file_type):
            pass

    def _find(self, method: str, file_type: FileType) -> _Fault | None:
        """Return the fault of this call."""
        with self._lock:
            for fault in self._faults:
                if fault.method != method or fault.file_type not in (None, file_type):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _take(self, method: str, file_type: FileType) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.method == method and fault.file_type in (None, file_type) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


def emptied(backend: B) -> B:
    """Return a backend that tests share after all files were removed: its place takes long to make."""
    for file_type in FileType:
        for info in backend.list(file_type):
            backend.remove(Handle(file_type, info.name))
    return backend
